"""One repository of one registry: manifests and blobs in and out (OCI distribution specification 1.1)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Final

from rayimage.errors import ContentError, RegistryError, UsageError
from rayimage.http.response import Answer
from rayimage.http.transport import Transport
from rayimage.model import media
from rayimage.model.content import Blob, ByteStream, Outcome
from rayimage.model.descriptor import Descriptor
from rayimage.model.digest import Digest
from rayimage.model.manifest import Index, Manifest, parse_manifest
from rayimage.model.reference import Reference
from rayimage.registry.auth import Authenticator
from rayimage.registry.download import BlobStream
from rayimage.registry.failures import REGISTRY, error_codes
from rayimage.registry.host import CONNECTIONS, Host
from rayimage.registry.journal import NO_JOURNAL, UploadJournal
from rayimage.registry.keychain import Keychain, default_keychain
from rayimage.registry.quirks import quirks_of
from rayimage.registry.session import Session
from rayimage.registry.upload import Uploader

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Repository", "open_repository"]

# The specification asks registries for 4 MB; a manifest is read into memory, so there has to be an end.
_MANIFEST_LIMIT: Final = 16 * 1024 * 1024
_ACCEPT: Final = {"Accept": ", ".join(media.ACCEPT)}
_MOMENT: Final = 30.0
"""Seconds for which a blob that was seen counts as there; those who collect garbage spare what is used for longer."""
_UNKNOWN: Final = frozenset({"MANIFEST_UNKNOWN", "NAME_UNKNOWN"})


def open_repository(name: Reference, *, mount_from: Sequence[Reference] | None = None) -> Repository:
    """The repository that ``name`` is in, with this user's credentials. No request is made yet.

    ``mount_from`` names repositories of the same registry that blobs may be mounted from: the right to pull from them
    is asked for in the same token. Others in the list are ignored. None says that the repository is mostly read.
    """
    return Repository(name, mount_from=mount_from)


class Repository:
    """A ``ContentStore`` on a registry. Thread-safe; close it, or use it as a context manager.

    Every method raises RegistryError when the registry cannot be reached or refuses, and AuthError for 401 and 403.
    """

    def __init__(
        self,
        name: Reference,
        *,
        mount_from: Sequence[Reference] | None = None,
        keychain: Keychain | None = None,
        host: Host | None = None,
        journal: UploadJournal = NO_JOURNAL,
    ) -> None:
        self.name = name.name
        host = host or Host(Transport(REGISTRY, connections=CONNECTIONS))
        siblings = None if mount_from is None else [each for each in mount_from if each.registry == name.registry]
        keychain = keychain or default_keychain()
        auth = Authenticator(host, self.name, keychain=keychain, mount_from=siblings)
        self._session = Session(self.name, host, auth)
        self._uploader = Uploader(self._session, quirks_of(name.registry), journal)
        self._seen: dict[Digest, float] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that are kept for later requests."""
        self._session.transport.close()

    def get_manifest(self, target: str) -> Manifest | Index:
        """The manifest or index under a tag or digest; raises RegistryError when there is none.

        Raises ContentError when the bytes are not what the digest asked for, or the registry's own, says.
        """
        answer = self._fetch(target)
        if answer.status != 200:
            raise self._session.failure(answer, f"cannot read {self._called(target)}")
        return self._parse(target, answer)

    def find_manifest(self, target: str) -> Manifest | Index | None:
        """The same, but None when the registry says that it has no such manifest or repository."""
        answer = self._fetch(target)
        if _is_absent(answer):
            return None
        if answer.status != 200:
            raise self._session.failure(answer, f"cannot read {self._called(target)}")
        return self._parse(target, answer)

    def head(self, target: str) -> Descriptor | None:
        """What a tag or digest points at, without reading it (free of Docker Hub's pull limit); None when absent."""
        answer = self._session.request("HEAD", self._session.url(f"manifests/{target}"), headers=_ACCEPT)
        if answer.status == 404:
            return None
        if answer.retryable:
            raise self._session.failure(answer, f"cannot look up {self._called(target)}")
        described = _descriptor(answer) if answer.status == 200 else None
        if described and (":" not in target or target == str(described.digest)):
            return described
        # Without a body a HEAD cannot say why it failed, and older servers leave the digest out: ask again.
        manifest = self.find_manifest(target)
        return manifest.descriptor if manifest else None

    def has_blob(self, digest: Digest) -> bool:
        """Whether the repository holds a blob now; registries collect garbage, so ask rather than remember."""
        return self._blob_size(digest, push=False) is not None

    def blob_size(self, digest: Digest, *, push: bool = False) -> int | None:
        """The length of a blob in bytes, -1 if the registry does not tell; None when the repository has no such blob.

        ``put_blob`` does not ask for a blob again that was found here a moment ago; ``push`` says that this will
        follow, so that one token serves both.
        """
        size = self._blob_size(digest, push=push)
        if size is not None:
            self._seen[digest] = time.monotonic()
        return size

    @contextmanager
    def open_blob(self, descriptor: Descriptor) -> Iterator[ByteStream]:
        """A stream of exactly the blob's bytes; it raises ContentError at its end when digest or size differ.

        A connection that is cut is taken up where it was, a bounded number of times.
        """
        stream = BlobStream(self._session, descriptor)
        try:
            yield stream
        finally:
            stream.close()

    def put_blob(self, blob: Blob, advance: Callable[[int], None] | None = None) -> Outcome:
        """Make the blob exist here: it may be there already, be mounted from its origin, or be uploaded.

        ``advance`` hears the bytes sent, each once. Raises ContentError, before the registry has the whole blob, when
        the bytes are not what the descriptor says.
        """
        digest = blob.descriptor.digest
        seen = time.monotonic() - self._seen.get(digest, -_MOMENT) < _MOMENT
        if seen or self._blob_size(digest, push=True) is not None:
            return Outcome.EXISTS
        return self._uploader.put(blob, advance)

    def put_manifest(self, manifest: Manifest | Index, tag: str = "") -> None:
        """Store the raw bytes by digest, or under ``tag``; raises ContentError if the registry got other bytes."""
        target = tag or str(manifest.digest)
        headers = {"Content-Type": manifest.media_type}
        url = self._session.url(f"manifests/{target}")
        answer = self._session.request("PUT", url, headers=headers, body=manifest.raw, push=True)
        if answer.status not in (200, 201, 202):
            raise self._session.failure(answer, f"cannot push {self._called(target)}")
        self._check_told(target, manifest.digest, answer)

    def _blob_size(self, digest: Digest, *, push: bool) -> int | None:
        answer = self._session.request("HEAD", self._session.url(f"blobs/{digest}"), push=push)
        if answer.status not in (200, 404):
            raise self._session.failure(answer, f"cannot look for blob {digest} in {self.name}")
        if answer.status == 404:
            return None
        told = answer.headers.get("Content-Length", "")
        return int(told) if told.isdecimal() else -1

    def _fetch(self, target: str) -> Answer:
        url = self._session.url(f"manifests/{target}")
        return self._session.request("GET", url, headers=_ACCEPT, limit=_MANIFEST_LIMIT)

    def _parse(self, target: str, answer: Answer) -> Manifest | Index:
        if answer.truncated:
            why = f"it is longer than {_MANIFEST_LIMIT} bytes"
            raise RegistryError(f"cannot read {self._called(target)}", why=why, fix="check that it is an image")
        digest = Digest.of(answer.body)
        if ":" in target and target != str(digest):
            why = f"the bytes received have the digest {digest}"
            raise ContentError(f"{self._called(target)} is not what was asked for", why=why, fix=self._distrust)
        self._check_told(target, digest, answer)
        return parse_manifest(answer.body, answer.headers.get("Content-Type", ""))

    def _check_told(self, target: str, digest: Digest, answer: Answer) -> None:
        """``Docker-Content-Digest`` is optional and only ever checked: the digest is the one of the bytes."""
        told = answer.headers.get("Docker-Content-Digest", "")
        if told.startswith("sha256:") and told != str(digest):
            why = f"the bytes have the digest {digest}, the registry says {told}"
            raise ContentError(f"{self._called(target)} changed on its way", why=why, fix=self._distrust)

    @property
    def _distrust(self) -> str:
        return f"a proxy or {self.name.registry} changes content; ask whoever runs it"

    def _called(self, target: str) -> str:
        return f"{self.name}{'@' if ':' in target else ':'}{target}"


def _is_absent(answer: Answer) -> bool:
    if answer.status == 404:
        return True
    return answer.status == 400 and bool(error_codes(answer) & _UNKNOWN)


def _descriptor(answer: Answer) -> Descriptor | None:
    """The descriptor in the headers of a HEAD, if they are all there."""
    kind = answer.headers.get("Content-Type", "").partition(";")[0].strip()
    digest, size = answer.headers.get("Docker-Content-Digest", ""), answer.headers.get("Content-Length", "")
    if kind not in media.ACCEPT or not size.isdecimal():
        return None
    try:
        return Descriptor(media_type=kind, digest=Digest.parse(digest), size=int(size))
    except UsageError:
        return None
