"""A response: while its body still comes, and when the body has been read."""

from __future__ import annotations

import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

from urllib3 import HTTPHeaderDict as Headers
from urllib3 import exceptions as faults

from rayimage.http.failures import SERVER, Peer, connection_failed

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

__all__ = ["BLOCK", "ERROR_LIMIT", "Answer", "Headers", "Response"]

BLOCK: Final = 256 * 1024
"""Bytes to read or send at a time."""
ERROR_LIMIT: Final = 64 * 1024
"""How much of a body is read that is only looked at for a message."""
_RETRYABLE: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


class _Head:
    """What the head of a response says about another try."""

    __slots__ = ()
    status: int
    headers: Headers

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed a little later."""
        return self.status in _RETRYABLE

    @property
    def retry_after(self) -> float:
        """The ``Retry-After`` header in seconds (a number or a date), 0 without one."""
        value = self.headers.get("Retry-After", "")
        if value.isdecimal():
            return float(value)
        try:
            return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
        except (TypeError, ValueError, OverflowError):
            return 0.0


class Response(_Head):
    """A response whose body has not been read yet, and the URL that gave it. Close it when done."""

    def __init__(self, raw: BaseHTTPResponse, *, method: str, url: str, peer: Peer = SERVER) -> None:
        self.method = method
        self.url = url
        self.status = raw.status
        self.headers = Headers(raw.headers)
        self._raw = raw
        self._peer = peer

    def read(self, size: int, *, decode: bool = False) -> bytes:
        """At most ``size`` bytes of the body, ``b""`` at its end; with ``decode`` what they are when unpacked.

        Raises ConnectionFailed when the body is cut, which shows only on the read after its last bytes.
        """
        try:
            return self._raw.read(size, decode_content=decode)
        except (faults.HTTPError, OSError) as error:
            raise connection_failed(self.url, error, self._peer) from error

    def close(self) -> None:
        """Give the connection back; close it first when some of the response was not read."""
        if not self._raw.closed:
            self._raw.close()
        self._raw.release_conn()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(_Head):
    """A response whose body has been read (at most as much as was allowed)."""

    method: str
    url: str
    status: int
    headers: Headers
    body: bytes
    truncated: bool = False

    @classmethod
    def read(cls, response: Response, limit: int = ERROR_LIMIT, *, decode: bool = False) -> Answer:
        """Read at most ``limit`` bytes of the response and close it. Raises ConnectionFailed."""
        body = bytearray()
        try:
            while len(body) <= limit and (block := response.read(min(BLOCK, limit + 1 - len(body)), decode=decode)):
                body += block
        finally:
            response.close()
        return cls(
            method=response.method,
            url=response.url,
            status=response.status,
            headers=response.headers,
            body=bytes(body[:limit]),
            truncated=len(body) > limit,
        )
