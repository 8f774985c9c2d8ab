"""A member of a wheel as a stream of bytes that are what the zip directory says, or as its own deflate stream.

``zipfile`` reads the directory; the data are read here, because it gives no access to the compressed bytes.
"""

from __future__ import annotations

import base64
import hashlib
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, cast

from rayimage.errors import WheelError
from rayimage.layers.ahead import THREADS, ahead

__all__ = ["Member", "WrongRecord", "record_hash"]

_READ: Final = 1 << 18
_BLOCK: Final = 1 << 18
_INFLATED_APART: Final = 4 << 20

_LOCAL_HEADER: Final = struct.Struct("<4s22xHH")
_UTF8: Final = 0x800


class WrongRecord(WheelError):
    """A file of ``wheel`` does not have the hash that the wheel's RECORD gives it."""

    def __init__(self, wheel: str, path: str) -> None:
        super().__init__(f"{path} of {wheel} does not have the hash in the wheel's RECORD")
        self.wheel = wheel


def record_hash(digest: bytes) -> str:
    """A sha256 digest as RECORD writes it."""
    return "sha256=" + base64.urlsafe_b64encode(digest).decode().rstrip("=")


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A file in a wheel.

    ``fd`` is the open wheel, shared by its members; ``limit`` is where the next member, or the directory, begins.
    ``expected`` is RECORD's hash of the content, ``""`` if RECORD has none that is worth believing.
    """

    wheel: str
    fd: int
    info: zipfile.ZipInfo
    limit: int
    expected: str = ""

    @property
    def size(self) -> int:
        """Bytes when inflated."""
        return self.info.file_size

    @property
    def crc(self) -> int:
        """CRC-32 of the inflated bytes."""
        return self.info.CRC

    @property
    def is_deflated(self) -> bool:
        """Whether there is a deflate stream to take over."""
        return self.info.compress_type == zipfile.ZIP_DEFLATED

    def blocks(self) -> Iterator[bytes]:
        """The content in blocks of at most 256 KiB; raises like ``pairs``."""
        return (block for _, block in self.pairs())

    def pairs(self) -> Iterator[tuple[bytes, bytes]]:
        """The content in blocks of at most 256 KiB, each with the bytes of the wheel that were read for it.

        Safe in several threads at once. Raises WheelError unless it ends with the directory's size and CRC-32,
        WrongRecord unless RECORD's hash is met.
        """
        size = crc = 0
        crc32 = _crc32()
        digest = hashlib.sha256() if self.expected else None
        for raw, block in self._read():
            size += len(block)
            if size > self.size:
                raise self.refused(f"it is longer than the {self.size} bytes that the zip directory gives it")
            crc = crc32(block, crc)
            if digest:
                digest.update(block)
            yield raw, block
        if size != self.size:
            raise self.refused(f"it has {size} bytes, the zip directory says {self.size}")
        if crc != self.crc:
            raise self.refused(f"its CRC-32 is {crc:08x}, the zip directory says {self.crc:08x}")
        if digest and record_hash(digest.digest()) != self.expected:
            raise WrongRecord(self.wheel, self.info.filename)

    def head(self) -> bytes:
        """The first bytes, some thousands or all; not verified."""
        return next(self.blocks(), b"")

    def sha256(self) -> str:
        """The hash of the content as RECORD writes it, from reading it."""
        digest = hashlib.sha256()
        for block in self.blocks():
            digest.update(block)
        return record_hash(digest.digest())

    def refused(self, why: str) -> WheelError:
        """The error to raise about this member."""
        return WheelError(f"{self.info.filename!r} in {self.wheel} is damaged", why=why, fix="download the wheel again")

    def _read(self) -> Iterable[tuple[bytes, bytes]]:
        if not self.is_deflated:
            return ((raw, raw) for raw in self._raw())
        # Inflating takes as long as all hashing together, so a large file keeps two threads busy.
        return _in_thread(self._inflated()) if self.size >= _INFLATED_APART else self._inflated()

    def _inflated(self) -> Iterator[tuple[bytes, bytes]]:
        stream, failure = _inflater()
        try:
            for raw in self._raw():
                if stream.eof:
                    raise self.refused("bytes follow the end of its deflate stream")
                block = stream.decompress(raw, _BLOCK)
                yield raw, block
                # Until the stream has nothing more to give: it may hold output back although it took all input.
                while not stream.eof and (stream.unconsumed_tail or len(block) == _BLOCK):
                    block = stream.decompress(stream.unconsumed_tail, _BLOCK)
                    yield b"", block
        except failure as error:
            raise self.refused(f"its deflate stream is broken ({error})") from error
        if stream.unused_data:
            raise self.refused("bytes follow the end of its deflate stream")
        if not stream.eof:
            raise self.refused("its deflate stream does not end")

    def _raw(self) -> Iterator[bytes]:
        position = self._data_offset()
        end = position + self.info.compress_size
        if end > self.limit:
            raise self.refused("it overlaps what follows it")
        while position < end:
            chunk = os.pread(self.fd, min(end - position, _READ), position)
            if not chunk:
                raise self.refused("the file ends within it")
            position += len(chunk)
            yield chunk

    def _data_offset(self) -> int:
        """Where the data begin: only the local header knows, its extra field may differ from the directory's."""
        name = self.info.orig_filename.encode("utf-8" if self.info.flag_bits & _UTF8 else "cp437")
        header = os.pread(self.fd, _LOCAL_HEADER.size + len(name), self.info.header_offset)
        if len(header) < _LOCAL_HEADER.size:
            raise self.refused("the file ends within its local header")
        signature, name_length, extra_length = _LOCAL_HEADER.unpack_from(header)
        if signature != b"PK\x03\x04" or name_length != len(name) or not header.endswith(name):
            raise self.refused("its local header is not the one that the zip directory describes")
        return self.info.header_offset + len(header) + int(extra_length)


def _in_thread(items: Iterator[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    with ahead([items], THREADS) as jobs:
        yield from next(jobs)


def _inflater() -> tuple[Any, type[Exception]]:
    """A raw inflater and the exception it raises: isal's, which is faster, or zlib's."""
    try:
        from isal import igzip_lib, isal_zlib
    except ImportError:  # a machine without a build of isal
        return zlib.decompressobj(wbits=-zlib.MAX_WBITS), zlib.error
    # The stub declares the class as if it were an instance.
    return isal_zlib.decompressobj(wbits=-zlib.MAX_WBITS), cast("type[Exception]", igzip_lib.IsalError)


def _crc32() -> Callable[[bytes, int], int]:
    """The CRC-32 of isal, which is four times as fast, or of zlib."""
    try:
        from isal.isal_zlib import crc32
    except ImportError:
        return zlib.crc32
    return crc32
