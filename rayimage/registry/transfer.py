"""The way of one blob's bytes to a registry: in one piece or in chunks, and on after what went wrong.

A request that failed is never replayed into the same upload: the registry is asked how far it got, and the rest
follows, or a new upload starts (GoogleContainerTools/jib#4526 shows what replaying does).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode, urljoin, urlsplit, urlunsplit

from rayimage.errors import ContentError, RayimageError, RegistryError
from rayimage.http.failures import ConnectionFailed
from rayimage.http.patience import Patience
from rayimage.http.response import Answer
from rayimage.http.urls import redact, split_url
from rayimage.model.content import Blob
from rayimage.registry.failures import error_codes
from rayimage.registry.journal import Entry
from rayimage.registry.outgoing import Meter, Outgoing
from rayimage.registry.quirks import Quirks
from rayimage.registry.session import Session

__all__ = ["Learned", "Transfer", "Upload", "opened"]

_MIB: Final = 1024 * 1024
_CHUNKS: Final = (64 * _MIB, 16 * _MIB, 4 * _MIB, _MIB)
"""Bodies to send instead of a whole blob. Proxies often take 100 MB (Cloudflare) or 1 MiB (nginx as installed)."""
_LARGE: Final = 128 * _MIB
"""Blobs above it go in chunks from the start, so that there is something to continue after a kill."""
_OCTETS: Final = {"Content-Type": "application/octet-stream"}
_RANGE: Final = re.compile(r"(?:bytes=)?0-(\d+)")
# The upload is unknown, out of step or unusable: only a new one helps.
_LOST: Final = frozenset({"BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID", "DIGEST_INVALID", "SIZE_INVALID"})


@dataclass(slots=True)
class Upload:
    """An open upload: where it continues, and how many bytes the registry has."""

    location: str
    offset: int = 0
    least: int = 0
    """The smallest chunk the registry takes (``OCI-Chunk-Min-Length``)."""
    tried: int = 0
    """The length of the last body sent."""
    resumed: bool = False
    """Whether its offset is what the registry said rather than what was sent."""
    gone: bool = False
    """Whether the registry said that it knows no such upload."""


@dataclass(slots=True)
class Learned:
    """What refusals of a registry taught, for all blobs that follow."""

    chunk: int = 0
    """Bytes that pass in one request; 0: no limit was met."""
    chunks: bool = True
    """Whether large blobs go in chunks although no limit was met."""
    resumes: bool = True
    """Whether an upload that was cut may be continued."""

    @classmethod
    def of(cls, quirks: Quirks) -> Learned:
        """What is known before the first request."""
        return cls(
            chunk=quirks.limit,
            chunks=quirks.patches and quirks.chunks,
            resumes=quirks.patches and quirks.resumes,
        )


class _Refused(Exception):
    """An answer that ended a try, on its way to where it is decided what to do next."""

    def __init__(self, answer: Answer, error: RegistryError) -> None:
        super().__init__(str(error))
        self.answer = answer
        self.error = error


class Transfer:
    """Sends one blob, through as many tries as it takes."""

    def __init__(self, session: Session, quirks: Quirks, learned: Learned, blob: Blob, kept: Entry) -> None:
        self._session = session
        self._patches = quirks.patches
        self._learned = learned
        self._blob = blob
        self._descriptor = blob.descriptor
        self._kept = kept
        self._patience = Patience(session.transport.policy)
        self._restarts = 0

    def begin(self) -> Upload:
        """A new upload. Raises RegistryError, AuthError."""
        answer = self._session.request("POST", self._session.url("blobs/uploads/"), push=True)
        if answer.status != 202:
            raise self._error(answer)
        return opened(self._session, answer)

    def resume(self) -> Upload | None:
        """What an earlier process left, as far as the registry has it; None when nothing can be made of it."""
        if not self._kept.location or not self._learned.resumes:
            return None
        try:
            location = _checked(self._session, self._kept.location)
        except RegistryError:  # the file holds something else
            return None
        return self._standing(Upload(location))

    def push(self, upload: Upload, meter: Meter) -> None:
        """Bring the blob's bytes into ``upload``, or into one that takes its place.

        Raises RegistryError, AuthError, and ContentError when the bytes are not the blob's.
        """
        current: Upload | None = upload
        while current is not None:
            self._kept.keep(current.location)
            try:
                self._send(current, meter)
            except ContentError:
                self.cancel(current)
                raise
            except ConnectionFailed as lost:
                self._patience.wait(lost, reached=current.offset)
                current = self._continue(current)
            except _Refused as refused:
                current = self._after(refused, current)
            else:
                current = None
        self._kept.forget()

    def cancel(self, upload: Upload) -> None:
        """Tell the registry to forget an upload, once; it may have done so already, or not know how."""
        self._kept.forget()
        with suppress(RayimageError):
            self._session.send("DELETE", upload.location, headers={}, body=None)

    def _send(self, upload: Upload, meter: Meter) -> None:
        """One pass: the whole blob in one request, or what is missing of it in chunks."""
        size, chunk = self._descriptor.size, self._chunk
        with self._blob.open() as stream:
            outgoing = Outgoing(stream, self._descriptor, meter)
            outgoing.skip(upload.offset)
            if not size:
                outgoing.verify()
            if not upload.offset and (not chunk or size <= chunk):
                self._finish(upload, outgoing.blocks(size), size)
                return
            while upload.offset < size:
                length = min(max(chunk, upload.least) if chunk else size, size - upload.offset)
                self._append(upload, outgoing.blocks(length), length)
            self._finish(upload)

    @property
    def _chunk(self) -> int:
        """How much to send at a time; 0: everything."""
        if not self._learned.chunk and self._learned.chunks and self._descriptor.size > _LARGE:
            return _CHUNKS[0]
        return self._learned.chunk

    def _append(self, upload: Upload, blocks: Iterator[bytes], length: int) -> None:
        upload.tried = length
        headers = {"Content-Length": str(length), "Content-Range": f"{upload.offset}-{upload.offset + length - 1}"}
        answer = self._session.send("PATCH", upload.location, headers=_OCTETS | headers, body=blocks)
        if answer.status not in (201, 202, 204):
            raise _Refused(answer, self._error(answer))
        # The Range of the answer is not read: what counts is the digest, which the registry checks in the end.
        upload.location = _next(self._session, answer, upload.location)
        upload.offset += length
        self._kept.keep(upload.location)

    def _finish(self, upload: Upload, blocks: Iterator[bytes] | None = None, length: int = 0) -> None:
        upload.tried = length
        url = upload.location + ("&" if urlsplit(upload.location).query else "?")
        url += urlencode({"digest": str(self._descriptor.digest)})
        headers = {"Content-Length": str(length)}
        answer = self._session.send("PUT", url, headers=_OCTETS | headers, body=blocks)
        if answer.status not in (200, 201, 204):
            raise _Refused(answer, self._error(answer))
        told = answer.headers.get("Docker-Content-Digest", "")
        if told.startswith("sha256:") and told != str(self._descriptor.digest):
            what = f"blob {self._descriptor.digest} changed on its way to {self._session.name}"
            fix = f"a proxy or {self._session.name.registry} changes content; ask whoever runs it"
            raise ContentError(what, why=f"the registry says that it has {told}", fix=fix)

    def _after(self, refused: _Refused, upload: Upload) -> Upload | None:
        """The upload to go on with after a refusal; raises its error when nothing can be done."""
        answer, error = refused.answer, refused.error
        if answer.status == 413:
            if not self._shrink(upload):
                raise error
            return self._instead(upload)
        if answer.status == 401 or answer.retryable:
            self._patience.wait(error, reached=upload.offset, retry_after=answer.retry_after)
            return self._continue(upload)
        unsupported = answer.status in (405, 501)
        lost = answer.status in (404, 416) or error_codes(answer) & _LOST
        if answer.method == "PATCH" and not self._learned.chunk and (unsupported or lost):
            # No limit made us send chunks or continue an upload: this registry wants blobs in one piece.
            self._learned.resumes = self._learned.chunks = False
            return self._instead(upload)
        if lost:
            self._learned.resumes &= not upload.resumed  # the offset it told was wrong, or not the end of it
            upload.gone = answer.status == 404
            self._patience.wait(error)
            return self._instead(upload)
        raise error

    def _continue(self, upload: Upload) -> Upload | None:
        """Where the registry says the upload stands, or a new one; None when the whole blob has arrived."""
        if self._learned.resumes and (standing := self._standing(upload)):
            return standing
        self._restarts += 1
        if self._restarts > 1 and self._patches and upload.tried:
            # Cut twice, forgotten twice: something on the way allows a request only so much time.
            self._shrink(upload)
        return self._instead(upload)

    def _standing(self, upload: Upload) -> Upload | None:
        """The upload as the registry has it; None when it has forgotten it, or has nothing of it.

        distribution 2.8 no longer knows an upload once a request into it was cut: it keeps the bytes that came, and
        then refuses the address for its old offset. It does know those whose requests all were complete.
        """
        answer = self._session.request("GET", upload.location, push=True)
        end = _RANGE.fullmatch(answer.headers.get("Range", ""))
        # An upload of no bytes says 0-0 like one of a single byte: neither is worth continuing.
        upload.gone = answer.status == 404
        if answer.status not in (200, 202, 204) or not end or not 0 < int(end[1]) < self._descriptor.size:
            return None
        return Upload(
            _next(self._session, answer, upload.location), offset=int(end[1]) + 1, least=upload.least, resumed=True
        )

    def _instead(self, upload: Upload) -> Upload | None:
        """A new upload in place of one that is of no more use; None when the registry has the blob after all."""
        at_end = upload.offset + upload.tried >= self._descriptor.size
        self._kept.forget()
        if at_end and self._has_arrived():  # the answer to the last request was lost, not the blob
            return None
        if not upload.gone:
            self.cancel(upload)
        return self.begin()

    def _has_arrived(self) -> bool:
        url = self._session.url(f"blobs/{self._descriptor.digest}")
        return self._session.request("HEAD", url, push=True).status == 200

    def _shrink(self, upload: Upload) -> bool:
        """Send smaller bodies from now on, if that can be: after a 413 (goharbor/harbor behind nginx, Cloudflare)."""
        smaller = next((chunk for chunk in _CHUNKS if chunk < upload.tried), 0)
        if not self._patches or smaller < max(upload.least, 1):
            return False
        self._learned.chunk = min(self._learned.chunk or smaller, smaller)
        return True

    def _error(self, answer: Answer) -> RegistryError:
        return self._session.failure(answer, f"cannot push blob {self._descriptor.digest} to {self._session.name}")


def opened(session: Session, answer: Answer) -> Upload:
    """The upload that a 202 opened; raises RegistryError when it does not say where."""
    least = answer.headers.get("OCI-Chunk-Min-Length", "")
    return Upload(_next(session, answer, ""), least=int(least) if least.isdecimal() else 0)


def _next(session: Session, answer: Answer, otherwise: str) -> str:
    """The absolute address of the next request (``Location`` may be relative)."""
    location = answer.headers.get("Location", "")
    if not location and otherwise:
        return otherwise
    with suppress(ValueError):  # what urljoin cannot read is no address
        location = urljoin(answer.url, location) if location else ""
    return _checked(session, location)


def _checked(session: Session, location: str) -> str:
    """An address that a blob may be sent to."""
    target, registry = split_url(location), split_url(session.base)
    if registry.scheme == "https" and target.scheme == "http" and target.hostname == registry.hostname:
        # A registry that does not know of the TLS proxy in front of it (no X-Forwarded-Proto).
        target = target._replace(scheme=registry.scheme, netloc=registry.netloc)
    if target.scheme not in ("http", "https") or (registry.scheme, target.scheme) == ("https", "http"):
        what = f"{session.name.registry} opened an upload without a usable address"
        raise RegistryError(what, why=f"Location: {redact(location)!r}", fix="ask whoever runs the registry")
    return urlunsplit(target)
