"""A blob on its way out: its bytes verified before the last of them leaves, its progress told once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

from rayimage.errors import ContentError
from rayimage.http.response import BLOCK
from rayimage.model.content import ByteStream
from rayimage.model.descriptor import Descriptor

__all__ = ["Meter", "Outgoing"]


class Meter:
    """Tells a listener of bytes sent, once each, although a retry sends some again."""

    def __init__(self, advance: Callable[[int], None] | None) -> None:
        self._advance = advance
        self._told = 0

    def reach(self, position: int) -> None:
        """So many bytes of the blob are with the registry, or on their way."""
        if self._advance and position > self._told:
            self._advance(position - self._told)
            self._told = position


class Outgoing:
    """One pass over a blob's bytes; raises ContentError before its last block leaves when they are not the blob's."""

    def __init__(self, stream: ByteStream, descriptor: Descriptor, meter: Meter) -> None:
        self._stream = stream
        self._descriptor = descriptor
        self._meter = meter
        self._hash = hashlib.sha256()
        self.position = 0
        """Bytes read."""

    def skip(self, offset: int) -> None:
        """Read what the registry has already; it counts for the digest."""
        while self.position < offset:
            self._read(offset - self.position)
        self._meter.reach(self.position)

    def blocks(self, length: int) -> Iterator[bytes]:
        """The next ``length`` bytes."""
        end = self.position + length
        while self.position < end:
            block = self._read(end - self.position)
            yield block
            self._meter.reach(self.position)

    def verify(self) -> None:
        """Check digest and end."""
        if self._stream.read(1):
            self._mismatch(f"it is longer than {self._descriptor.size} bytes")
        if self._hash.hexdigest() != self._descriptor.digest.hex:
            self._mismatch(f"its bytes have the digest sha256:{self._hash.hexdigest()}")

    def _read(self, limit: int) -> bytes:
        try:
            block = self._stream.read(min(limit, BLOCK))
        except OSError as error:
            raise ContentError(f"cannot read blob {self._descriptor.digest} to send it", why=str(error)) from error
        self.position += len(block)
        self._hash.update(block)
        if not block:
            self._mismatch(f"it ends after {self.position} bytes, not {self._descriptor.size}")
        if self.position == self._descriptor.size:
            self.verify()
        return block

    def _mismatch(self, why: str) -> None:
        what = f"blob {self._descriptor.digest} is not what it should be; it was not pushed"
        raise ContentError(what, why=why, fix="the content changed while it was read: run the command again")
