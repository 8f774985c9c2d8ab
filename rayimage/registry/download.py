"""A blob as a stream: verified at its end, and continued where it was when the connection is cut."""

from __future__ import annotations

import hashlib
import io
import re
from typing import TYPE_CHECKING, Final

from rayimage.errors import ContentError, RegistryError
from rayimage.http.failures import ConnectionFailed
from rayimage.http.patience import Patience
from rayimage.http.response import BLOCK, Response
from rayimage.model.descriptor import Descriptor
from rayimage.registry.session import Session

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["BlobStream"]

_CONTENT_RANGE: Final = re.compile(r"bytes (\d+)-\d+/(?:\d+|\*)")


class BlobStream(io.RawIOBase):
    """The bytes of one blob, read once from front to back.

    ``read`` raises ContentError instead of handing out the last bytes when digest or size do not match, and
    RegistryError when a cut connection cannot be taken up again (by a Range request, RFC 9110, 14).
    """

    def __init__(self, session: Session, descriptor: Descriptor) -> None:
        super().__init__()
        self._session = session
        self._descriptor = descriptor
        self._what = f"cannot read blob {descriptor.digest} of {session.name}"
        self._hash = hashlib.sha256()
        self._offset = 0
        self._patience = Patience(session.transport.policy)
        self._response: Response | None = self._request()
        self._check_length(self._response)
        if descriptor.size == 0:
            self._verify()

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill at most ``buffer``; 0 only at the end."""
        view = memoryview(buffer).cast("B")
        if self._response is None or not len(view):
            return 0
        block = self._next(min(len(view), BLOCK))
        self._hash.update(block)
        self._offset += len(block)
        if self._offset >= self._descriptor.size or not block:
            self._verify()
        view[: len(block)] = block
        return len(block)

    def close(self) -> None:
        """Give the connection back."""
        response, self._response = getattr(self, "_response", None), None
        if response is not None:
            response.close()
        super().close()

    def _next(self, limit: int) -> bytes:
        """The next bytes, from a new request where the old one was cut."""
        while True:
            response = self._response or self._request()
            try:
                if self._response is None:
                    self._skip(response)
                    self._response = response
                return response.read(min(limit, self._descriptor.size - self._offset))
            except ConnectionFailed as lost:
                response.close()
                self._response = None
                lost.what = f"{self._what}: {lost.what}"
                self._patience.wait(lost, reached=self._offset)

    def _request(self) -> Response:
        headers = {"Range": f"bytes={self._offset}-"} if self._offset else {}
        url = self._session.url(f"blobs/{self._descriptor.digest}")
        return self._session.stream(url, headers=headers, what=self._what)

    def _skip(self, response: Response) -> None:
        """Bring a new response to where we are."""
        if self._offset and response.status == 206:
            match = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
            if not match or int(match[1]) != self._offset:
                response.close()
                raise RegistryError(self._what, why="a range was asked for and another one came", fix="run it again")
            return
        # A server without ranges starts over: pass what we have already.
        left = self._offset
        while left:
            left -= len(response.read(min(left, BLOCK))) or left

    def _check_length(self, response: Response) -> None:
        told = response.headers.get("Content-Length", "")
        if told.isdecimal() and int(told) != self._descriptor.size:
            response.close()
            self._mismatch(f"it is {told} bytes long, not {self._descriptor.size}")

    def _verify(self) -> None:
        """Called when all bytes are here, or no more come."""
        response, self._response = self._response, None
        rest = b""
        if response is not None:
            if self._offset == self._descriptor.size:
                rest = _rest(response)
            response.close()
        if self._offset != self._descriptor.size or rest:
            more = "more" if rest else f"only {self._offset}"
            self._mismatch(f"it holds {more} bytes, not {self._descriptor.size}")
        if self._hash.hexdigest() != self._descriptor.digest.hex:
            self._mismatch(f"its bytes have the digest sha256:{self._hash.hexdigest()}")

    def _mismatch(self, why: str) -> None:
        fix = f"push the image again: {self._session.name.registry} holds damaged content, or a proxy changed it"
        raise ContentError(
            f"blob {self._descriptor.digest} of {self._session.name} is not what it should be", why=why, fix=fix
        )


def _rest(response: Response) -> bytes:
    """A byte after the blob's end, if any; reading it also ends the response, so that its connection lives on."""
    try:
        return response.read(1)
    except ConnectionFailed:
        return b""
