"""The direct builder: plans → images, without running anything.

Wheels are fetched, verified and turned into layers in parallel; a layer whose key is in the cache is not made again.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from rayimage.base import ResolvedBase
from rayimage.builders.checks import check_layers
from rayimage.builders.project_wheel import build_project_wheel
from rayimage.builders.wheelhouse import Wheelhouse
from rayimage.errors import WheelError
from rayimage.image.assemble import AddedLayer, AssembledImage, assemble
from rayimage.image.plan import ImagePlan, LayerKind, LayerSpec
from rayimage.layers import (
    CodeTree,
    Layer,
    LayerCache,
    WheelMetadata,
    WheelOnDisk,
    wheel_layer_key,
    write_code_layer,
    write_directories_layer,
    write_removal_layer,
    write_wheel_layer,
)
from rayimage.model.content import Blob, ByteStream
from rayimage.model.descriptor import Descriptor
from rayimage.model.digest import Digest
from rayimage.model.inventory import Inventory
from rayimage.model.lock import RoleLock
from rayimage.model.manifest import Manifest
from rayimage.model.progress import SILENT, Progress, Task
from rayimage.specs import RoleSpecs

__all__ = ["BuildInput", "BuiltImage", "BuiltLayer", "DirectBuilder"]

_LAYERS_AT_ONCE = 4
"""Each has threads of its own for large files (layers/ahead.py), and needs up to 30 MB."""

LAYER_KEY = "io.rayimage.layer.key"
LAYER_DIFF_ID = "io.rayimage.layer.diff-id"
"""Annotations of a layer's descriptor: they let a later build know the layer from the manifest alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildInput:
    """A plan and what it was made from."""

    plan: ImagePlan
    base: ResolvedBase
    inventory: Inventory
    lock: RoleLock
    project: Path
    tree: CodeTree | None
    indexes: tuple[str, ...] = field(default=(), repr=False)
    """Package indexes that the specs name, as uv writes them: ``URL`` or ``name=URL``."""
    accounts: tuple[str, ...] = field(default=(), repr=False)
    """Other URLs of the specs with credentials in them."""
    specs: RoleSpecs | None = field(default=None, repr=False)
    """What the role asks for; None where there is nothing to hold the image against."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltLayer:
    """A layer of a built image; ``cached`` when it did not have to be made."""

    kind: LayerKind
    title: str
    descriptor: Descriptor
    cached: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltImage:
    """An image and everything needed to send it; ``packages`` are what the wheels in it say about themselves."""

    plan: ImagePlan
    image: AssembledImage
    layers: tuple[BuiltLayer, ...]
    blobs: tuple[Blob, ...]
    packages: tuple[WheelMetadata, ...] = ()

    @property
    def manifest(self) -> Manifest:
        """The image's manifest."""
        return self.image.manifest


@dataclass(frozen=True, slots=True)
class _Made:
    spec: LayerSpec
    layer: Layer
    cached: bool
    write: Callable[[Path], Layer]
    """Makes the layer again, should its file in the cache be damaged."""


class DirectBuilder:
    """Executes plans with a layer cache and a wheelhouse."""

    def __init__(self, cache: LayerCache, wheelhouse: Wheelhouse, progress: Progress = SILENT) -> None:
        self._cache = cache
        self._wheelhouse = wheelhouse
        self._progress = progress
        self._tasks: dict[Digest, Task] = {}

    def build(self, inputs: Sequence[BuildInput]) -> tuple[BuiltImage, ...]:
        """Make every image of ``inputs``; layers that several of them share are made once.

        Raises WheelError (hash, path, clash, platform), RegistryError or LockError (a wheel cannot be fetched).
        """
        work = [(item, spec) for item in inputs for spec in item.plan.layers]
        specs = {spec.key: spec for _, spec in work if spec.key}
        self._tasks = {key: self._progress.task(_short(spec.title), spec.size_hint) for key, spec in specs.items()}
        # Biggest first: the longest job must not be the last to start.
        order = sorted(range(len(work)), key=lambda n: -work[n][1].size_hint)
        with ThreadPoolExecutor(max_workers=min(_LAYERS_AT_ONCE, os.cpu_count() or 2)) as pool:
            futures = {n: pool.submit(self._make, *work[n]) for n in order}
            try:
                made = [futures[n].result() for n in range(len(work))]
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        by_input = iter(made)
        return tuple(self._assemble(item, [next(by_input) for _ in item.plan.layers]) for item in inputs)

    def _make(self, item: BuildInput, spec: LayerSpec) -> _Made:
        if spec.kind is LayerKind.WHEELS:
            return self._cached(spec, partial(self._write_wheels, item, spec))
        compression = item.plan.compression
        if spec.kind is LayerKind.REMOVAL:
            return self._cached(
                spec, partial(write_removal_layer, spec.paths, item.inventory.layout, compression=compression)
            )
        if spec.kind is LayerKind.DIRECTORIES:
            owners = {path: item.inventory.directories[path] for path in spec.paths}
            return self._cached(spec, partial(write_directories_layer, owners, compression=compression))
        if item.tree is None:
            return self._project_wheel(item, spec)
        assert spec.key is not None  # noqa: S101
        workdir = item.plan.config.workdir
        return self._cached(
            spec,
            partial(write_code_layer, item.tree, workdir, item.inventory.layout, spec.key, compression=compression),
        )

    def _cached(self, spec: LayerSpec, write: Callable[[Path], Layer]) -> _Made:
        assert spec.key is not None  # noqa: S101
        layer = self._cache.get(spec.key)
        if layer is not None:
            self._task(spec).done("cached")
            return _Made(spec, layer, cached=True, write=write)
        layer = self._cache.build(spec.key, write)
        self._task(spec).done(f"{layer.descriptor.size} bytes")
        return _Made(spec, layer, cached=False, write=write)

    def _write_wheels(self, item: BuildInput, spec: LayerSpec, target: Path) -> Layer:
        task = self._task(spec)
        try:
            layer = self._install(item, spec, target, task.advance)
        except WheelError:
            if not self._wheelhouse.forget_damaged(spec.wheels):
                raise
            layer = self._install(item, spec, target, None)
        task.done(f"{layer.descriptor.size} bytes")  # now, as another image that waits for it finds it cached
        return layer

    def _task(self, spec: LayerSpec) -> Task:
        """That of the layer, told of at the start; another for the project's wheel, which is known only now."""
        known = self._tasks.get(spec.key) if spec.key else None
        return known or self._progress.task(_short(spec.title), spec.size_hint)

    def _install(self, item: BuildInput, spec: LayerSpec, target: Path, advance: Callable[[int], None] | None) -> Layer:
        wheels = [
            WheelOnDisk(path=self._wheelhouse.fetch(wheel), filename=wheel.filename, digest=wheel.digest)
            for wheel in spec.wheels
        ]
        return write_wheel_layer(wheels, item.inventory.layout, target, advance, compression=item.plan.compression)

    def _project_wheel(self, item: BuildInput, spec: LayerSpec) -> _Made:
        layout, compression = item.inventory.layout, item.plan.compression
        wheel = build_project_wheel(item.project, self._cache.root, self._progress)
        key = wheel_layer_key([(wheel.filename, wheel.digest)], layout, compression)
        known = replace(spec, title=wheel.filename, key=key)
        return self._cached(known, partial(write_wheel_layer, [wheel], layout, compression=compression))

    def _assemble(self, item: BuildInput, made: Sequence[_Made]) -> BuiltImage:
        check_layers([(_short(m.spec.title), m.layer.files) for m in made], item.inventory, item.lock)
        added = [_added(m) for m in made]
        image = assemble(item.base.manifest, item.base.config, added, item.plan.config)
        layers = [
            BuiltLayer(kind=LayerKind.BASE, title=item.plan.base, descriptor=descriptor, cached=True)
            for descriptor in image.manifest.layers[: len(item.base.manifest.layers)]
        ]
        layers += [
            BuiltLayer(kind=m.spec.kind, title=m.spec.title, descriptor=a.descriptor, cached=m.cached)
            for m, a in zip(made, added, strict=True)
        ]
        blobs = (
            *_base_blobs(item.base, image),
            *(self._blob(m, a.descriptor) for m, a in zip(made, added, strict=True)),
            _bytes_blob(image.manifest.config, image.config.raw),
        )
        packages = tuple(package for m in made for package in m.layer.packages)
        return BuiltImage(plan=item.plan, image=image, layers=tuple(layers), blobs=blobs, packages=packages)

    def _blob(self, made: _Made, descriptor: Descriptor) -> Blob:
        assert made.spec.key is not None  # noqa: S101
        return Blob(
            descriptor=descriptor,
            open=partial(self._cache.open, made.layer),
            mend=partial(self._cache.mend, made.layer, made.spec.key, made.write),
        )


def _added(made: _Made) -> AddedLayer:
    layer = made.layer
    annotations = {LAYER_DIFF_ID: str(layer.diff_id)} | ({LAYER_KEY: str(made.spec.key)} if made.spec.key else {})
    return AddedLayer(
        descriptor=layer.descriptor.annotated(**annotations),
        diff_id=layer.diff_id,
        created_by=f"rayimage {made.spec.kind.value}: {made.spec.title}",
    )


def _base_blobs(base: ResolvedBase, image: AssembledImage) -> list[Blob]:
    inherited = image.manifest.layers[: len(base.manifest.layers)]
    return [
        Blob(descriptor=layer, open=partial(base.source.open_blob, layer), origin=base.origin) for layer in inherited
    ]


def _bytes_blob(descriptor: Descriptor, data: bytes) -> Blob:
    def open_bytes() -> AbstractContextManager[ByteStream]:
        return io.BytesIO(data)

    return Blob(descriptor=descriptor, open=open_bytes)


def _short(title: str, limit: int = 60) -> str:
    return title if len(title) <= limit else f"{title[: limit - 1]}…"
