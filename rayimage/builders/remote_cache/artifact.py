"""The cache artifact: one OCI manifest, under a tag of the repository that images are pushed to.

Its layers are

* the images' own wheel layers, with their marks: a registry that collects garbage keeps what a tagged manifest names;
* for each of these a *record*, the list of its files, read only when files must be compared again;
* for each set of wheels that was compared on its base (``checked_name``), what these wheels say about themselves;
* inventories of bases, by the base's digest and the inventory's format;
* manifest and config of bases in registries, so that a base's own registry need not be asked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

from rayimage.builders.remote_cache.marks import LAYER_KEY, KnownLayer, Stored, read_marks
from rayimage.errors import ContentError, RayimageError
from rayimage.model.descriptor import EMPTY_CONFIG, Descriptor
from rayimage.model.digest import Digest
from rayimage.model.manifest import Manifest
from rayimage.model.reference import Reference

__all__ = [
    "Contents",
    "base_descriptor",
    "checked_descriptor",
    "collecting",
    "inventory_descriptor",
    "read_artifact",
    "record_descriptor",
    "write_artifact",
]

ARTIFACT_TYPE: Final = "application/vnd.rayimage.cache.v1"
RECORD: Final = "application/vnd.rayimage.cache.record.v1+json+gzip"
INVENTORY: Final = "application/vnd.rayimage.cache.inventory.v1+json+gzip"
BASE: Final = "application/vnd.rayimage.cache.base.v1+json+gzip"
_BASE: Final = "io.rayimage.base.digest"
_FORMAT: Final = "io.rayimage.inventory.format"
CHECKED: Final = "application/vnd.rayimage.cache.checked.v1+json+gzip"
_NAME: Final = "io.rayimage.cache.checked"
_MOST_LAYERS: Final = 400
"""With their records 0.5 MB of manifest; the distribution specification has registries take 4 MB."""
_MOST_INVENTORIES: Final = 16
_MOST_CHECKED: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a cache knows, latest first."""

    layers: Mapping[Digest, KnownLayer] = field(default_factory=dict)
    inventories: Mapping[tuple[Digest, int], Stored] = field(default_factory=dict)
    """By the base's digest and the inventory's format."""
    bases: Mapping[Digest, Stored] = field(default_factory=dict)
    """By the base's digest: its manifest and config."""
    checked: Mapping[Digest, Stored | None] = field(default_factory=dict)
    """By name (``checked_name``): what was found to lie together without a clash, and its packages if they are kept."""
    doubts: tuple[str, ...] = ()
    """What was left out, since it contradicts itself."""

    def over(self, older: Contents) -> Contents:
        """These contents and, behind them, what only ``older`` has; the oldest of too many are dropped."""
        return Contents(
            layers=_first(_MOST_LAYERS, {**self.layers, **_without(older.layers, self.layers)}),
            inventories=_first(
                _MOST_INVENTORIES, {**self.inventories, **_without(older.inventories, self.inventories)}
            ),
            bases=_first(_MOST_INVENTORIES, {**self.bases, **_without(older.bases, self.bases)}),
            checked=_first(
                _MOST_CHECKED,
                {name: self.checked.get(name) or older.checked.get(name) for name in (*self.checked, *older.checked)},
            ),
            doubts=(*self.doubts, *older.doubts),
        )


def record_descriptor(data: bytes, key: Digest) -> Descriptor:
    """The descriptor of the record ``data`` of layer ``key``."""
    return Descriptor(media_type=RECORD, digest=Digest.of(data), size=len(data), annotations={LAYER_KEY: str(key)})


def inventory_descriptor(data: bytes, base: Digest, format_: int) -> Descriptor:
    """The descriptor of ``data``, the inventory of ``base``."""
    annotations = {_BASE: str(base), _FORMAT: str(format_)}
    return Descriptor(media_type=INVENTORY, digest=Digest.of(data), size=len(data), annotations=annotations)


def base_descriptor(data: bytes, base: Digest) -> Descriptor:
    """The descriptor of ``data``, manifest and config of ``base``."""
    annotations = {_BASE: str(base)}
    return Descriptor(media_type=BASE, digest=Digest.of(data), size=len(data), annotations=annotations)


def checked_descriptor(data: bytes, name: Digest) -> Descriptor:
    """The descriptor of ``data``, the packages of what is called ``name``."""
    annotations = {_NAME: str(name)}
    return Descriptor(media_type=CHECKED, digest=Digest.of(data), size=len(data), annotations=annotations)


def write_artifact(contents: Contents) -> Manifest:
    """The manifest that says ``contents``; its blobs are theirs and the empty config."""
    layers = [layer.descriptor for layer in contents.layers.values()]
    layers += [layer.record.descriptor for layer in contents.layers.values() if layer.record]
    layers += [checked.descriptor for checked in contents.checked.values() if checked]
    layers += [base.descriptor for base in contents.bases.values()]
    layers += [inventory.descriptor for inventory in contents.inventories.values()]
    return Manifest.build(config=EMPTY_CONFIG, layers=tuple(layers), annotations={}, artifact_type=ARTIFACT_TYPE)


def read_artifact(manifest: Manifest, place: Reference) -> Contents | None:
    """What the cache artifact ``manifest`` of the repository ``place`` says; None when it is another kind of thing."""
    if json.loads(manifest.raw).get("artifactType") != ARTIFACT_TYPE:
        return None
    layers: dict[Digest, KnownLayer] = {}
    records: dict[str, Stored] = {}
    inventories: dict[tuple[Digest, int], Stored] = {}
    bases: dict[Digest, Stored] = {}
    checked: dict[Digest, Stored | None] = {}
    doubts: list[str] = []
    for each in manifest.layers:
        with collecting(doubts):
            if each.media_type == RECORD:
                records[each.annotations.get(LAYER_KEY, "")] = Stored(each, place)
            elif each.media_type == CHECKED:
                checked.setdefault(_named(each, _NAME), Stored(each, place))
            elif each.media_type == BASE:
                bases.setdefault(_named(each, _BASE), Stored(each, place))
            elif each.media_type == INVENTORY:
                inventories.setdefault((_named(each, _BASE), _format(each)), Stored(each, place))
            elif layer := read_marks(each, place):
                layers.setdefault(layer.key, layer)
    return Contents(
        layers={key: replace(layer, record=records.get(str(key))) for key, layer in layers.items()},
        inventories=inventories,
        bases=bases,
        checked=checked,
        doubts=tuple(doubts),
    )


@contextmanager
def collecting(doubts: list[str]) -> Iterator[None]:
    """Turn a ContentError into a line of ``doubts``."""
    try:
        yield
    except ContentError as error:
        doubts.append(f"{error.what}: {error.why}")


def _named(descriptor: Descriptor, annotation: str) -> Digest:
    try:
        return Digest.parse(descriptor.annotations[annotation])
    except (KeyError, RayimageError) as error:
        raise ContentError(
            f"blob {descriptor.digest.short} of the cache has no {annotation}", why=repr(error)
        ) from error


def _format(descriptor: Descriptor) -> int:
    number = descriptor.annotations.get(_FORMAT, "")
    return int(number) if number.isdecimal() else 0


def _without(items: Mapping[Any, Any], others: Mapping[Any, Any]) -> dict[Any, Any]:
    return {key: value for key, value in items.items() if key not in others}


def _first(count: int, items: dict[Any, Any]) -> dict[Any, Any]:
    return dict(list(items.items())[:count])
