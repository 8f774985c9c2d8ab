"""From targets to locks: what there is to lock, what is locked already, and whether that still fits."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from rayimage.cli.app import App
from rayimage.config import Project, Role
from rayimage.errors import LockError
from rayimage.files import locked
from rayimage.lock import (
    LockRequest,
    NewerFormat,
    Options,
    Rules,
    lock_path,
    read_lock,
    read_preferences,
    read_previous,
    what_changed,
)
from rayimage.model.lock import RoleLock
from rayimage.model.manifest import canonical_json
from rayimage.model.platform import Platform
from rayimage.model.reference import Reference
from rayimage.report.progress import Aside
from rayimage.specs import RoleSpecs, collect_specs

if TYPE_CHECKING:
    from rayimage.builders.source_wheels import SourceWheels
    from rayimage.cli.targets import Target


__all__ = [
    "Locked",
    "export_path",
    "exported_preferences",
    "read_locks",
    "requests_of",
    "resolve_locks",
    "source_wheels",
]

_MISSING: Final = "is missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """The locks on disk for some requests, in their order; ``problems`` maps a file's name to what is wrong with it."""

    locks: tuple[RoleLock, ...]
    problems: Mapping[str, str]
    any_file: bool

    def usable(self) -> tuple[RoleLock, ...] | None:
        """The locks, None when there is no file at all yet. Raises LockError when one has a problem."""
        if not self.any_file:
            return None
        if self.problems:
            fix = "run `rayimage lock` and commit the result"
            raise LockError("the locks do not fit the project", why=self.why, fix=fix)
        return self.locks

    @property
    def why(self) -> str:
        """The problems, one a line."""
        return "\n".join(f"{name} {why}" for name, why in self.problems.items())


def requests_of(app: App, project: Project, targets: Sequence[Target]) -> tuple[LockRequest, ...]:
    """What there is to lock: each target with its role's specs, the packages that lie beside the project built."""
    roles = {target.role.name: target.role for target in targets}
    specs = {name: _specs(app, project, role) for name, role in roles.items()}
    for note in dict.fromkeys(note for each in specs.values() for note in each.notes):
        app.progress.warn(note)
    return tuple(
        LockRequest(
            role=target.role.name,
            platform=target.platform,
            base=target.role.base,
            inventory=target.inventory,
            specs=specs[target.role.name],
            rules=Rules(
                base_packages=project.base_packages,
                allow_skew=frozenset(map(canonicalize_name, project.allow_skew)),
                indexes={canonicalize_name(name): url for name, url in target.role.index.items()},
                build=_built_with(target.role),
            ),
        )
        for target in targets
    )


def _specs(app: App, project: Project, role: Role) -> RoleSpecs:
    specs = collect_specs(
        root=project.root,
        requirements=role.requirements,
        project=role.project,
        extras=role.extras,
        dependency_groups=role.dependency_groups,
        from_lock=role.from_lock,
        cache_dir=app.cache_dir,
    )
    if not specs.local:
        return specs
    from rayimage.builders.local_wheels import build_local_wheels

    return specs.with_local(build_local_wheels(specs.local, app.cache_dir, app.progress))


def _built_with(role: Role) -> tuple[str, ...]:
    """What counts for a lock of how packages without a wheel are built."""
    if not role.build_packages:
        return ()
    return (*sorted(role.build_packages), canonical_json(role.system.identity()).decode())


def source_wheels(
    app: App, project: Project, targets: Sequence[Target], requests: Sequence[LockRequest], repository: Reference | None
) -> dict[tuple[str, str], SourceWheels]:
    """Who builds packages without a wheel, by role and platform; ``repository`` is where their wheels are shared."""
    from rayimage.builders.docker.build_wheel import BaseWheels
    from rayimage.builders.shelf import Shelf
    from rayimage.builders.simple_index import configured_indexes
    from rayimage.builders.source_wheels import SourceWheels
    from rayimage.builders.wheelhouse import Wheelhouse

    shelf = Shelf(partial(app.open_repository, repository) if repository else None, app.progress)
    found = {}
    for target, request in zip(targets, requests, strict=True):
        role, indexes = target.role, request.specs.indexes
        found[target.key] = SourceWheels(
            cache_dir=app.cache_dir,
            base=target.inventory,
            wheelhouse=Wheelhouse(
                app.cache_dir, indexes=configured_indexes(more=indexes), accounts=request.specs.accounts
            ),
            in_base=BaseWheels({target.base.digest: target.base}, role.build_packages, role.system, app.progress),
            directory=project.root,
            shelf=shelf,
            accounts=request.specs.accounts,
            environment={"UV_INDEX": " ".join([*indexes, *os.environ.get("UV_INDEX", "").split()])} if indexes else {},
            progress=app.progress,
        )
    return found


def resolve_locks(
    app: App, project: Project, requests: Sequence[LockRequest], options: Options
) -> tuple[RoleLock, ...]:
    """Resolve all requests together, with what is locked already and the committed exports as preferences."""
    from rayimage.lock.joint import resolve

    previous = {}
    for request in requests:
        lock, complaint = read_previous(lock_path(project.lockfiles, request.role, request.platform))
        if complaint:
            app.progress.warn(f"{complaint}; it is made anew")
        if lock:
            previous[request.key] = _as_built_here(lock, request)
    build = {} if os.environ.get("UV_NO_BUILD") else options.build
    options = replace(options, directory=project.root, cache_dir=app.cache_dir, build=build)
    with app.progress.stage("lock"):
        return resolve(requests, options, previous=previous, progress=Aside(app.progress))


def exported_preferences(project: Project, requests: Sequence[LockRequest]) -> Mapping[NormalizedName, Version]:
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


def read_locks(project: Project, requests: Sequence[LockRequest]) -> Locked:
    """The locks on disk for ``requests``, and which are missing, unreadable or made for other inputs than today's."""
    files = [lock_path(project.lockfiles, request.role, request.platform) for request in requests]
    if not project.lockfiles.is_dir():
        return Locked(locks=(), problems={file.name: _MISSING for file in files}, any_file=False)
    with locked(project.lockfiles, shared=True):  # Who writes them writes all of them.
        states = {file: _read(file, request) for file, request in zip(files, requests, strict=True)}
    return Locked(
        locks=tuple(lock for lock, _ in states.values() if lock),
        problems={file.name: problem for file, (_, problem) in states.items() if problem},
        any_file=any(problem != _MISSING for _, problem in states.values()),
    )


def _read(file: Path, request: LockRequest) -> tuple[RoleLock | None, str]:
    if not file.exists():
        return None, _MISSING
    try:
        lock = read_lock(file)
    except NewerFormat:
        raise  # Locking anew, the advice for all else, would lose what the newer one knows.
    except LockError as error:
        return None, f"cannot be used: {error.why or error.what}"
    changed = what_changed(lock, request)
    return _as_built_here(lock, request), f"is stale: {changed}" if changed else ""


def _as_built_here(lock: RoleLock, request: LockRequest) -> RoleLock:
    """A lock that was read, with the wheels of local packages: of these it names the directory alone."""
    if not request.specs.local:
        return lock
    from rayimage.builders.local_wheels import with_local_wheels

    return with_local_wheels(lock, request.specs.local)
