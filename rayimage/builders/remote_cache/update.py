"""After a push: the cache artifact is written, when this build has something that it does not know yet."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from rayimage.base import INVENTORY_FORMAT, encode_inventory
from rayimage.builders.remote_cache.artifact import (
    Contents,
    base_descriptor,
    checked_descriptor,
    inventory_descriptor,
    record_descriptor,
    write_artifact,
)
from rayimage.builders.remote_cache.cache import CACHE_TAG, RemoteCache
from rayimage.builders.remote_cache.marks import KnownLayer, Stored
from rayimage.builders.remote_cache.records import BaseDocuments, PushedLayer, write_base, write_packages, write_record
from rayimage.errors import RegistryError
from rayimage.layers import WheelMetadata
from rayimage.model.content import Blob
from rayimage.model.descriptor import EMPTY, EMPTY_CONFIG
from rayimage.model.digest import Digest
from rayimage.model.inventory import Inventory
from rayimage.model.progress import SILENT, Progress

__all__ = ["News", "update_cache"]

_PARALLEL: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What a build knows after its push."""

    layers: tuple[PushedLayer, ...]
    inventories: tuple[Inventory, ...]
    bases: Mapping[Digest, BaseDocuments]
    """Bases in registries, by digest."""
    checked: Mapping[Digest, tuple[WheelMetadata, ...] | None]
    """What was compared, by ``checked_name``, and what its wheels say about themselves if this build knows that."""


def update_cache(cache: RemoteCache, news: News, progress: Progress = SILENT) -> bool:
    """Bring the target's cache up to ``news``; whether there was something to write.

    Two builds at once: the last one wins, and what the other added is added by a later build that has it.
    Raises RegistryError, AuthError: the images are there all the same.
    """
    if not _is_new(news, cache.own):
        return False
    with progress.stage("cache"):
        _write(cache, news, cache.read_again())
    return True


def _write(cache: RemoteCache, news: News, old: Contents) -> None:
    blobs: list[Blob] = [Blob.of_bytes(EMPTY_CONFIG, EMPTY)]
    layers = [_layer(pushed, old, cache, blobs) for pushed in news.layers]
    contents = Contents(
        layers={layer.key: layer for layer in layers},
        inventories={(each.image, INVENTORY_FORMAT): _inventory(each, old, cache, blobs) for each in news.inventories},
        bases={name: _base(name, documents, old, cache, blobs) for name, documents in news.bases.items()},
        checked={name: _checked(name, packages, old, cache, blobs) for name, packages in news.checked.items()},
    )
    target = cache.target
    with ThreadPoolExecutor(max_workers=_PARALLEL) as pool:
        list(pool.map(target.put_blob, {blob.descriptor.digest: blob for blob in blobs}.values()))
    try:
        target.put_manifest(write_artifact(contents.over(old)), tag=CACHE_TAG)
    except RegistryError:
        # Blobs that the old artifact names may be gone; those of this build are there for certain.
        target.put_manifest(write_artifact(contents), tag=CACHE_TAG)


def _is_new(news: News, old: Contents) -> bool:
    layers = any(_adds(layer, old) for layer in news.layers)
    inventories = any((each.image, INVENTORY_FORMAT) not in old.inventories for each in news.inventories)
    checked = any(packages is not None and not old.checked.get(name) for name, packages in news.checked.items())
    return layers or inventories or checked or not news.bases.keys() <= old.bases.keys()


def _adds(layer: PushedLayer, old: Contents) -> bool:
    known = old.layers.get(layer.key)
    if known is None or known.descriptor != layer.descriptor:
        return True
    return known.record is None and layer.record is not None


def _layer(pushed: PushedLayer, old: Contents, cache: RemoteCache, blobs: list[Blob]) -> KnownLayer:
    """``pushed`` with its record, which is added to ``blobs`` where the target does not have it."""
    place = cache.target.name
    layer = KnownLayer(key=pushed.key, descriptor=pushed.descriptor, diff_id=pushed.diff_id, place=place)
    if not _adds(pushed, old):
        return old.layers[pushed.key]
    if pushed.record is not None:
        data = write_record(layer, pushed.record)
        descriptor = record_descriptor(data, pushed.key)
        blobs.append(Blob.of_bytes(descriptor, data))
        return replace(layer, record=Stored(descriptor, place))
    elsewhere = cache.contents.layers.get(pushed.key)
    if elsewhere is None or elsewhere.record is None or elsewhere.descriptor != pushed.descriptor:
        return layer
    record = elsewhere.record
    return replace(layer, record=_copy(record, cache, blobs))


def _base(name: Digest, documents: BaseDocuments, old: Contents, cache: RemoteCache, blobs: list[Blob]) -> Stored:
    if stored := old.bases.get(name):
        return stored
    data = write_base(documents)
    descriptor = base_descriptor(data, name)
    blobs.append(Blob.of_bytes(descriptor, data))
    return Stored(descriptor, cache.target.name)


def _checked(
    name: Digest,
    packages: tuple[WheelMetadata, ...] | None,
    old: Contents,
    cache: RemoteCache,
    blobs: list[Blob],
) -> Stored | None:
    if stored := old.checked.get(name):
        return stored
    if packages is None:
        return None
    data = write_packages(name, packages)
    descriptor = checked_descriptor(data, name)
    blobs.append(Blob.of_bytes(descriptor, data))
    return Stored(descriptor, cache.target.name)


def _copy(stored: Stored, cache: RemoteCache, blobs: list[Blob]) -> Stored:
    """``stored`` in the target, after it is added to ``blobs``."""
    blobs.append(Blob(descriptor=stored.descriptor, open=partial(cache.open_stored, stored), origin=stored.place))
    return Stored(stored.descriptor, cache.target.name)


def _inventory(inventory: Inventory, old: Contents, cache: RemoteCache, blobs: list[Blob]) -> Stored:
    if stored := old.inventories.get((inventory.image, INVENTORY_FORMAT)):
        return stored
    data = encode_inventory(inventory)
    descriptor = inventory_descriptor(data, inventory.image, INVENTORY_FORMAT)
    blobs.append(Blob.of_bytes(descriptor, data))
    return Stored(descriptor, cache.target.name)
