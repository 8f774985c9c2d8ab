"""The Docker builder: the same inputs as the direct builder's, executed by an Engine.

    context ─▶ BuildKit, else the Engine's classic builder ─▶ image in the Engine ─▶ its layers ─▶ BuiltImage

What leaves the Engine is the layers alone. Config and manifest are assembled as the direct builder does it, on the
base's own manifest, so that everything behind it (push, layout, YAML, promotion) sees no difference: base layers keep
the digests that they have in the base, and ``created`` is the commit's time.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rayimage.builders.direct import BuildInput, BuiltImage, BuiltLayer
from rayimage.builders.docker.buildkit import BuildKit, find_buildkit
from rayimage.builders.docker.classic import build_classic
from rayimage.builders.docker.context import write_context
from rayimage.builders.docker.dockerfile import recipe_of
from rayimage.builders.docker.export import EngineImage, export_layers, inspect_image
from rayimage.builders.docker.index_secret import PROXIES, index_secrets
from rayimage.builders.docker.load import connect, engine_architecture, tag_image
from rayimage.builders.docker.run import find_or_bring, loaded_name
from rayimage.builders.wheelhouse import Wheelhouse
from rayimage.cachedir import CacheDir, Kind
from rayimage.errors import EngineError
from rayimage.image.assemble import AddedLayer, assemble
from rayimage.image.plan import ImagePlan, LayerKind
from rayimage.layers import Layer, LayerCache
from rayimage.layers.layer import WheelMetadata
from rayimage.model.content import Blob
from rayimage.model.progress import SILENT, Progress, Task

if TYPE_CHECKING:
    import docker

__all__ = ["DockerBuilder", "open_builder"]

_BUILDKIT_API: Final = (1, 39)
"""Docker 18.09. An older Engine has the classic builder only."""
_OURS: Final = ("Env", "Labels", "WorkingDir", "User", "Entrypoint", "Cmd")


@contextmanager
def open_builder(
    cache: LayerCache, wheelhouse: Wheelhouse, progress: Progress = SILENT, *, offline: bool = False
) -> Iterator[DockerBuilder]:
    """A builder on the Engine of DOCKER_HOST or the default socket; raises EngineError when none answers."""
    client = connect()
    try:
        yield DockerBuilder(client, cache, wheelhouse, progress, offline=offline)
    finally:
        client.close()


class DockerBuilder:
    """Executes build inputs in an Engine. ``offline`` sends every wheel along, so that no step needs an index."""

    def __init__(
        self,
        client: docker.DockerClient,
        cache: LayerCache,
        wheelhouse: Wheelhouse,
        progress: Progress = SILENT,
        *,
        offline: bool = False,
    ) -> None:
        self._client = client
        self._cache = cache
        self._wheelhouse = wheelhouse
        self._progress = progress
        self._offline = offline
        self._buildkit = _buildkit_for(client)
        if self._buildkit is None:
            progress.note("building without BuildKit: wheels are sent to the Engine, and stay in a layer of the image")

    @property
    def architecture(self) -> str:
        """The Engine's own, in OCI's words: ``amd64``, ``arm64``."""
        return engine_architecture(self._client)

    def tag(self, image: str, name: str) -> None:
        """Give the Engine's ``image`` (an ID) the ``name`` (``repository:tag``); raises EngineError."""
        tag_image(self._client, image, name)

    def build(self, inputs: Sequence[BuildInput]) -> tuple[EngineImage, ...]:
        """The images in the Engine, one after the other. Raises EngineError, WheelError, BaseImageError."""
        return tuple(self._build(item) for item in inputs)

    def export(self, inputs: Sequence[BuildInput], images: Sequence[EngineImage]) -> tuple[BuiltImage, ...]:
        """``images`` of ``inputs`` as the direct builder would give them; raises EngineError."""
        return tuple(self._export(item, image) for item, image in zip(inputs, images, strict=True))

    def _build(self, item: BuildInput) -> EngineImage:
        recipe = recipe_of(item, buildkit=self._buildkit is not None, offline=self._offline)
        if loaded_name(item.base):
            find_or_bring(self._client, item.base, self._progress)
        place, name = CacheDir(self._wheelhouse.cache_dir), _context_name(item)
        directory = place.path(Kind.CONTEXTS, name)
        task = self._progress.task(f"docker build {item.plan.label}")
        with place.lock(f"docker-{name}"):
            write_context(item, recipe, directory, self._wheelhouse, self._progress)
            place.use(directory)
            try:
                identity = self._run(item, directory, task, offline=recipe.offline)
            except EngineError:
                task.advance(0)  # A Ctrl-C reaches the Docker CLI as well, whose end is then no failure.
                raise
        image = inspect_image(self._client, identity)
        _check(item, image)
        task.done(image.id.removeprefix("sha256:")[:12])
        return image

    def _run(self, item: BuildInput, directory: Path, task: Task, *, offline: bool) -> str:
        platform = item.plan.platform

        def heard(_: str) -> None:
            task.advance(0)

        proxies = [name for upper in PROXIES for name in (upper, upper.lower()) if os.environ.get(name)]
        if self._buildkit is None:
            return build_classic(self._client, directory, platform, proxies, heard)
        with ExitStack() as stack:
            secrets: Mapping[str, Path] = {}
            if not offline:
                secrets = stack.enter_context(index_secrets(item.indexes, item.accounts))
            return self._buildkit.build(directory, platform, secrets, proxies, heard)

    def _export(self, item: BuildInput, image: EngineImage) -> BuiltImage:
        inherited = len(item.base.manifest.layers)
        wanted = image.diff_ids[inherited:]
        cache = self._cache
        layers = export_layers(self._client, image, wanted, cache, self._progress)
        added = [
            AddedLayer(descriptor=layers[diff_id].descriptor, diff_id=diff_id, created_by=f"rayimage docker: {title}")
            for diff_id, (_, title) in zip(wanted, _titles(item, len(wanted)), strict=True)
        ]
        assembled = assemble(item.base.manifest, item.base.config, added, item.plan.config)
        base = assembled.manifest.layers[:inherited]
        built = [BuiltLayer(kind=LayerKind.BASE, title=item.plan.base, descriptor=d, cached=True) for d in base]
        built += [
            BuiltLayer(kind=kind, title=title, descriptor=layer.descriptor, cached=False)
            for layer, (kind, title) in zip(added, _titles(item, len(wanted)), strict=True)
        ]
        blobs = (
            *(Blob(descriptor=d, open=partial(item.base.source.open_blob, d), origin=item.base.origin) for d in base),
            *(
                Blob(descriptor=layers[d].descriptor, open=partial(cache.open, layers[d]))
                for d in dict.fromkeys(wanted)
            ),
            Blob.of_bytes(assembled.manifest.config, assembled.config.raw),
        )
        packages = _packages(item, [layers[diff_id] for diff_id in wanted])
        return BuiltImage(plan=item.plan, image=assembled, layers=tuple(built), blobs=blobs, packages=packages)


def _packages(item: BuildInput, layers: Sequence[Layer]) -> tuple[WheelMetadata, ...]:
    """What was installed says about itself, under the names of the wheels that it came from."""
    filenames = {wheel.name: wheel.filename for wheel in item.lock.wheels}
    found = [package for layer in layers for package in layer.packages]
    return tuple(replace(each, filename=filenames.get(each.name, each.filename)) for each in found)


def _buildkit_for(client: docker.DockerClient) -> BuildKit | None:
    version = tuple(int(part) for part in str(client.version().get("ApiVersion", "1.0")).split("."))
    return find_buildkit() if version >= _BUILDKIT_API else None


def _context_name(item: BuildInput) -> str:
    """The context stays: BuildKit sends only what changed in it, and a failed build can be run again from there."""
    project = hashlib.sha256(str(item.project.resolve()).encode()).hexdigest()[:12]
    return f"{project}-{item.plan.role}-{item.plan.platform.architecture}"


def _check(item: BuildInput, image: EngineImage) -> None:
    """The image must lie on the very layers of the base, and say of itself what was planned."""
    base = item.base.config.diff_ids
    if image.diff_ids[: len(base)] != base:
        raise EngineError(
            f"the Docker Engine built {item.plan.label} on another base",
            why=f"its lowest {len(base)} layers are not those of {item.plan.base_digest}",
            fix=f"remove the Engine's image {item.plan.base} and build again",
        )
    planned = assemble(item.base.manifest, item.base.config, [], item.plan.config).config.data["config"]
    planned["Env"] = [*_default_path(planned["Env"]), *planned["Env"]]
    differ = [key for key in _OURS if (planned.get(key) or None) != (image.config.get(key) or None)]
    if differ:
        raise EngineError(
            f"the Docker Engine gave {item.plan.label} another configuration",
            why=", ".join(f"{key} is {image.config.get(key)!r}, not {planned.get(key)!r}" for key in differ),
            fix="report this with the Engine's version",
        )


def _default_path(env: Sequence[str]) -> list[str]:
    """What Docker adds for a base that does not set PATH (moby/buildkit util/system/path.go)."""
    has_one = any(setting.startswith("PATH=") for setting in env)
    return [] if has_one else ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]


def _titles(item: BuildInput, count: int) -> list[tuple[LayerKind, str]]:
    """Kind and title of the layers that the Dockerfile's steps made, bottom first."""
    plan: ImagePlan = item.plan
    kinds = [kind for kind in (LayerKind.REMOVAL, LayerKind.WHEELS, LayerKind.CODE) if _has(plan, kind)]
    titles = {
        LayerKind.REMOVAL: f"without the base's {', '.join(f'{move.name} {move.old}' for move in item.lock.moves)}",
        LayerKind.WHEELS: f"{len(item.lock.wheels)} wheels of the lock",
        LayerKind.CODE: f"code in {plan.config.workdir}" if item.tree else "the project's wheel",
    }
    if len(kinds) == count:
        return [(kind, titles[kind]) for kind in kinds]
    return [(LayerKind.WHEELS, f"step {number} of the Dockerfile") for number in range(1, count + 1)]


def _has(plan: ImagePlan, kind: LayerKind) -> bool:
    return any(layer.kind is kind for layer in plan.layers)
