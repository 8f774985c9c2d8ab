"""The stages that commands share, each from values to values: targets → locks → plans.

A target is one image to be: a role on a platform, with its base resolved and read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.utils import NormalizedName
from packaging.version import Version

from rayimage.base import ResolvedBase, check_bases, read_inventory, resolve_base
from rayimage.builders.direct import BuildInput
from rayimage.builders.planner import RoleSettings, plan_image
from rayimage.builders.source import read_source
from rayimage.cli.app import App
from rayimage.config import Project, Role
from rayimage.errors import ConfigError, LockError
from rayimage.layers import CodeTree, collect_code
from rayimage.lock import (
    LockRequest,
    Options,
    check_environment,
    lock_inputs,
    lock_path,
    read_lock,
    read_preferences,
    resolve,
)
from rayimage.model.inventory import Inventory
from rayimage.model.lock import RoleLock
from rayimage.model.platform import Platform
from rayimage.model.reference import Reference
from rayimage.specs import collect_specs

__all__ = [
    "Target",
    "export_path",
    "find_targets",
    "locked",
    "plan_targets",
    "preferences",
    "requests_of",
    "resolve_locks",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A role on a platform, on a base that is resolved and read."""

    role: Role
    platform: Platform
    base: ResolvedBase
    inventory: Inventory

    @property
    def key(self) -> tuple[str, str]:
        """Role and platform."""
        return (self.role.name, str(self.platform))


def find_targets(app: App, project: Project, *, pinned: bool) -> tuple[Target, ...]:
    """Resolve and read every role's base on every platform.

    ``pinned``: a base in a registry is the one of the lock, where there is a lock for it: a tag that moved since does
    not change what is built.
    """
    targets = []
    with app.progress.stage("base"):
        for role in project.roles:
            for platform in role.platforms:
                text = _pinned_text(project, role, platform) if pinned else role.base
                base = resolve_base(text, platform, root=project.root)
                inventory = read_inventory(base, cache_dir=app.cache_dir, progress=app.progress)
                targets.append(Target(role=role, platform=platform, base=base, inventory=inventory))
        check_bases({" ".join(target.key): target.inventory for target in targets}, app.progress)
    return tuple(targets)


def requests_of(project: Project, targets: Sequence[Target]) -> tuple[LockRequest, ...]:
    """What there is to lock: each target with its role's specs."""
    return tuple(
        LockRequest(
            role=target.role.name,
            platform=target.platform,
            base=target.role.base,
            inventory=target.inventory,
            specs=collect_specs(
                root=project.root,
                requirements=target.role.requirements,
                project=target.role.project,
                extras=target.role.extras,
                dependency_groups=target.role.dependency_groups,
            ),
        )
        for target in targets
    )


def resolve_locks(
    app: App, project: Project, requests: Sequence[LockRequest], options: Options
) -> tuple[RoleLock, ...]:
    """Resolve all requests together, with what is locked already and the committed exports as preferences."""
    previous = {}
    for request in requests:
        file = lock_path(project.lockfiles, request.role, request.platform)
        if file.exists():
            previous[(request.role, str(request.platform))] = read_lock(file)
    options = replace(options, directory=project.root, cache_dir=app.cache_dir)
    with app.progress.stage("lock"):
        locks = resolve(requests, options, previous=previous, progress=app.progress)
    _warn_of_broken(app, requests, locks)
    return locks


def preferences(project: Project, requests: Sequence[LockRequest]) -> Mapping[NormalizedName, Version]:
    """Versions from the hashed exports under the lock directory, for projects that commit those."""
    found: dict[NormalizedName, Version] = {}
    for request in requests:
        file = export_path(project.lockfiles, request.role, request.platform)
        if file.exists():
            found.update(read_preferences(file.read_text(encoding="utf-8")))
    return found


def export_path(directory: Path, role: str, platform: Platform) -> Path:
    """The host-free form of a lock: ``requirements.<role>-<arch>.txt``."""
    return directory / f"requirements.{role}-{platform.architecture}.txt"


def locked(project: Project, requests: Sequence[LockRequest]) -> tuple[RoleLock, ...] | None:
    """The locks on disk for ``requests``, None when there is none at all yet.

    Raises LockError when some are missing or any was made for other inputs than today's.
    """
    files = [lock_path(project.lockfiles, request.role, request.platform) for request in requests]
    if not any(file.exists() for file in files):
        return None
    locks = []
    for request, file in zip(requests, files, strict=True):
        if not file.exists():
            raise LockError(f"{file.name} is missing", why="other roles are locked, this one is not", fix=_LOCK)
        lock = read_lock(file)
        if lock.inputs != lock_inputs(request):
            raise LockError(f"{file.name} is stale", why=_changed(lock, request), fix=_LOCK)
        locks.append(lock)
    return tuple(locks)


def plan_targets(
    project: Project, targets: Sequence[Target], locks: Sequence[RoleLock], outputs: Sequence[Path] = ()
) -> tuple[BuildInput, ...]:
    """Plan every target's image; ``outputs`` are files and directories that this build writes."""
    generated = _generated_files(project, outputs)
    source = read_source(project.root, exclude=generated, fallback=_base_created(targets[0].base))
    trees: dict[tuple[str, ...], CodeTree] = {}
    inputs = []
    for target, lock in zip(targets, locks, strict=True):
        tree = None
        if target.role.code == "copy":
            exclude = (*generated, *target.role.exclude)
            tree = trees.get(exclude) or collect_code(project.root, exclude=exclude)
            trees[exclude] = tree
        plan = plan_image(_settings(target), target.inventory, lock, tree, source)
        inputs.append(
            BuildInput(
                plan=plan, base=target.base, inventory=target.inventory, lock=lock, project=project.root, tree=tree
            )
        )
    return tuple(inputs)


def _settings(target: Target) -> RoleSettings:
    role = target.role
    return RoleSettings(
        name=role.name,
        base_name=target.base.name,
        base_layers=len(target.base.manifest.layers),
        code=role.code,
        workdir=role.workdir,
        env=role.env,
        labels=role.labels,
    )


_LOCK = "run `rayimage lock` and commit the result"


def _warn_of_broken(app: App, requests: Sequence[LockRequest], locks: Sequence[RoleLock]) -> None:
    """Name every base package that a move breaks; what the base itself breaks is its own affair."""
    broken: dict[str, list[str]] = {}
    for request, lock in zip(requests, locks, strict=True):
        for problem in check_environment(request.inventory, lock, {}).new:
            broken.setdefault(str(problem), []).append(request.subject)
    for text, subjects in broken.items():
        app.progress.warn(f"{text} ({', '.join(subjects)})")


def _pinned_text(project: Project, role: Role, platform: Platform) -> str:
    file = lock_path(project.lockfiles, role.name, platform)
    if role.base.startswith("oci:") or not file.exists():
        return role.base
    base = read_lock(file).base
    return str(Reference.parse(role.base).with_digest(base.digest)) if base.reference == role.base else role.base


def _changed(lock: RoleLock, request: LockRequest) -> str:
    if lock.base.reference != request.base:
        return f"it was made for base {lock.base.reference}, the configuration says {request.base}"
    if lock.base.digest != request.inventory.image:
        then, now = lock.base.digest.short, request.inventory.image.short
        return f"the base {request.base} was {then} when it was made and is {now} now"
    files = ", ".join(name for name, _ in request.specs.files)
    return f"the requirements changed since ({files})"


def _generated_files(project: Project, outputs: Sequence[Path]) -> tuple[str, ...]:
    """Files that builds write: in the image they would make each build differ from the one before."""
    files: list[Path] = []
    for environment in project.environments.values():
        with suppress(ConfigError):  # files that are not there yet matter only to the environment that is built for
            files += environment.manifest_files(project.root)
    inside = [file for file in (*files, project.lockfiles, *outputs) if file.is_relative_to(project.root)]
    return tuple(sorted({file.relative_to(project.root).as_posix() for file in inside}))


def _base_created(base: ResolvedBase) -> str:
    return str(base.config.data.get("created") or "1980-01-02T00:00:00Z")
