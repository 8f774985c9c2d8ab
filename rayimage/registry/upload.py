"""Bringing a blob to a registry: mount it, or send it in one piece, or continue, or send it in chunks.

A request that failed is never replayed into the same upload: the registry is asked how far it got, and the rest
follows, or a new upload starts (GoogleContainerTools/jib#4526 shows what replaying does).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode, urljoin, urlsplit, urlunsplit

from rayimage.errors import AuthError, ContentError, RegistryError
from rayimage.http.failures import ConnectionFailed
from rayimage.http.patience import Patience
from rayimage.http.response import BLOCK, Answer
from rayimage.http.urls import redact
from rayimage.model.content import Blob, ByteStream, Outcome
from rayimage.model.descriptor import Descriptor
from rayimage.model.reference import Reference
from rayimage.registry.failures import error_codes
from rayimage.registry.quirks import Quirks
from rayimage.registry.session import Session

__all__ = ["Uploader"]

_MIB: Final = 1024 * 1024
# Bodies to try after a 413. Proxies' limits are often 100 MB (Cloudflare) or 1 MiB (nginx as installed).
_CHUNKS: Final = (64 * _MIB, 16 * _MIB, 4 * _MIB, _MIB)
_OCTETS: Final = {"Content-Type": "application/octet-stream"}
_RANGE: Final = re.compile(r"(?:bytes=)?0-(\d+)")
# The upload is unknown, out of step or unusable: only a new one helps.
_LOST: Final = frozenset({"BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID", "DIGEST_INVALID", "SIZE_INVALID"})


@dataclass(slots=True)
class _Upload:
    """An open upload: where it continues, and how many bytes the registry has."""

    location: str
    offset: int = 0
    least: int = 0
    """The smallest chunk the registry takes (``OCI-Chunk-Min-Length``)."""
    tried: int = 0
    """The length of the last body sent."""


class _Meter:
    """Tells a listener of bytes sent, once each, although a retry sends some again."""

    def __init__(self, advance: Callable[[int], None] | None) -> None:
        self._advance = advance
        self._told = 0

    def reach(self, position: int) -> None:
        if self._advance and position > self._told:
            self._advance(position - self._told)
            self._told = position


class _Pass:
    """One pass over a blob's bytes; raises ContentError before its last block leaves when they are not the blob's."""

    def __init__(self, stream: ByteStream, descriptor: Descriptor, meter: _Meter) -> None:
        self._stream = stream
        self._descriptor = descriptor
        self._meter = meter
        self._hash = hashlib.sha256()
        self._position = 0

    def skip(self, offset: int) -> None:
        """Read what the registry has already; it counts for the digest."""
        while self._position < offset:
            self._read(offset - self._position)

    def blocks(self, length: int) -> Iterator[bytes]:
        """The next ``length`` bytes."""
        end = self._position + length
        while self._position < end:
            block = self._read(end - self._position)
            yield block
            self._meter.reach(self._position)

    def _read(self, limit: int) -> bytes:
        try:
            block = self._stream.read(min(limit, BLOCK))
        except OSError as error:
            raise ContentError(f"cannot read blob {self._descriptor.digest} to send it", why=str(error)) from error
        self._position += len(block)
        self._hash.update(block)
        if not block:
            self._mismatch(f"it ends after {self._position} bytes, not {self._descriptor.size}")
        if self._position == self._descriptor.size:
            self.verify()
        return block

    def verify(self) -> None:
        """Check digest and end."""
        if self._stream.read(1):
            self._mismatch(f"it is longer than {self._descriptor.size} bytes")
        if self._hash.hexdigest() != self._descriptor.digest.hex:
            self._mismatch(f"its bytes have the digest sha256:{self._hash.hexdigest()}")

    def _mismatch(self, why: str) -> None:
        what = f"blob {self._descriptor.digest} is not what it should be; it was not pushed"
        raise ContentError(what, why=why, fix="the content changed while it was read: run the command again")


class _Refused(Exception):
    """An answer that ended a try, on its way to where it is decided what to do next."""

    def __init__(self, answer: Answer, error: RegistryError) -> None:
        super().__init__(str(error))
        self.answer = answer
        self.error = error


class Uploader:
    """Uploads to one repository. Thread-safe; what a refusal teaches (mounts, chunk size) holds for later blobs."""

    def __init__(self, session: Session, quirks: Quirks) -> None:
        self._session = session
        self._patches = quirks.patches
        self._resumes = quirks.resumes and quirks.patches
        self._chunk = 0
        self._unmountable: set[str] = set()

    def put(self, blob: Blob, advance: Callable[[int], None] | None = None) -> Outcome:
        """Make a blob exist that the registry does not have yet. ``advance`` hears each byte once, also after retries.

        Raises RegistryError, AuthError, and ContentError when the bytes are not the blob's.
        """
        upload = self._open(blob)
        if upload is None:
            return Outcome.MOUNTED
        meter = _Meter(advance)
        patience = Patience(self._session.transport.policy)
        while True:
            try:
                self._send(upload, blob, meter)
            except ConnectionFailed as lost:  # noqa: PERF203 -- a failed try is what the loop is for
                patience.wait(lost, reached=upload.offset)
                upload = self._continue(upload, blob.descriptor)
            except _Refused as refused:
                upload = self._after(refused, upload, blob.descriptor, patience)
            else:
                return Outcome.UPLOADED

    def _open(self, blob: Blob) -> _Upload | None:
        """An upload for the blob; None when it was mounted from its origin instead."""
        here, origin = self._session.name, blob.origin
        if origin is None or origin.registry != here.registry or origin.repository == here.repository:
            return self._begin(blob.descriptor)
        if origin.repository in self._unmountable:
            return self._begin(blob.descriptor)
        answer = self._mount(blob.descriptor, origin)
        if answer and answer.status == 201:
            return None
        if answer and answer.status == 202:
            return self._opened(answer)
        # Some registries answer an error instead of 202, mostly for want of rights on the other repository:
        # google/go-containerregistry#1404, #1679.
        self._unmountable.add(origin.repository)
        return self._begin(blob.descriptor)

    def _mount(self, descriptor: Descriptor, origin: Reference) -> Answer | None:
        query = urlencode({"mount": str(descriptor.digest), "from": origin.repository})
        try:
            return self._session.request("POST", self._session.url(f"blobs/uploads/?{query}"), push=True)
        except AuthError:  # the other repository may be closed to us
            return None

    def _begin(self, descriptor: Descriptor) -> _Upload:
        answer = self._session.request("POST", self._session.url("blobs/uploads/"), push=True)
        if answer.status != 202:
            raise self._error(answer, descriptor)
        return self._opened(answer)

    def _opened(self, answer: Answer) -> _Upload:
        least = answer.headers.get("OCI-Chunk-Min-Length", "")
        return _Upload(self._next(answer, ""), least=int(least) if least.isdecimal() else 0)

    def _send(self, upload: _Upload, blob: Blob, meter: _Meter) -> None:
        """One pass: the whole blob in one request, or what is missing of it in chunks."""
        size = blob.descriptor.size
        with blob.open() as stream:
            outgoing = _Pass(stream, blob.descriptor, meter)
            outgoing.skip(upload.offset)
            if not size:
                outgoing.verify()
            if not upload.offset and (not self._chunk or size <= self._chunk):
                self._finish(upload, blob.descriptor, outgoing.blocks(size), size)
                return
            while upload.offset < size:
                length = min(max(self._chunk, upload.least) if self._chunk else size, size - upload.offset)
                self._append(upload, blob.descriptor, outgoing.blocks(length), length)
            self._finish(upload, blob.descriptor)

    def _append(self, upload: _Upload, descriptor: Descriptor, blocks: Iterator[bytes], length: int) -> None:
        upload.tried = length
        headers = {"Content-Length": str(length), "Content-Range": f"{upload.offset}-{upload.offset + length - 1}"}
        answer = self._session.send("PATCH", upload.location, headers=_OCTETS | headers, body=blocks)
        if answer.status not in (201, 202, 204):
            raise _Refused(answer, self._error(answer, descriptor))
        upload.location = self._next(answer, upload.location)
        upload.offset += length

    def _finish(
        self, upload: _Upload, descriptor: Descriptor, blocks: Iterator[bytes] | None = None, length: int = 0
    ) -> None:
        upload.tried = length
        url = upload.location + ("&" if urlsplit(upload.location).query else "?")
        url += urlencode({"digest": str(descriptor.digest)})
        headers = {"Content-Length": str(length)}
        answer = self._session.send("PUT", url, headers=_OCTETS | headers, body=blocks)
        if answer.status not in (200, 201, 204):
            raise _Refused(answer, self._error(answer, descriptor))

    def _after(self, refused: _Refused, upload: _Upload, descriptor: Descriptor, patience: Patience) -> _Upload:
        """The upload to go on with after a refusal; raises its error when nothing can be done."""
        answer, error = refused.answer, refused.error
        if answer.status == 413:
            self._shrink(upload, error)
            return self._begin(descriptor)
        if answer.status == 401 or answer.retryable:
            patience.wait(error, reached=upload.offset, retry_after=answer.retry_after)
            return self._continue(upload, descriptor)
        if answer.method == "PATCH" and answer.status in (405, 501) and not self._chunk:
            self._resumes = False
            return self._begin(descriptor)
        if answer.status in (404, 416) or error_codes(answer) & _LOST:
            patience.wait(error)
            return self._begin(descriptor)
        raise error

    def _shrink(self, upload: _Upload, error: RegistryError) -> None:
        """Learn from a 413 (goharbor/harbor behind nginx, Cloudflare) to send smaller bodies."""
        smaller = next((chunk for chunk in _CHUNKS if chunk < upload.tried), 0)
        if not self._patches or smaller < max(upload.least, 1):
            raise error
        self._chunk = min(self._chunk or smaller, smaller)

    def _continue(self, upload: _Upload, descriptor: Descriptor) -> _Upload:
        """Where the registry says the upload stands, or a new one.

        distribution 2.8 no longer knows an upload once a request into it was cut; others keep what they got.
        """
        if not self._resumes:
            return self._begin(descriptor)
        answer = self._session.request("GET", upload.location, push=True)
        end = _RANGE.fullmatch(answer.headers.get("Range", ""))
        # An upload of no bytes says 0-0 like one of a single byte: neither is worth continuing.
        if answer.status not in (200, 202, 204) or not end or not 0 < int(end[1]) < descriptor.size:
            return self._begin(descriptor)
        return _Upload(self._next(answer, upload.location), offset=int(end[1]) + 1, least=upload.least)

    def _next(self, answer: Answer, otherwise: str) -> str:
        """The absolute address of the next request (``Location`` may be relative)."""
        location = answer.headers.get("Location", "")
        if not location and otherwise:
            return otherwise
        target = urlsplit(urljoin(answer.url, location))
        registry = urlsplit(self._session.base)
        if registry.scheme == "https" and target.scheme == "http" and target.hostname == registry.hostname:
            # A registry that does not know of the TLS proxy in front of it (no X-Forwarded-Proto).
            target = target._replace(scheme=registry.scheme, netloc=registry.netloc)
        if (
            not location
            or target.scheme not in ("http", "https")
            or (registry.scheme, target.scheme) == ("https", "http")
        ):
            what = f"{self._session.name.registry} opened an upload without a usable address"
            raise RegistryError(what, why=f"Location: {redact(location)!r}", fix="ask whoever runs the registry")
        return urlunsplit(target)

    def _error(self, answer: Answer, descriptor: Descriptor) -> RegistryError:
        return self._session.failure(answer, f"cannot push blob {descriptor.digest} to {self._session.name}")
