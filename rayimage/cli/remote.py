"""The registry as the cache, as commands use it: where to look, and what to keep there afterwards."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from rayimage.cli.app import App
from rayimage.cli.destination import Destination
from rayimage.errors import RayimageError
from rayimage.model.reference import Reference

if TYPE_CHECKING:
    from rayimage.builders.direct import BuiltImage
    from rayimage.builders.inputs import BuildInput
    from rayimage.builders.publish import Release
    from rayimage.builders.remote_cache import CacheStore, PushedLayer, RemoteCache
    from rayimage.config import Project
    from rayimage.layers import WheelMetadata

__all__ = ["compare_with_cache", "keep_in_cache", "open_cache"]

_PINNED: Final = re.compile(r"[a-zA-Z0-9][\w.:/-]*@sha256:[0-9a-f]{64}")
_MOST_PINNED: Final = 16


def open_cache(
    app: App,
    project: Project,
    destination: Destination,
    store: CacheStore,
    *,
    tag: str | None = None,
    push: bool = True,
) -> RemoteCache:
    """The cache of the destination's repository, and what ``cache-from`` adds; reading starts at once. To be closed.

    Looked at are the images that the environment's YAML names by digest, the cache tag, and ``tag`` of every role.
    ``push`` says whether the repository is going to be pushed to.
    """
    from rayimage.builders.remote_cache import CACHE_TAG, RemoteCache

    named = [Reference.parse(text) for text in project.cache_from]
    tags = [store.name.with_tag(f"{tag}-{role.name}") for role in project.roles] if tag else []
    sources = [name if name.tag else name.with_tag(CACHE_TAG) for name in named if not name.digest]
    return RemoteCache(
        store,
        open_store=app.registries.open,
        pinned=[*(name for name in named if name.digest), *_pinned(destination, store.name)],
        sources=[*tags, *sources],
        believe_tags=project.cache_trust == "repository",
        progress=app.progress,
        push=push,
    )


def keep_in_cache(app: App, cache: RemoteCache, release: Release, inputs: Sequence[BuildInput]) -> None:
    """Write what this build adds to the cache; that it cannot be written is no reason to fail, the images are there."""
    from rayimage.builders.remote_cache import BaseDocuments, News, update_cache
    from rayimage.builders.remote_layers import checked_by

    bases = [item.base for item in inputs]
    inventories = {item.inventory.image: item.inventory for item in inputs}
    built = {(image.plan.role, image.plan.platform): image for images in release.images.values() for image in images}
    news = News(
        layers=tuple(_pushed_layers(release)),
        inventories=tuple(inventories.values()),
        bases={base.digest: BaseDocuments(base.manifest.raw, base.config.raw) for base in bases if base.origin},
        checked={checked_by(each): _packages(each, built[each.plan.role, each.plan.platform]) for each in inputs},
    )
    try:
        update_cache(cache, news, app.progress)
    except RayimageError as error:
        app.progress.note(f"the cache in {cache.target.name} was not written: {error.why or error.what}")


def compare_with_cache(app: App, cache: RemoteCache, release: Release) -> None:
    """Warn of every layer that was made here and that the registry has otherwise under the same key."""
    for text in cache.differing(_pushed_layers(release)):
        app.progress.warn(f"{text}: somebody, or something, wrote a wrong layer there")


def _pushed_layers(release: Release) -> Iterator[PushedLayer]:
    """The wheel layers of all images."""
    from rayimage.builders.remote_cache import PushedLayer
    from rayimage.image.plan import LayerKind

    for layer in (layer for images in release.images.values() for image in images for layer in image.layers):
        if layer.kind is LayerKind.WHEELS and layer.key and layer.diff_id:
            yield PushedLayer(key=layer.key, descriptor=layer.descriptor, diff_id=layer.diff_id, record=layer.record)


def _packages(item: BuildInput, image: BuiltImage) -> tuple[WheelMetadata, ...] | None:
    """Those of the lock: the project's own wheel is another one with every edit."""
    if image.packages is None:
        return None
    locked = {wheel.filename for wheel in item.lock.wheels}
    return tuple(each for each in image.packages if each.filename in locked)


def _pinned(destination: Destination, repository: Reference) -> list[Reference]:
    """The images of ``repository`` that the YAML names by digest: what they say is as trustworthy as the YAML."""
    texts = [file.read_text(encoding="utf-8", errors="replace") for file in destination.manifests]
    found = []
    for match in dict.fromkeys(match for text in texts for match in _PINNED.findall(text)):
        try:
            reference = Reference.parse(match)
        except RayimageError:
            continue
        if reference.name == repository and reference.digest:
            found.append(repository.with_digest(reference.digest))
    return list(dict.fromkeys(found))[:_MOST_PINNED]
