"""Where a build asks which layers exist: cache artifacts and images, by tag or digest."""

from __future__ import annotations

from typing import Final, Protocol

from rayimage import __version__
from rayimage.builders.remote_cache.artifact import Contents, collecting, read_artifact
from rayimage.builders.remote_cache.marks import KnownLayer, read_marks
from rayimage.errors import ContentError
from rayimage.model.content import ContentStore
from rayimage.model.descriptor import Descriptor
from rayimage.model.digest import Digest
from rayimage.model.image_config import ImageConfig
from rayimage.model.manifest import Index, Manifest, canonical_json
from rayimage.model.reference import Reference

__all__ = ["CacheStore", "checked_name", "current_checked_name", "read_blob", "read_source"]

_CONFIG_LIMIT: Final = 16 << 20
_MOST_CHILDREN: Final = 16


class CacheStore(ContentStore, Protocol):
    """A repository of a registry."""

    @property
    def name(self) -> Reference:
        """The repository, without tag and digest."""
        ...

    def find_manifest(self, target: str) -> Manifest | Index | None:
        """As ``get_manifest``, but None when there is no such manifest."""
        ...

    def blob_size(self, digest: Digest, *, push: bool = False) -> int | None:
        """The length of a blob, None when the repository does not have it; ``push``: something will be put there."""
        ...


def read_source(store: CacheStore, target: str) -> Contents:
    """What the cache artifact, image or index ``target`` of ``store`` tells; nothing when there is none.

    Raises RegistryError, AuthError, ContentError.
    """
    found = store.find_manifest(target)
    if isinstance(found, Index):
        contents = Contents()
        for child in found.manifests[:_MOST_CHILDREN]:
            manifest = store.get_manifest(str(child.digest))
            if isinstance(manifest, Manifest):
                contents = contents.over(_read(store, manifest))
        return contents
    return _read(store, found) if found else Contents()


def checked_name(version: str, lock: str) -> Digest:
    """What files are called that this ``version`` compared; ``lock`` is the digest of base, wheels and moves."""
    return Digest.of(canonical_json([version, lock]))


def current_checked_name(lock_digest: Digest) -> Digest:
    """The name under which this version of the program looks for a comparison done before."""
    return checked_name(__version__, str(lock_digest))


def read_blob(store: CacheStore, descriptor: Descriptor, limit: int) -> bytes:
    """The whole blob; raises ContentError when it is over ``limit`` bytes, or not what its descriptor says."""
    if descriptor.size > limit:
        raise ContentError(f"blob {descriptor.digest} is too long", why=f"it has {descriptor.size} bytes")
    with store.open_blob(descriptor) as stream:
        return b"".join(iter(lambda: stream.read(1 << 20), b""))


def _read(store: CacheStore, manifest: Manifest) -> Contents:
    artifact = read_artifact(manifest, store.name)
    return artifact or _read_image(store, manifest)


def _read_image(store: CacheStore, manifest: Manifest) -> Contents:
    """An image tells of its own layers; its config has to agree. It was checked when it was built."""
    lock = manifest.annotations.get("io.rayimage.lock")
    if lock is None:
        return Contents()
    config = ImageConfig.parse(read_blob(store, manifest.config, _CONFIG_LIMIT))
    if len(config.diff_ids) != len(manifest.layers):
        why = f"{len(manifest.layers)} layers, {len(config.diff_ids)} diffIDs"
        return Contents(doubts=(f"image {manifest.digest.short} contradicts itself: {why}",))
    layers: dict[Digest, KnownLayer] = {}
    doubts: list[str] = []
    for descriptor, diff_id in zip(manifest.layers, config.diff_ids, strict=True):
        with collecting(doubts):
            if layer := read_marks(descriptor, store.name, diff_id):
                layers[layer.key] = layer
    version = manifest.annotations.get("io.rayimage.version", "")
    return Contents(layers=layers, checked={checked_name(version, lock): None}, doubts=tuple(doubts))
