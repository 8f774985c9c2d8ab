"""Bases that were read before: a manifest or config that is asked for by digest is not asked for twice.

A build of changed code then sends its base's registry nothing at all. On Docker Hub every GET of a manifest counts
against the limit of pulls (docs.docker.com/docker-hub/usage/pulls).
"""

from __future__ import annotations

import io
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Final

from rayimage.base.inventory import BaseCache
from rayimage.base.resolve import OpenRepository, SourceRepository
from rayimage.cachedir import CacheDir
from rayimage.errors import ContentError
from rayimage.files import write_atomic
from rayimage.model import media
from rayimage.model.content import ByteStream
from rayimage.model.descriptor import Descriptor
from rayimage.model.digest import Digest
from rayimage.model.manifest import Index, Manifest, parse_manifest
from rayimage.model.reference import Reference

__all__ = ["RememberedBases"]

_CONFIGS: Final = frozenset({media.OCI_CONFIG, media.DOCKER_CONFIG})
_CONFIG_LIMIT: Final = 16 << 20


class RememberedBases:
    """Repositories that bases are read from, their small parts kept in ``directory`` if one is given.

    ``shared`` may have what the directory has not; whatever it says is compared with the digest.

    Within one command a tag means one image, also if it moves meanwhile: roles on the same base get the same.
    """

    def __init__(
        self, open_repository: OpenRepository, directory: Path | None, shared: BaseCache | None = None
    ) -> None:
        self._open = open_repository
        self._directory = directory
        self._shared = shared
        self._opened: dict[Reference, _Remembered] = {}

    def open(self, name: Reference) -> SourceRepository:
        """The repository of ``name``."""
        if name not in self._opened:
            self._opened[name] = _Remembered(self._open(name), self._directory, self._shared)
        return self._opened[name]


class _Remembered:
    def __init__(self, repository: SourceRepository, directory: Path | None, shared: BaseCache | None) -> None:
        self._repository = repository
        self._directory = directory
        self._shared = shared
        self._seen: dict[str, Manifest | Index] = {}

    def find_manifest(self, target: str) -> Manifest | Index | None:
        found = self._known(target)
        if found is None:
            found = self._repository.find_manifest(target)
        return self._learn(target, found) if found else None

    def get_manifest(self, target: str) -> Manifest | Index:
        return self._learn(target, self._known(target) or self._repository.get_manifest(target))

    def open_blob(self, descriptor: Descriptor) -> AbstractContextManager[ByteStream]:
        if descriptor.media_type not in _CONFIGS or descriptor.size > _CONFIG_LIMIT:
            return self._repository.open_blob(descriptor)
        data = self._find(descriptor.digest)
        if data is None:
            with self._repository.open_blob(descriptor) as stream:
                data = b"".join(iter(lambda: stream.read(1 << 16), b""))
        self._store(descriptor.digest, data)
        return io.BytesIO(data)

    def _known(self, target: str) -> Manifest | Index | None:
        if target in self._seen or not target.startswith("sha256:"):
            return self._seen.get(target)
        data = self._find(Digest.parse(target))
        if data is None:
            return None
        with suppress(ContentError):
            return parse_manifest(data, "")
        return None

    def _learn(self, target: str, manifest: Manifest | Index) -> Manifest | Index:
        if target not in self._seen:
            self._seen[target] = manifest
            self._store(manifest.digest, manifest.raw)
        return manifest

    def _find(self, digest: Digest) -> bytes | None:
        found = self._load(digest)
        if found is None and self._shared is not None:
            found = self._shared.document(digest)
        return found if found is not None and Digest.of(found) == digest else None

    def _load(self, digest: Digest) -> bytes | None:
        """What was kept under ``digest``; None when there is nothing, or something else by now."""
        if self._directory is None:
            return None
        try:
            data = (self._directory / digest.hex).read_bytes()
        except OSError:
            return None
        CacheDir(self._directory.parent).use(self._directory / digest.hex)
        return data if Digest.of(data) == digest else None

    def _store(self, digest: Digest, data: bytes) -> None:
        if self._directory is not None and self._load(digest) is None:
            with suppress(OSError):  # a cache that cannot be written is none
                write_atomic(self._directory / digest.hex, data)
