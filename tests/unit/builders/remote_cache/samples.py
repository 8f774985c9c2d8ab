"""Layers as a registry tells of them, and a registry that is a dictionary."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from rayimage.builders.remote_cache import KnownLayer, marked
from rayimage.errors import RegistryError
from rayimage.model import media
from rayimage.model.content import Blob, ByteStream, Outcome
from rayimage.model.descriptor import Descriptor
from rayimage.model.digest import Digest
from rayimage.model.manifest import Index, Manifest
from rayimage.model.reference import Reference
from tests.support.values import digest

PLACE = Reference("registry.example.com", "team/app")


def known(name: str, size: int = 100, place: Reference = PLACE) -> KnownLayer:
    bare = Descriptor(media_type=media.OCI_LAYER_GZIP, digest=digest(f"blob of {name}"), size=size)
    key, diff_id = digest(f"key of {name}"), digest(f"tar of {name}")
    return KnownLayer(key=key, descriptor=marked(bare, key, diff_id), diff_id=diff_id, place=place)


@dataclass
class Store:
    """A repository in memory that counts what it is asked."""

    name: Reference = PLACE
    blobs: dict[Digest, bytes] = field(default_factory=dict)
    sizes: dict[Digest, int] = field(default_factory=dict)
    manifests: dict[str, Manifest | Index] = field(default_factory=dict)
    broken: bool = False
    refuse_once: bool = False
    asked: list[str] = field(default_factory=list)

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        if self.broken:
            raise RegistryError("cannot", why="it is out of order")

    def find_manifest(self, target: str) -> Manifest | Index | None:
        self._ask(f"manifest {target}")
        return self.manifests.get(target)

    def get_manifest(self, target: str) -> Manifest | Index:
        self._ask(f"manifest {target}")
        return self.manifests[target]

    def head(self, target: str) -> Descriptor | None:
        found = self.manifests.get(target)
        return found.descriptor if found else None

    def blob_size(self, digest: Digest, *, push: bool = False) -> int | None:
        self._ask(f"size {digest.short}")
        return self.sizes.get(digest, len(self.blobs[digest]) if digest in self.blobs else None)

    def open_blob(self, descriptor: Descriptor) -> AbstractContextManager[ByteStream]:
        self._ask(f"blob {descriptor.digest.short}")
        if descriptor.digest not in self.blobs:
            raise RegistryError("no blob", why="404")
        return io.BytesIO(self.blobs[descriptor.digest])

    def put_blob(self, blob: Blob, advance: Callable[[int], None] | None = None) -> Outcome:
        self._ask(f"put {blob.descriptor.digest.short}")
        with blob.open() as stream:
            self.blobs[blob.descriptor.digest] = stream.read()
        return Outcome.UPLOADED

    def put_manifest(self, manifest: Manifest | Index, tag: str = "") -> None:
        self._ask(f"put manifest {tag}")
        if self.refuse_once:
            self.refuse_once = False
            raise RegistryError("a blob is unknown", why="MANIFEST_BLOB_UNKNOWN")
        self.manifests[str(manifest.digest)] = manifest
        if tag:
            self.manifests[tag] = manifest
