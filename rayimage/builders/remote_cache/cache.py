"""The registry as the cache: which layers exist, what their files are, what bases contain.

Everything here is a shortcut. What cannot be read, contradicts itself or is gone is as good as unknown, and a note says
so; whoever asks builds what is unknown. docs/registry-cache.md has the trust model.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Final, TypeVar

from rayimage.base import INVENTORY_FORMAT
from rayimage.builders.remote_cache.artifact import Contents
from rayimage.builders.remote_cache.marks import KnownLayer, Stored
from rayimage.builders.remote_cache.records import PushedLayer, Record, read_base, read_packages, read_record
from rayimage.builders.remote_cache.sources import CacheStore, read_blob, read_source
from rayimage.errors import RayimageError
from rayimage.layers import WheelMetadata
from rayimage.model.content import ByteStream
from rayimage.model.digest import Digest
from rayimage.model.progress import SILENT, Progress
from rayimage.model.reference import Reference

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["CACHE_TAG", "RemoteCache"]

CACHE_TAG: Final = "rayimage-cache"
_PARALLEL: Final = 16
_BLOB_LIMIT: Final = 64 << 20

_Read = TypeVar("_Read")
OpenStore = Callable[[Reference], CacheStore]


class RemoteCache:
    """What the repository of ``target`` and other ``sources`` tell. Thread-safe; use it as a context manager.

    ``pinned`` are images and caches by digest, named by files under version control: what they say counts more than
    what anybody put under a tag since, and it is all that counts unless ``believe_tags``. ``push`` says whether the
    target is going to be written to. Reading starts at once, in the background; whoever needs an answer waits for it.
    """

    def __init__(  # noqa: PLR0913 -- keyword arguments
        self,
        target: CacheStore,
        *,
        open_store: OpenStore,
        pinned: Sequence[Reference] = (),
        sources: Sequence[Reference] = (),
        progress: Progress = SILENT,
        push: bool = True,
        believe_tags: bool = True,
    ) -> None:
        self.target = target
        self._push = push
        self._progress = progress
        self._open_store = open_store
        own = target.name.with_tag(CACHE_TAG)
        self._stores: dict[Reference, CacheStore] = {target.name: target}
        for source in (*pinned, *sources):
            if source.name not in self._stores:
                self._stores[source.name] = open_store(source.name)
        self._pool = ThreadPoolExecutor(max_workers=_PARALLEL, thread_name_prefix="cache")
        names = dict.fromkeys((*pinned, own, *sources))
        # The cache tag first: more questions hang on its answer than on others'.
        first = sorted(names, key=lambda name: name != own)
        self._reads: dict[Reference, Future[Contents]] = {name: self._pool.submit(self._read, name) for name in first}
        self._own = own
        self._lock = threading.Lock()
        self._inventories: dict[Digest, Future[bytes | None]] = {}
        self._documents: dict[Digest, bytes] = {}
        self._believed = [name for name in names if believe_tags or name.digest]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    @property
    def own(self) -> Contents:
        """What stands under the cache tag of the target."""
        return self._reads[self._own].result()

    def read_again(self) -> Contents:
        """``own`` as it is now: another build may have written it meanwhile."""
        return self._read(self._own)

    @cached_property
    def contents(self) -> Contents:
        """All that the sources tell; where they differ, a pinned image is believed, and a warning says so."""
        merged = Contents()
        for name in self._believed:
            found = self._reads[name].result()
            for doubt in found.doubts:
                self._progress.warn(f"{name}: {doubt}; that layer is not used")
            for key, layer in found.layers.items():
                known = merged.layers.get(key)
                if known and known.descriptor.digest != layer.descriptor.digest:
                    self._progress.warn(f"{name} has another layer {key.short} than {known.place}; it is not used")
            merged = merged.over(found)
        return merged

    def differing(self, layers: Iterable[PushedLayer]) -> list[str]:
        """Whatever the sources say of layers that were made here, and that is not so; in words."""
        return [
            f"{known.place} has {known.descriptor.digest} for layer {layer.key.short}, made here it is"
            f" {layer.descriptor.digest}"
            for layer in layers
            if (known := self.contents.layers.get(layer.key)) and known.descriptor != layer.descriptor
        ]

    def find(self, keys: Iterable[Digest]) -> Mapping[Digest, KnownLayer]:
        """The layers of ``keys`` that are known and are there now, with the length that their descriptor says."""
        known = [layer for key in dict.fromkeys(keys) if (layer := self.contents.layers.get(key))]
        there = self._pool.map(self._is_there, known)
        return {layer.key: placed for layer, placed in zip(known, there, strict=True) if placed}

    def has(self, digests: Iterable[Digest]) -> frozenset[Digest]:
        """Those of the blobs that the target has now; none if it does not answer."""
        asked = list(dict.fromkeys(digests))
        sizes = self._pool.map(self._size, asked)
        return frozenset(digest for digest, size in zip(asked, sizes, strict=True) if size is not None)

    def records(self, layers: Sequence[KnownLayer]) -> Mapping[Digest, Record]:
        """The records of ``layers`` by key, of those that have one that can be used."""
        read = self._pool.map(self._record, layers)
        return {layer.key: record for layer, record in zip(layers, read, strict=True) if record is not None}

    def packages(self, names: Iterable[Digest]) -> Mapping[Digest, tuple[WheelMetadata, ...]]:
        """What wheels that were compared before under these names say about themselves, where that is known."""
        asked = list(dict.fromkeys(names))
        read = self._pool.map(self._packages, asked)
        return {name: packages for name, packages in zip(asked, read, strict=True) if packages is not None}

    def was_checked(self, name: Digest) -> bool:
        """Whether what has this name (``checked_name``) was found to lie together without a clash."""
        return name in self.contents.checked

    def inventory(self, image: Digest) -> bytes | None:
        """The inventory of the base ``image`` as base/ wrote it; None when it is not known."""
        with self._lock:
            if image not in self._inventories:
                self._inventories[image] = self._pool.submit(self._inventory, image)
        return self._inventories[image].result()

    def document(self, digest: Digest) -> bytes | None:
        """The manifest of the base ``digest``, or the config of a base whose manifest was asked for before."""
        if digest in self._documents:
            return self._documents[digest]
        stored = self._first(lambda contents: contents.bases.get(digest))
        if stored is None:
            return None
        with self._lock:  # it will be wanted next
            self._inventories.setdefault(digest, self._pool.submit(self._inventory, digest))
        base = self._read_as(stored, f"what is kept of base {digest.short}", read_base)
        if base is None:
            return None
        self._documents |= {Digest.of(data): data for data in (base.manifest, base.config)}
        return self._documents.get(digest)

    def open(self, layer: KnownLayer) -> AbstractContextManager[ByteStream]:
        """The bytes of a layer, from where it is known; raises what a store raises."""
        return self._stores[layer.place].open_blob(layer.descriptor)

    def open_stored(self, stored: Stored) -> AbstractContextManager[ByteStream]:
        """The bytes of a blob; raises what a store raises."""
        return self._stores[stored.place].open_blob(stored.descriptor)

    def _inventory(self, image: Digest) -> bytes | None:
        stored = self._first(lambda contents: contents.inventories.get((image, INVENTORY_FORMAT)))
        return self._blob(stored, f"the inventory of base {image.short}")

    def _first(self, get: Callable[[Contents], Stored | None]) -> Stored | None:
        """From the source that knows; the cache tag first, it is likely and the images need two questions each."""
        names = sorted(self._believed, key=lambda name: name != self._own)
        return next(filter(None, (get(self._reads[name].result()) for name in names)), None)

    def _read(self, name: Reference) -> Contents:
        try:
            return read_source(self._stores[name.name], name.target)
        except RayimageError as error:
            self._progress.note(f"no layers are known from {name}: {error.why or error.what}")
            return Contents()

    def _is_there(self, layer: KnownLayer) -> KnownLayer | None:
        """The layer with the place where it is: the target itself, if it has it."""
        target = self.target.name
        # A layer that only another registry has would have to be fetched to be believed, and then sent.
        near = layer.place if layer.place.registry == target.registry else target
        for place in dict.fromkeys((target, near)):
            try:
                size = self._stores[place].blob_size(layer.descriptor.digest, push=self._push and place == target)
            except RayimageError:
                continue
            if size == layer.descriptor.size:
                return replace(layer, place=place)
            if size is not None:
                real = f"{size} bytes" if size >= 0 else "no length"
                told = f"{layer.descriptor.size} as {layer.place} says"
                self._progress.warn(f"layer {layer.descriptor.digest.short} has {real} in {place}, not {told}")
                return None
        self._progress.note(f"layer {layer.descriptor.digest.short} is no longer in {layer.place}")
        return None

    def _size(self, digest: Digest) -> int | None:
        try:
            return self.target.blob_size(digest, push=self._push)
        except RayimageError:
            return None

    def _record(self, layer: KnownLayer) -> Record | None:
        what = f"what is kept of layer {layer.descriptor.digest.short}"
        return self._read_as(layer.record, what, lambda raw: read_record(raw, layer))

    def _packages(self, name: Digest) -> tuple[WheelMetadata, ...] | None:
        what = f"what is kept of packages {name.short}"
        return self._read_as(self.contents.checked.get(name), what, lambda raw: read_packages(raw, name))

    def _read_as(self, stored: Stored | None, what: str, read: Callable[[bytes], _Read]) -> _Read | None:
        raw = self._blob(stored, what)
        if raw is None:
            return None
        try:
            return read(raw)
        except ValueError as error:
            self._progress.warn(f"{what} is not used: {error}")
            return None

    def _blob(self, stored: Stored | None, what: str) -> bytes | None:
        if stored is None:
            return None
        try:
            return read_blob(self._stores[stored.place], stored.descriptor, _BLOB_LIMIT)
        except RayimageError as error:
            self._progress.note(f"{what} cannot be read: {error.why or error.what}")
            return None
