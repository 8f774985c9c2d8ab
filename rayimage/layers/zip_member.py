"""A member of a wheel as a stream of bytes that are what the zip directory says, or as its own deflate stream.

``zipfile`` reads the directory; the data are read here, because it gives no access to the compressed bytes.
"""

from __future__ import annotations

import base64
import hashlib
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, cast

from rayimage.errors import WheelError

__all__ = ["Member", "WrongRecord", "record_hash"]

_READ: Final = 1 << 16
_BLOCK: Final = 1 << 20
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

    ``file`` is the wheel's, shared by its members; ``limit`` is where the next member, or the directory, begins.
    ``expected`` is RECORD's hash of the content, ``""`` if RECORD has none that is worth believing.
    """

    wheel: str
    file: BinaryIO
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
        """The content in blocks of at most 1 MiB.

        Raises WheelError unless it ends with the directory's size and CRC-32, WrongRecord unless RECORD's hash is met.
        """
        return self.inflate(lambda _: None) if self.is_deflated else self._verified(self._raw())

    def inflate(self, raw: Callable[[bytes], object]) -> Iterator[bytes]:
        """The content of a deflated member, like ``blocks``; ``raw`` hears the compressed bytes."""
        return self._verified(self._inflated(raw))

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

    def _verified(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        size = crc = 0
        digest = hashlib.sha256() if self.expected else None
        for block in blocks:
            size += len(block)
            if size > self.size:
                raise self.refused(f"it is longer than the {self.size} bytes that the zip directory gives it")
            crc = zlib.crc32(block, crc)
            if digest:
                digest.update(block)
            yield block
        if size != self.size:
            raise self.refused(f"it has {size} bytes, the zip directory says {self.size}")
        if crc != self.crc:
            raise self.refused(f"its CRC-32 is {crc:08x}, the zip directory says {self.crc:08x}")
        if digest and record_hash(digest.digest()) != self.expected:
            raise WrongRecord(self.wheel, self.info.filename)

    def _inflated(self, raw: Callable[[bytes], object]) -> Iterator[bytes]:
        stream, failure = _inflater()
        try:
            for chunk in self._raw():
                if stream.eof:
                    raise self.refused("bytes follow the end of its deflate stream")
                raw(chunk)
                data = chunk
                # Until the stream has nothing more to give: it may hold output back although it took all input.
                while not stream.eof:
                    block = stream.decompress(data, _BLOCK)
                    data = stream.unconsumed_tail
                    if block:
                        yield block
                    if not data and len(block) < _BLOCK:
                        break
        except failure as error:
            raise self.refused(f"its deflate stream is broken ({error})") from error
        if stream.unused_data:
            raise self.refused("bytes follow the end of its deflate stream")
        if not stream.eof:
            raise self.refused("its deflate stream does not end")

    def _raw(self) -> Iterator[bytes]:
        position = self._data_offset()
        left = self.info.compress_size
        if position + left > self.limit:
            raise self.refused("it overlaps what follows it")
        while left:
            self.file.seek(position)  # each time: other members are read in between
            chunk = self.file.read(min(left, _READ))
            if not chunk:
                raise self.refused("the file ends within it")
            position += len(chunk)
            left -= len(chunk)
            yield chunk

    def _data_offset(self) -> int:
        """Where the data begin: only the local header knows, its extra field may differ from the directory's."""
        self.file.seek(self.info.header_offset)
        header = self.file.read(_LOCAL_HEADER.size)
        if len(header) < _LOCAL_HEADER.size:
            raise self.refused("the file ends within its local header")
        signature, name_length, extra_length = _LOCAL_HEADER.unpack(header)
        name = self.file.read(name_length)
        encoding = "utf-8" if self.info.flag_bits & _UTF8 else "cp437"
        if signature != b"PK\x03\x04" or name.decode(encoding, "replace") != self.info.orig_filename:
            raise self.refused("its local header is not the one that the zip directory describes")
        return self.info.header_offset + _LOCAL_HEADER.size + int(name_length) + int(extra_length)


def _inflater() -> tuple[Any, type[Exception]]:
    """A raw inflater and the exception it raises: isal's, which is faster, or zlib's."""
    try:
        from isal import igzip_lib, isal_zlib
    except ImportError:  # a machine without a build of isal
        return zlib.decompressobj(wbits=-zlib.MAX_WBITS), zlib.error
    # The stub declares the class as if it were an instance.
    return isal_zlib.decompressobj(wbits=-zlib.MAX_WBITS), cast("type[Exception]", igzip_lib.IsalError)
