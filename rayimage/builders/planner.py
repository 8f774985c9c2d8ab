"""From inventory, lock and code to an image plan. Pure: nothing is fetched, read or written here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Literal

from packaging.utils import NormalizedName

from rayimage import __version__
from rayimage.builders.source import SourceInfo
from rayimage.errors import LockError, UsageError
from rayimage.image.assemble import MAX_LAYERS, check_count
from rayimage.image.plan import ConfigChange, ImagePlan, LayerKind, LayerSpec
from rayimage.layers import (
    CodeTree,
    code_layer_key,
    directories_layer_key,
    pack,
    removal_layer_key,
    wheel_layer_key,
)
from rayimage.layers.directories import directories_of
from rayimage.layers.names import fault_in
from rayimage.model.digest import Digest
from rayimage.model.inventory import InstallLayout, Inventory
from rayimage.model.layering import Compression, Layering
from rayimage.model.lock import LockedWheel, RoleLock

__all__ = ["RoleSettings", "lock_digest", "plan_image", "removed_paths"]

_SPARE_LAYERS = 8
"""Left free below the runtime's limit for the removal and code layers, and for whoever builds on the image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleSettings:
    """What the project says about a role, as far as the image is concerned."""

    name: str
    base_name: str
    base_layers: int
    base_digest: Digest | None = None
    """Of the image that ``base_name`` names, where that is not the one of the inventory: something was put on it."""
    code: Literal["copy", "wheel", "none"]
    workdir: str
    env: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    layering: Layering = field(default_factory=Layering)


def plan_image(
    settings: RoleSettings, inventory: Inventory, lock: RoleLock, tree: CodeTree | None, source: SourceInfo
) -> ImagePlan:
    """Lay out a role's layers: removals, then wheels (big and stable ones first), the code, and directories.

    Raises BaseImageError when there would be too many, UsageError and LockError for what cannot be laid on this base.
    """
    compression = settings.layering.compression
    layers = _removal(inventory, lock, compression)
    layers += [*_wheels(settings, inventory, lock), *_code(settings, inventory, tree)]
    layers += _directories(settings, inventory) if layers else []
    check_count(settings.base_layers, len(layers))
    return ImagePlan(
        role=settings.name,
        platform=lock.platform,
        base=settings.base_name,
        base_digest=inventory.image,
        layers=tuple(layers),
        compression=compression,
        config=ConfigChange(
            created=source.created,
            workdir=settings.workdir if settings.code != "none" else inventory.workdir,
            env=settings.env,
            labels=_labels(settings, inventory, lock, source),
        ),
    )


def removed_paths(inventory: Inventory, lock: RoleLock) -> tuple[str, ...]:
    """The base's files of every replaced package, and its dist-info directory, sorted.

    The directory as a whole: an empty ``.dist-info`` would still be a (nameless) distribution to importlib.metadata.

    A RECORD names what it likes: a file in /etc, one that another package has too, a directory. Only what lies in the
    environment goes, as with ``pip uninstall``, and nothing that a package which stays has, nor a directory above that.
    A package of the operating system or of a lower environment stays: the new one comes first on ``sys.path``.
    """
    moved = frozenset(move.name for move in lock.moves)
    if unknown := moved - inventory.by_name.keys():
        why = f"it replaces {', '.join(sorted(unknown))}, which the base does not have"
        raise LockError(f"the lock of {lock.role} does not fit its base", why=why, fix="run `rayimage lock`")
    return _paths_of(inventory, moved)


@lru_cache(maxsize=8)
def _paths_of(inventory: Inventory, moved: frozenset[NormalizedName]) -> tuple[str, ...]:
    if not moved:
        return ()
    stays = {
        path
        for dist in inventory.distributions
        if dist.name not in moved
        for path in (dist.dist_info, *(path for path, _ in dist.files))
    }
    spared = {*stays, *directories_of(stays, inventory.layout), *inventory.layout.roots}
    paths: set[str] = set()
    for dist in map(inventory.by_name.__getitem__, moved):
        if _in_environment(dist.dist_info, inventory.layout):
            outside = (file.path for file in dist.files if not file.path.startswith(f"{dist.dist_info}/"))
            paths |= {dist.dist_info, *(path for path in outside if _in_environment(path, inventory.layout))}
    return tuple(sorted(paths - spared))


def _in_environment(path: str, layout: InstallLayout) -> bool:
    """Whether ``path`` lies where wheels are installed to, under a name that a layer can have."""
    return path.startswith(_places(layout)) and not fault_in(path[1:])


@lru_cache(maxsize=8)
def _places(layout: InstallLayout) -> tuple[str, ...]:
    return tuple(f"{root}/" for root in (layout.prefix, layout.purelib, layout.platlib, layout.scripts, layout.headers))


def _removal(inventory: Inventory, lock: RoleLock, compression: Compression) -> list[LayerSpec]:
    paths = removed_paths(inventory, lock)
    if not paths:
        return []
    names = ", ".join(f"{move.name} {move.old}" for move in lock.moves)
    title = f"without the base's {names}"
    key = _removal_key(paths, inventory.layout, compression)
    return [LayerSpec(kind=LayerKind.REMOVAL, title=title, key=key, paths=paths)]


_removal_key = lru_cache(maxsize=8)(removal_layer_key)
"""Roles on the same base mostly remove the same, which is thousands of files."""


def _wheels(settings: RoleSettings, inventory: Inventory, lock: RoleLock) -> list[LayerSpec]:
    room = max(1, MAX_LAYERS - _SPARE_LAYERS - settings.base_layers)
    layering = settings.layering
    return [
        LayerSpec(
            kind=LayerKind.WHEELS,
            title=_wheels_title(bundle),
            key=wheel_layer_key([(w.filename, w.digest) for w in bundle], inventory.layout, layering.compression),
            wheels=bundle,
        )
        for bundle in pack(lock.wheels, room=room, layering=layering)
    ]


def _wheels_title(bundle: tuple[LockedWheel, ...]) -> str:
    return ", ".join(f"{wheel.name} {wheel.version}" for wheel in bundle)


def _code(settings: RoleSettings, inventory: Inventory, tree: CodeTree | None) -> list[LayerSpec]:
    if settings.code == "wheel":
        return [LayerSpec(kind=LayerKind.CODE, title="the project's wheel", key=None)]
    if tree is None:
        return []
    for path in (settings.workdir, *map(str, PurePosixPath(settings.workdir).parents)):
        if target := inventory.symlinks.get(path):
            why = f"{path} is a symbolic link to {target} in the base, which the code's directories would replace"
            fix = "set workdir to a directory that no link leads to"
            raise UsageError(f"cannot copy code to {settings.workdir}", why=why, fix=fix)
    key = code_layer_key(tree, settings.workdir, inventory.layout, settings.layering.compression)
    return [LayerSpec(kind=LayerKind.CODE, title=f"code in {settings.workdir}", key=key, paths=tree.files)]


def _directories(settings: RoleSettings, inventory: Inventory) -> list[LayerSpec]:
    """What layers must leave as it is: install roots, what lies above them and the code, and the unusual.

    Also the code's own directories, where the base has them: /tmp stays everybody's when code lies in it.
    """
    layout, workdir = inventory.layout, settings.workdir
    along_code = {workdir, *map(str, PurePosixPath(workdir).parents)}
    below = (f"{layout.prefix}/", f"{workdir}/")
    roots = layout.roots
    restated = {
        path: owner
        for path, owner in inventory.directories.items()
        if path in roots or path in along_code or path.startswith(below)
    }
    if not restated:
        return []
    title = f"owner and mode of {len(restated)} directories of the base"
    key = directories_layer_key(restated, settings.layering.compression)
    return [LayerSpec(kind=LayerKind.DIRECTORIES, title=title, key=key, paths=tuple(sorted(restated)))]


def _labels(settings: RoleSettings, inventory: Inventory, lock: RoleLock, source: SourceInfo) -> dict[str, str]:
    """OCI's annotations where OCI has one (image-spec annotations.md), our own for the rest; the user's win."""
    ray = inventory.ray
    labels = {
        "org.opencontainers.image.base.name": settings.base_name,
        "org.opencontainers.image.base.digest": str(settings.base_digest or inventory.image),
        "io.rayimage.role": settings.name,
        "io.rayimage.lock": str(lock_digest(lock)),
        "io.rayimage.version": __version__,
        "io.rayimage.python-version": str(inventory.python),
        **({"io.ray.ray-version": str(ray.version)} if ray else {}),
        **({"org.opencontainers.image.revision": source.revision} if source.revision else {}),
    }
    return dict(sorted((labels | dict(settings.labels)).items()))


def lock_digest(lock: RoleLock) -> Digest:
    """What is installed, by content: independent of where a wheel came from and of how the lock is written down."""
    lines = [f"{wheel.name}=={wheel.version} {wheel.digest}" for wheel in lock.wheels]
    lines += [f"-{move.name}=={move.old}" for move in lock.moves]
    return Digest.of("\n".join([str(lock.base.digest), *lines]).encode())
