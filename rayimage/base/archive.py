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
_PULL: Final = "pull or build the base again; if it stays damaged, it was published so"
_MALFORMED: Final = (tarfile.TarError, ValueError, OverflowError)
"""What tarfile raises for headers that make no sense."""
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
    plain, failures = _decoded(raw)
    forward = _Forward(plain, name, failures)
    try:
        yield from _entries(forward, name)
        while forward.read(_BUFFER):
            pass
        while raw.read(_BUFFER):
            pass
    finally:
        plain.close()


def _entries(forward: _Forward, name: str) -> Iterator[Entry]:
    try:
        archive = tarfile.TarFile(fileobj=cast("BinaryIO", forward), mode="r", encoding="utf-8")
        while (member := archive.next()) is not None:
            archive.members = []  # type: ignore[attr-defined]  # tarfile keeps every member it has seen
            yield _entry(archive, member, name)
    except _MALFORMED as error:
        raise _damaged(name, error) from error
    # tarfile takes a header that it cannot read for the end of the archive, unless it is the first.
    if forward.last.strip(b"\0"):
        raise ContentError(f"{name} cannot be read", why=f"no tar header at byte {forward.position} of its content")


def _entry(archive: tarfile.TarFile, member: tarfile.TarInfo, name: str) -> Entry:
    def read() -> bytes:
        if member.size > _READ_LIMIT:
            raise _damaged(name, f"{member.name} is of {member.size} bytes")
        try:
            file = archive.extractfile(member)
            return file.read() if file else b""
        except _MALFORMED as error:
            raise _damaged(name, error) from error

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


def _damaged(name: str, why: object) -> ContentError:
    return ContentError(f"{name} cannot be read", why=f"not a tar archive, or a damaged one: {why}", fix=_PULL)


def _decoded(raw: io.BufferedReader[Any]) -> tuple[BinaryIO, tuple[type[Exception], ...]]:
    """What ``raw`` holds once decompressed, and what reading it raises when it is damaged."""
    magic = raw.peek(len(_ZSTD))
    if magic.startswith(_GZIP):
        return _gunzipped(raw)
    if magic.startswith(_ZSTD):
        return _unzstd(raw)
    return cast("BinaryIO", raw), (EOFError,)


def _gunzipped(raw: io.BufferedReader[Any]) -> tuple[BinaryIO, tuple[type[Exception], ...]]:
    from isal import igzip_threaded, isal_zlib

    # Its own buffer is of 8 KiB, and each refill costs a call into Python.
    reader = igzip_threaded.open(raw, "rb").detach()  # type: ignore[no-untyped-call]
    failures = (EOFError, gzip.BadGzipFile, cast("type[Exception]", isal_zlib.error))
    return cast("BinaryIO", io.BufferedReader(reader, _BUFFER)), failures


def _unzstd(raw: io.BufferedReader[Any]) -> tuple[BinaryIO, tuple[type[Exception], ...]]:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return cast("BinaryIO", zstd.ZstdFile(raw)), (EOFError, zstd.ZstdError)


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
    """What tarfile needs of a seekable file, over one that only goes forward. Raises ContentError for ``failures``.

    tarfile's own streaming mode (``r|``) copies its buffer at each read, and cannot tell where it stopped.
    """

    def __init__(self, file: BinaryIO, name: str, failures: tuple[type[Exception], ...]) -> None:
        self._file = file
        self._name = name
        self._failures = failures
        self._scratch = memoryview(bytearray(_BUFFER))
        self.position = 0
        self.last = b""

    def tell(self) -> int:
        return self.position

    def read(self, size: int) -> bytes:
        if size > _READ_LIMIT:
            raise tarfile.ReadError(f"a header or metadata file of {size} bytes")
        with self._whole():
            self.last = self._file.read(size)
        self.position += len(self.last)
        return self.last

    def seek(self, position: int) -> None:
        if position < self.position:
            raise tarfile.ReadError("an entry of negative size")
        while left := position - self.position:
            with self._whole():
                count = self._file.readinto(self._scratch[: min(left, _BUFFER)])  # type: ignore[attr-defined]
            if not count:
                raise tarfile.ReadError("unexpected end of data")
            self.position += count

    @contextmanager
    def _whole(self) -> Iterator[None]:
        try:
            yield
        except self._failures as error:
            why = f"its compressed data is damaged: {error}"
            raise ContentError(f"{self._name} cannot be read", why=why, fix=_PULL) from error
