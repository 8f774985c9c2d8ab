"""Bringing a blob to a registry that does not have it: mounted from another repository, or sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from urllib.parse import urlencode

from rayimage.errors import AuthError
from rayimage.http.response import Answer
from rayimage.model.content import Blob, Outcome
from rayimage.model.descriptor import Descriptor
from rayimage.model.reference import Reference
from rayimage.registry.journal import NO_JOURNAL, UploadJournal
from rayimage.registry.outgoing import Meter
from rayimage.registry.quirks import Quirks
from rayimage.registry.session import Session
from rayimage.registry.transfer import Learned, Transfer, Upload, opened

__all__ = ["Uploader"]

_REMEMBERED: Final = 16 * 1024 * 1024
"""Bytes; a smaller blob is sent again sooner than the registry is asked what it has of it."""


class Uploader:
    """Uploads to one repository. Thread-safe; what a refusal teaches (mounts, chunk size) holds for later blobs."""

    def __init__(self, session: Session, quirks: Quirks, journal: UploadJournal = NO_JOURNAL) -> None:
        self._session = session
        self._quirks = quirks
        self._journal = journal
        self._learned = Learned.of(quirks)
        self._unmountable: set[str] = set()

    def put(self, blob: Blob, advance: Callable[[int], None] | None = None) -> Outcome:
        """Make a blob exist that the registry does not have yet. ``advance`` hears each byte once, also after retries.

        Raises RegistryError, AuthError, and ContentError when the bytes are not the blob's.
        """
        answer = self._mount(blob)
        if answer and answer.status == 201:
            return Outcome.MOUNTED
        journal = self._journal if blob.descriptor.size >= _REMEMBERED else NO_JOURNAL
        with self._session.host.uploads, journal.entry(self._session.name, blob.descriptor.digest) as kept:
            transfer = Transfer(self._session, self._quirks, self._learned, blob, kept)
            transfer.push(self._open(transfer, answer), Meter(advance))
        return Outcome.UPLOADED

    def _open(self, transfer: Transfer, mount: Answer | None) -> Upload:
        """The upload to send into: what an earlier process began, what a mount that failed has opened, or a new one."""
        left = transfer.resume()
        if mount is None:
            return left or transfer.begin()
        opening = opened(self._session, mount)
        if left is None:
            return opening
        transfer.cancel(opening)
        return left

    def _mount(self, blob: Blob) -> Answer | None:
        """The registry's answer, 201 or 202, to a mount from the blob's origin; None when there can be none."""
        here, origin = self._session.name, blob.origin
        if origin is None or origin.registry != here.registry or origin.repository == here.repository:
            return None
        if origin.repository in self._unmountable:
            return None
        answer = self._ask(blob.descriptor, origin)
        if answer and answer.status in (201, 202):
            return answer
        # Some registries answer an error instead of 202, mostly for want of rights on the other repository:
        # google/go-containerregistry#1404, #1679.
        self._unmountable.add(origin.repository)
        return None

    def _ask(self, descriptor: Descriptor, origin: Reference) -> Answer | None:
        query = urlencode({"mount": str(descriptor.digest), "from": origin.repository})
        try:
            return self._session.request("POST", self._session.url(f"blobs/uploads/?{query}"), push=True)
        except AuthError:  # the other repository may be closed to us
            return None
