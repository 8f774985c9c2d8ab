"""A layer as a stream of tar entries: gzip (of any number of members), zstd or plain, told apart by their bytes.

The media type is not asked: Docker's family has none for zstd. Inflating runs in a thread beside the parsing of
headers, so that a pass takes little longer than inflating takes.
"""

from __future__ import annotations

import gzip
import io
import posixpath
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any, BinaryIO, Final, cast

from rayimage.errors import ContentError
from rayimage.model.content import ByteStream
from rayimage.model.inventory import DirectoryOwner

__all__ = ["Entry", "Kind", "read_entries"]

_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_BUFFER: Final = 1 << 18
_NAME_LIMIT: Final = 4096
"""Characters; Linux takes no longer path (PATH_MAX), so no runtime unpacks one."""
_READ_LIMIT: Final = 64 << 20
"""Bytes; no header and no file of interest is larger, so one that claims to be is refused before it is read."""


class Kind(Enum):
    """What an entry leaves in the file system."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symbolic link"
    HARD_LINK = "hard link"
    OTHER = "device or pipe"


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a layer; ``path`` is absolute and normalised, as is ``target`` of a hard link."""

    path: str
    kind: Kind
    target: str
    owner: DirectoryOwner
    read: Callable[[], bytes]
    """The content of a file; only before the next entry is asked for. Raises ContentError above 64 MiB."""


def read_entries(stream: ByteStream, name: str, advance: Callable[[int], None]) -> Iterator[Entry]:
    """The entries of a layer, in order and without holding more than one; then ``stream`` is read to its end.

    ``name`` is what messages call the layer, ``advance`` hears the (compressed) bytes read. Raises ContentError
    for a layer that is truncated, damaged or no tar archive, and whatever ``stream`` raises.
    """
    raw = io.BufferedReader(_Counted(stream, advance), _BUFFER)
    with _decoded(raw, name) as plain:
        yield from _entries(plain, name)
        while plain.read(_BUFFER):
            pass
        while raw.read(_BUFFER):
            pass


def _entries(plain: BinaryIO, name: str) -> Iterator[Entry]:
    forward = _Forward(plain)
    try:
        archive = tarfile.TarFile(fileobj=cast("BinaryIO", forward), mode="r", encoding="utf-8")
        while (member := archive.next()) is not None:
            archive.members = []  # type: ignore[attr-defined]  # tarfile keeps every member it has seen
            yield _entry(archive, member)
    except tarfile.TarError as error:
        raise ContentError(f"{name} cannot be read", why=f"not a tar archive, or a damaged one: {error}") from error
    # tarfile takes a header that it cannot read for the end of the archive, unless it is the first.
    if forward.last.strip(b"\0"):
        raise ContentError(f"{name} cannot be read", why=f"no tar header at byte {forward.position} of its content")


def _entry(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Entry:
    def read() -> bytes:
        file = archive.extractfile(member)
        return file.read() if file else b""

    if len(member.name) > _NAME_LIMIT:
        raise tarfile.ReadError(f"a name of {len(member.name)} characters")
    path = _absolute(member.name)
    owner = DirectoryOwner(member.mode & 0o7777, member.uid, member.gid)
    if member.isreg():
        return Entry(path, Kind.FILE, "", owner, read)
    if member.isdir():
        return Entry(path, Kind.DIRECTORY, "", owner, read)
    if member.issym():
        return Entry(path, Kind.SYMLINK, member.linkname, owner, read)
    if member.islnk():
        return Entry(path, Kind.HARD_LINK, _absolute(member.linkname), owner, read)
    return Entry(path, Kind.OTHER, "", owner, read)


def _absolute(name: str) -> str:
    """The path in the image: ``./a``, ``a/`` and ``../a`` are all ``/a``, as for containerd."""
    return posixpath.normpath("/" + name.lstrip("/"))


@contextmanager
def _decoded(raw: io.BufferedReader[Any], name: str) -> Iterator[BinaryIO]:
    """What ``raw`` holds once decompressed. Errors of decompression become ContentError."""
    magic = raw.peek(len(_ZSTD))
    plain, failures = cast("BinaryIO", raw), cast("tuple[type[Exception], ...]", ())
    if magic.startswith(_GZIP):
        plain, failures = _gunzipped(raw)
    elif magic.startswith(_ZSTD):
        plain, failures = _unzstd(raw)
    failures = (EOFError, *failures)
    try:
        yield plain
    except failures as error:
        raise ContentError(
            f"{name} cannot be read",
            why=f"its compressed data is damaged: {error}",
            fix="pull or build the base again; if it stays damaged, it was published so",
        ) from error
    finally:
        plain.close()


def _gunzipped(raw: io.BufferedReader[Any]) -> tuple[BinaryIO, tuple[type[Exception], ...]]:
    from isal import igzip_threaded, isal_zlib

    # Its own buffer is of 8 KiB, and each refill costs a call into Python.
    reader = igzip_threaded.open(raw, "rb").detach()  # type: ignore[no-untyped-call]
    failures = (gzip.BadGzipFile, cast("type[Exception]", isal_zlib.error))
    return cast("BinaryIO", io.BufferedReader(reader, _BUFFER)), failures


def _unzstd(raw: io.BufferedReader[Any]) -> tuple[BinaryIO, tuple[type[Exception], ...]]:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return cast("BinaryIO", zstd.ZstdFile(raw)), (zstd.ZstdError,)


class _Counted(io.RawIOBase):
    """A ByteStream as a file of the standard library."""

    def __init__(self, stream: ByteStream, advance: Callable[[int], None]) -> None:
        self._stream = stream
        self._advance = advance

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        self._advance(len(data))
        return len(data)


class _Forward:
    """What tarfile needs of a seekable file, over one that only goes forward.

    tarfile's own streaming mode (``r|``) copies its buffer at each read, and cannot tell where it stopped.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._scratch = memoryview(bytearray(_BUFFER))
        self.position = 0
        self.last = b""

    def tell(self) -> int:
        return self.position

    def read(self, size: int) -> bytes:
        if size > _READ_LIMIT:
            raise tarfile.ReadError(f"a header or metadata file of {size} bytes")
        self.last = self._file.read(size)
        self.position += len(self.last)
        return self.last

    def seek(self, position: int) -> None:
        if position < self.position:
            raise tarfile.ReadError("an entry of negative size")
        while left := position - self.position:
            count = self._file.readinto(self._scratch[: min(left, _BUFFER)])  # type: ignore[attr-defined]
            if not count:
                raise tarfile.ReadError("unexpected end of data")
            self.position += count
