"""A layer as it is written: tar inside multi-member gzip, both digests in one pass, in constant memory.

Two kinds of gzip member follow each other (RFC 1952 section 2.2 allows any number of them):

* *spliced*: a deflate stream that exists already, taken over byte for byte;
* *own*: everything between two spliced ones, joined, cut every MiB and compressed here.

Own members use deflate's run-length strategy (Z_RLE): the only one of which zlib and zlib-ng are known to give the
same bytes, because it leaves the compressor no choice of match. Its block borders depend on ``memLevel`` alone;
with 8 a block that is stored uncompressed always fits into the window, with 9 it might not, and then the output would
depend on when the window last moved. Each member gets its whole input in one call for the same reason.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from rayimage.layers.layer import FileInLayer, Layer
from rayimage.layers.tar import END, TarEntry, encode_header, padding
from rayimage.model import media
from rayimage.model.descriptor import Descriptor
from rayimage.model.digest import Digest

__all__ = ["DeflateStream", "LayerWriter", "writing_layer"]

# Magic, deflate, no flags, mtime 0 (none), no extra flags, operating system 255 (unknown).
_GZIP_HEADER: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_OWN_MEMBER: Final = 1 << 20


class DeflateStream(Protocol):
    """A raw deflate stream that becomes a gzip member of its own."""

    @property
    def size(self) -> int:
        """Bytes when inflated."""
        ...

    @property
    def crc(self) -> int:
        """CRC-32 of the inflated bytes."""
        ...

    def inflate(self, raw: Callable[[bytes], object]) -> Iterator[bytes]:
        """The inflated bytes in blocks; ``raw`` hears every compressed byte. Raises when either is not as declared."""
        ...


class LayerWriter:
    """Writes the entries of a layer in the order in which they are added."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._blob = hashlib.sha256()
        self._blob_size = 0
        self._tar = hashlib.sha256()
        self._tar_size = 0
        self._own = bytearray()

    def add(self, entry: TarEntry, content: Iterable[bytes] = ()) -> None:
        """Write an entry whose content (``entry.size`` bytes) is compressed here."""
        self._put(encode_header(entry))
        for block in content:
            self._put(block)
        self._put(padding(entry.size))

    def splice(self, entry: TarEntry, stream: DeflateStream, advance: Callable[[int], None] | None = None) -> None:
        """Write an entry whose content is compressed already; ``advance`` hears the compressed bytes."""
        self._put(encode_header(entry))
        self._end_own_member()
        self._emit(_GZIP_HEADER)
        for block in stream.inflate(self._emit if advance is None else self._emit_and(advance)):
            self._count(block)
        self._emit(struct.pack("<LL", stream.crc, stream.size & 0xFFFFFFFF))
        self._put(padding(entry.size))

    def finish(self, path: Path, files: Iterable[FileInLayer]) -> Layer:
        """End the archive; the layer that lies at ``path``."""
        self._put(END)
        self._end_own_member()
        self._stream.flush()
        return Layer(
            descriptor=Descriptor(
                media_type=media.OCI_LAYER_GZIP, digest=Digest(self._blob.hexdigest()), size=self._blob_size
            ),
            diff_id=Digest(self._tar.hexdigest()),
            unpacked_size=self._tar_size,
            path=path,
            files=tuple(sorted(files, key=lambda file: file.path)),
        )

    def _put(self, data: bytes) -> None:
        self._count(data)
        self._own += data
        while len(self._own) >= _OWN_MEMBER:
            self._emit_own_member(bytes(self._own[:_OWN_MEMBER]))
            del self._own[:_OWN_MEMBER]

    def _end_own_member(self) -> None:
        if self._own:
            self._emit_own_member(bytes(self._own))
            self._own.clear()

    def _emit_own_member(self, data: bytes) -> None:
        deflate = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS, 8, zlib.Z_RLE)
        self._emit(_GZIP_HEADER + deflate.compress(data) + deflate.flush())
        self._emit(struct.pack("<LL", zlib.crc32(data), len(data)))

    def _count(self, data: bytes) -> None:
        self._tar.update(data)
        self._tar_size += len(data)

    def _emit(self, data: bytes) -> None:
        self._blob.update(data)
        self._blob_size += len(data)
        self._stream.write(data)

    def _emit_and(self, advance: Callable[[int], None]) -> Callable[[bytes], None]:
        def emit(data: bytes) -> None:
            self._emit(data)
            advance(len(data))

        return emit


@contextmanager
def writing_layer(target: Path) -> Iterator[LayerWriter]:
    """A writer to the new file ``target``, which is removed again when writing fails."""
    try:
        with target.open("wb") as stream:
            yield LayerWriter(stream)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
