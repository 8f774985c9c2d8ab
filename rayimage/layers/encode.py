"""Entries of a layer to bytes: a tar stream, and the same as gzip members.

Two kinds of gzip member follow each other (RFC 1952 section 2.2 allows any number of them):

* *spliced*: a deflate stream that exists already, taken over byte for byte;
* *own*: everything between two spliced ones, joined, cut every MiB and compressed here.

Own members use deflate's run-length strategy (Z_RLE): the only one of which zlib and zlib-ng are known to give the
same bytes, because it leaves the compressor no choice of match. Its block borders depend on ``memLevel`` alone;
with 8 a block that is stored uncompressed always fits into the window, with 9 it might not, and then the output would
depend on when the window last moved. Each member gets its whole input in one call for the same reason.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Final

from rayimage.layers.tar import END, TarEntry, encode_header, padding

__all__ = ["Entry", "Piece", "encode"]

# Magic, deflate, no flags, mtime 0 (none), no extra flags, operating system 255 (unknown).
_GZIP_HEADER: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_OWN_MEMBER: Final = 1 << 20
_SHORT: Final = 2048
"""Bytes for which a small window and fewer symbols in a block give the same output as the usual ones: all of it is one
block. The usual ones take 264 KiB, and nine tenths of the time that two headers need."""
_PIECE: Final = 1 << 18
"""Bytes of tar in a piece, at least: enough that its hash is worth a thread, few enough that many can wait."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of the archive, and of its compressed form; either may be behind the other.

    ``read``: bytes of compressed input that went into it, for whoever shows progress.
    """

    tar: bytes
    blob: bytes
    read: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """A tar entry with its content, ``header.size`` bytes in blocks; each block with the bytes that were read for it.

    With ``crc``, the CRC-32 of the content, what was read is a raw deflate stream to be spliced.
    """

    header: TarEntry
    content: Iterable[tuple[bytes, bytes]] = ()
    crc: int | None = None


def encode(entries: Iterable[Entry], *, gzip: bool = True) -> Generator[Piece, None, None]:
    """The archive of ``entries``, in pieces of a few hundred KiB; without ``gzip`` only the tar."""
    encoder = _Encoder(gzip=gzip)
    for entry in entries:
        encoder.put(encode_header(entry.header))
        splice = gzip and entry.crc is not None
        if splice:
            encoder.start_splice()
        for read, block in entry.content:
            encoder.read += len(read)
            if splice:
                encoder.splice(read, block)
            else:
                encoder.put(block)
            if encoder.size >= _PIECE:
                yield encoder.take()
        if splice:
            encoder.end_splice(entry.crc or 0, entry.header.size)
        encoder.put(padding(entry.header.size))
        if encoder.size >= _PIECE:
            yield encoder.take()
    encoder.put(END)
    encoder.end_own()
    yield encoder.take()


class _Encoder:
    def __init__(self, *, gzip: bool) -> None:
        self.size = self.read = 0
        self._gzip = gzip
        self._tar: list[bytes] = []
        self._blob: list[bytes] = []
        self._own = bytearray()

    def put(self, data: bytes) -> None:
        self._tar.append(data)
        self.size += len(data)
        if not self._gzip:
            return
        self._own += data
        while len(self._own) >= _OWN_MEMBER:
            self._compress(bytes(self._own[:_OWN_MEMBER]))
            del self._own[:_OWN_MEMBER]

    def end_own(self) -> None:
        if self._own:
            self._compress(bytes(self._own))
            self._own.clear()

    def start_splice(self) -> None:
        self.end_own()
        self._blob.append(_GZIP_HEADER)

    def splice(self, raw: bytes, content: bytes) -> None:
        self._blob.append(raw)
        self._tar.append(content)
        self.size += len(content)

    def end_splice(self, crc: int, size: int) -> None:
        self._blob.append(struct.pack("<LL", crc, size & 0xFFFFFFFF))

    def take(self) -> Piece:
        piece = Piece(b"".join(self._tar), b"".join(self._blob), self.read)
        self._tar, self._blob, self.size, self.read = [], [], 0, 0
        return piece

    def _compress(self, data: bytes) -> None:
        self._blob += (_GZIP_HEADER, _deflated(data), struct.pack("<LL", zlib.crc32(data), len(data)))


def _deflated(data: bytes) -> bytes:
    window, memory = (12, 6) if len(data) <= _SHORT else (zlib.MAX_WBITS, 8)
    deflate = zlib.compressobj(6, zlib.DEFLATED, -window, memory, zlib.Z_RLE)
    return deflate.compress(data) + deflate.flush()
