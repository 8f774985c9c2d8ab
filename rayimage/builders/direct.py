"""The direct builder: plans → images, without running anything.

Wheels are fetched, verified and turned into layers in parallel; a layer whose key is in the cache is not made again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from rayimage.base import ResolvedBase
from rayimage.builders.checks import check_layers
from rayimage.builders.inputs import BuildInput
from rayimage.builders.project_wheel import build_project_wheel
from rayimage.builders.remote_cache import KnownLayer, Record, RemoteCache, marked
from rayimage.builders.remote_layers import RemoteLayers, checked_by
from rayimage.builders.wheelhouse import Wheelhouse
from rayimage.errors import ContentError, WheelError
from rayimage.image.assemble import AddedLayer, AssembledImage, assemble
from rayimage.image.plan import ImagePlan, LayerKind, LayerSpec
from rayimage.layers import (
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
from rayimage.model.manifest import Manifest
from rayimage.model.progress import SILENT, Progress, Task

__all__ = ["BuildInput", "BuiltImage", "BuiltLayer", "DirectBuilder"]

_LAYERS_AT_ONCE = 4
"""Each has threads of its own for large files (layers/ahead.py), and needs up to 30 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltLayer:
    """A layer of a built image; ``cached`` when it did not have to be made.

    ``remote``: nor is it on this machine, the registry has it. ``record`` is None when nobody had to know it.
    """

    kind: LayerKind
    title: str
    descriptor: Descriptor
    cached: bool
    remote: bool = False
    key: Digest | None = None
    diff_id: Digest | None = None
    record: Record | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltImage:
    """An image and everything needed to send it.

    ``packages`` are what the wheels in it say about themselves; None when only an earlier build of the same lock, which
    checked them, knew that.
    """

    plan: ImagePlan
    image: AssembledImage
    layers: tuple[BuiltLayer, ...]
    blobs: tuple[Blob, ...]
    packages: tuple[WheelMetadata, ...] | None = ()

    @property
    def manifest(self) -> Manifest:
        """The image's manifest."""
        return self.image.manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """A layer that is here or, ``remote``, in the registry; ``blob`` reads it either way."""

    spec: LayerSpec
    blob: Blob
    diff_id: Digest
    record: Record | None
    cached: bool
    remote: bool = False


class DirectBuilder:
    """Executes plans with a layer cache, a wheelhouse and, perhaps, a registry that has layers already."""

    def __init__(
        self,
        cache: LayerCache,
        wheelhouse: Wheelhouse,
        progress: Progress = SILENT,
        *,
        remote: RemoteCache | None = None,
    ) -> None:
        self._cache = cache
        self._wheelhouse = wheelhouse
        self._progress = progress
        self._remote = remote
        self._tasks: dict[Digest, Task] = {}

    def build(self, inputs: Sequence[BuildInput]) -> tuple[BuiltImage, ...]:
        """Make every image of ``inputs``; layers that several of them share are made once.

        Raises WheelError (hash, path, clash, platform), RegistryError or LockError (a wheel cannot be fetched).
        """
        remote = RemoteLayers.find(self._remote, inputs, self._cache)
        work = [(item, spec) for item in inputs for spec in item.plan.layers]
        specs = {spec.key: spec for _, spec in work if spec.key}
        self._tasks = {key: self._progress.task(_short(spec.title), spec.size_hint) for key, spec in specs.items()}
        # Biggest first: the longest job must not be the last to start.
        order = sorted(range(len(work)), key=lambda n: -work[n][1].size_hint)
        with ThreadPoolExecutor(max_workers=min(_LAYERS_AT_ONCE, os.cpu_count() or 2)) as pool:
            futures = {n: pool.submit(self._make, *work[n], remote) for n in order}
            try:
                made = [futures[n].result() for n in range(len(work))]
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        by_input = iter(made)
        return tuple(self._assemble(item, [next(by_input) for _ in item.plan.layers], remote) for item in inputs)

    def _make(self, item: BuildInput, spec: LayerSpec, remote: RemoteLayers) -> _Made:
        if spec.kind is LayerKind.WHEELS:
            return self._wheels(item, spec, remote)
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
        cached = layer is not None
        layer = layer or self._cache.build(spec.key, write)
        self._task(spec).done("cached" if cached else f"{layer.descriptor.size} bytes")
        blob = Blob(
            descriptor=marked(layer.descriptor, spec.key, layer.diff_id),
            open=partial(self._cache.open, layer),
            mend=partial(self._cache.mend, layer, spec.key, write),
        )
        record = Record(layer.files, layer.packages)
        return _Made(spec=spec, blob=blob, diff_id=layer.diff_id, record=record, cached=cached)

    def _wheels(self, item: BuildInput, spec: LayerSpec, remote: RemoteLayers) -> _Made:
        write = partial(self._write_wheels, item, spec)
        known = remote.layers.get(spec.key) if spec.key else None
        if known is None:
            return self._cached(spec, write)
        self._task(spec).done("in the registry")
        opened = partial(self._open_again, spec, known, write)
        blob = Blob(descriptor=known.descriptor, open=opened, origin=known.place)
        record = remote.records.get(known.key)
        return _Made(spec=spec, blob=blob, diff_id=known.diff_id, record=record, cached=True, remote=True)

    @contextmanager
    def _open_again(self, spec: LayerSpec, known: KnownLayer, write: Callable[[Path], Layer]) -> Iterator[ByteStream]:
        """A layer that the registry had a moment ago, and has no more: it is made after all."""
        layer = self._cache.build(known.key, write)
        if (layer.descriptor.digest, layer.diff_id) != (known.descriptor.digest, known.diff_id):
            raise ContentError(
                f"layer {known.descriptor.digest} of {_short(spec.title)} is not what it was said to be",
                why=f"{known.place} has it under a key that stands for layer {layer.descriptor.digest}",
                fix="run the command again with --no-cache-from, and find out who wrote that",
            )
        with self._cache.open(layer) as stream:
            yield stream

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

    def _assemble(self, item: BuildInput, made: Sequence[_Made], remote: RemoteLayers) -> BuiltImage:
        # Layers whose files nobody read were compared with each other and with the base by an earlier build.
        check_layers([(_short(m.spec.title), m.record.files) for m in made if m.record], item.inventory, item.lock)
        image = assemble(item.base.manifest, item.base.config, [_added(m) for m in made], item.plan.config)
        layers = [
            BuiltLayer(kind=LayerKind.BASE, title=item.plan.base, descriptor=descriptor, cached=True)
            for descriptor in image.manifest.layers[: len(item.base.manifest.layers)]
        ]
        layers += [_built(m) for m in made]
        blobs = (
            *_base_blobs(item.base, image),
            *(m.blob for m in made),
            Blob.of_bytes(image.manifest.config, image.config.raw),
        )
        records = [m.record for m in made if m.record]
        packages: tuple[WheelMetadata, ...] | None = tuple(package for record in records for package in record.packages)
        if len(records) < len(made):
            packages = remote.packages.get(checked_by(item))
        return BuiltImage(plan=item.plan, image=image, layers=tuple(layers), blobs=blobs, packages=packages)


def _added(made: _Made) -> AddedLayer:
    return AddedLayer(
        descriptor=made.blob.descriptor,
        diff_id=made.diff_id,
        created_by=f"rayimage {made.spec.kind.value}: {made.spec.title}",
    )


def _built(made: _Made) -> BuiltLayer:
    return BuiltLayer(
        kind=made.spec.kind,
        title=made.spec.title,
        descriptor=made.blob.descriptor,
        cached=made.cached,
        remote=made.remote,
        key=made.spec.key,
        diff_id=made.diff_id,
        record=made.record,
    )


def _base_blobs(base: ResolvedBase, image: AssembledImage) -> list[Blob]:
    inherited = image.manifest.layers[: len(base.manifest.layers)]
    return [
        Blob(descriptor=layer, open=partial(base.source.open_blob, layer), origin=base.origin) for layer in inherited
    ]


def _short(title: str, limit: int = 60) -> str:
    return title if len(title) <= limit else f"{title[: limit - 1]}…"
