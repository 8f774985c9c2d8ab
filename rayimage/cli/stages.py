"""The stages that commands share, each from values to values: targets → locks → plans.

A target is one image to be: a role on a platform, with its base resolved and read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from rayimage.base import (
    BaseCache,
    RememberedBases,
    ResolvedBase,
    check_bases,
    read_inventory,
    resolve_base,
)
from rayimage.cachedir import Kind
from rayimage.cli.app import App
from rayimage.config import Project, Role, repository_of
from rayimage.errors import BaseImageError, CheckFailed, ConfigError, LockError
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
from rayimage.lock.system import fits, read_system_lock, system_lock_path, write_system_lock
from rayimage.model.digest import Digest
from rayimage.model.inventory import Inventory
from rayimage.model.layering import Layering
from rayimage.model.lock import RoleLock
from rayimage.model.manifest import canonical_json
from rayimage.model.platform import Platform
from rayimage.model.reference import Reference
from rayimage.model.system import SystemLock
from rayimage.report.progress import Aside
from rayimage.specs import RoleSpecs, collect_specs

if TYPE_CHECKING:
    from rayimage.builders.direct import BuiltImage
    from rayimage.builders.inputs import BuildInput
    from rayimage.builders.planner import RoleSettings
    from rayimage.builders.source_wheels import SourceWheels
    from rayimage.builders.system_base import SystemBases
    from rayimage.layers import CodeTree

__all__ = [
    "Locked",
    "Target",
    "check_environments",
    "export_path",
    "find_targets",
    "plan_targets",
    "preferences",
    "read_locks",
    "requests_of",
    "resolve_locks",
    "shared_repository",
    "source_wheels",
    "with_accounts",
]


SystemUse = Literal["use", "keep", "lock", "preview", "check"]
"""What becomes of the lock of what is installed into bases: it is used, and must fit; the same, and a first one is
kept; it is made anew where it does not fit, and kept; the same without keeping it; it is only checked."""


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


def find_targets(
    app: App,
    project: Project,
    *,
    pinned: bool,
    remembered: bool = False,
    shared: BaseCache | None = None,
    system: SystemUse = "use",
    repository: Reference | None = None,
) -> tuple[Target, ...]:
    """Resolve and read every role's base on every platform; ``shared`` may know what a base contains.

    ``pinned``: a base in a registry is the one of the lock, where there is a lock for it: a tag that moved since does
    not change what is built. ``remembered``: what is known of it from before is not asked of its registry again.
    ``system`` says what happens where a base gets system packages or other steps; ``repository`` is where their results
    are shared.
    """
    systems = _SystemBases(app, project, repository or shared_repository(project), system)
    targets = []
    directory = app.cache_dir / Kind.BASES.directory if remembered else None
    bases = RememberedBases(app.open_repository, directory, shared)
    inventories: dict[Digest, Inventory] = {}
    with app.progress.stage("base"):
        for role in project.roles:
            for platform in role.platforms:
                found = _resolve(bases, project, role, platform, pinned=pinned)
                base = systems.of(found, role, platform)
                if base.digest not in inventories:
                    inventories[base.digest] = read_inventory(
                        base, cache_dir=app.cache_dir, shared=shared, progress=app.progress
                    )
                targets.append(Target(role=role, platform=platform, base=base, inventory=inventories[base.digest]))
        check_bases({" ".join(target.key): target.inventory for target in targets}, app.progress)
    return tuple(targets)


class _SystemBases:
    """The bases with what is installed into them, locked beside the roles' locks."""

    def __init__(self, app: App, project: Project, repository: Reference | None, use: SystemUse) -> None:
        self._app, self._project, self._repository, self._use = app, project, repository, use

    def of(self, base: ResolvedBase, role: Role, platform: Platform) -> ResolvedBase:
        """``base`` itself where nothing is to be done to it."""
        file = system_lock_path(self._project.lockfiles, role.name, platform)
        if not (role.system_packages or role.run):
            if self._use == "lock" and file.exists():
                file.unlink()
                self._app.progress.note(
                    f"removed {self._app.shown(file)}: nothing is installed into that base any more"
                )
            return base
        from rayimage.builders.system_base import steps_of

        steps = steps_of(role.system_packages, role.system, role.run)
        locked = self._read(file)
        if locked and not fits(locked, base.digest, steps):
            self._refuse_unless(("lock", "preview"), f"{file.name} was made for another base, or for other steps")
            locked = None
        elif locked is None and self._use == "check":
            self._refuse_unless((), f"{file.name} is missing")
        made, lock = self._makers.make(base, steps, locked)
        lock = replace(lock, reference=role.base)  # as the user names it, without the digest that is locked
        if self._use in ("lock", "keep") and write_system_lock(lock, file):
            self._app.progress.note(f"wrote {self._app.shown(file)}")
        return made

    def _read(self, file: Path) -> SystemLock | None:
        """What is locked; a damaged lock is none where a new one is made."""
        try:
            return read_system_lock(file)
        except LockError as error:
            if self._use not in ("lock", "preview"):
                raise
            self._app.progress.warn(f"{error}; it is made anew")
            return None

    def _refuse_unless(self, uses: tuple[SystemUse, ...], why: str) -> None:
        if self._use not in uses:
            refusal = CheckFailed if self._use == "check" else LockError
            raise refusal("the locks do not fit the project", why=why, fix="run `rayimage lock` and commit it")

    @cached_property
    def _makers(self) -> SystemBases:
        from rayimage.builders.docker.execute import EngineSteps
        from rayimage.builders.shelf import Shelf
        from rayimage.builders.system_base import SystemBases

        app = self._app
        shelf = Shelf(partial(app.open_repository, self._repository) if self._repository else None, app.progress)
        return SystemBases(app.cache_dir, shelf, EngineSteps(app.cache_dir, app.progress), app.progress)


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


def shared_repository(project: Project, environment: str | None = None) -> Reference | None:
    """The repository of an environment, if one is set."""
    try:
        return repository_of(project, environment)
    except ConfigError:
        return None


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
            previous[request.key] = lock
    build = {} if os.environ.get("UV_NO_BUILD") else options.build
    options = replace(options, directory=project.root, cache_dir=app.cache_dir, build=build)
    with app.progress.stage("lock"):
        return resolve(requests, options, previous=previous, progress=Aside(app.progress))


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


def read_locks(project: Project, requests: Sequence[LockRequest]) -> Locked:
    """The locks on disk for ``requests``, and which are missing, unreadable or made for other inputs than today's."""
    files = [lock_path(project.lockfiles, request.role, request.platform) for request in requests]
    states = {file: _read(file, request) for file, request in zip(files, requests, strict=True)}
    return Locked(
        locks=tuple(lock for lock, _ in states.values() if lock),
        problems={file.name: problem for file, (_, problem) in states.items() if problem},
        any_file=any(file.exists() for file in files),
    )


def _read(file: Path, request: LockRequest) -> tuple[RoleLock | None, str]:
    if not file.exists():
        return None, "is missing"
    try:
        lock = read_lock(file)
    except NewerFormat:
        raise  # Locking anew, the advice for all else, would lose what the newer one knows.
    except LockError as error:
        return None, f"cannot be used: {error.why or error.what}"
    changed = what_changed(lock, request)
    if not request.specs.local:
        return lock, f"is stale: {changed}" if changed else ""
    from rayimage.builders.local_wheels import with_local_wheels

    return with_local_wheels(lock, request.specs.local), f"is stale: {changed}" if changed else ""


def plan_targets(
    project: Project, targets: Sequence[Target], locks: Sequence[RoleLock], outputs: Sequence[Path] = ()
) -> tuple[BuildInput, ...]:
    """Plan every target's image; ``outputs`` are files and directories that this build writes."""
    from rayimage.builders.inputs import BuildInput
    from rayimage.builders.planner import plan_image
    from rayimage.builders.source import read_source
    from rayimage.layers import collect_code

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
        plan = plan_image(_settings(target, project.layering), target.inventory, lock, tree, source)
        inputs.append(
            BuildInput(
                plan=plan, base=target.base, inventory=target.inventory, lock=lock, project=project.root, tree=tree
            )
        )
    return tuple(inputs)


def with_accounts(inputs: Sequence[BuildInput], requests: Sequence[LockRequest]) -> tuple[BuildInput, ...]:
    """``inputs`` with their specs, and where these say that packages are, for downloads; credentials included.

    Raises ConfigError when these credentials would be copied into the image.
    """
    from rayimage.builders.checks import check_no_passwords

    for each, request in zip(inputs, requests, strict=True):
        if each.tree:
            check_no_passwords(each.tree, [name for name, _ in request.specs.files])
    return tuple(
        replace(
            each,
            indexes=(*request.specs.indexes, *(f"rayimage-{n}={url}" for n, url in request.rules.indexes.items())),
            accounts=request.specs.accounts,
            specs=request.specs,
        )
        for each, request in zip(inputs, requests, strict=True)
    )


def check_environments(app: App, project: Project, inputs: Sequence[BuildInput], built: Sequence[BuiltImage]) -> None:
    """Check what every image has installed by the wheels' own metadata; raises LockError before anything is sent.

    An image of the same lock that was built before, and whose wheels nobody has here, is not checked again.
    """
    from rayimage.lock import check_final

    packages = {(i.plan.role, i.plan.platform): i.packages for i in built if i.packages is not None}
    images = [
        (
            LockRequest(
                role=each.plan.role,
                platform=each.plan.platform,
                base=each.lock.base.reference,
                inventory=each.inventory,
                specs=each.specs,
            ),
            each.lock,
            packages[each.plan.role, each.plan.platform],
        )
        for each in inputs
        if each.specs is not None and (each.plan.role, each.plan.platform) in packages
    ]
    warnings, known = check_final(images, frozenset(map(canonicalize_name, project.allow_unmet)))
    for text in warnings:
        app.progress.warn(text)
    for text in known if app.verbose else ():
        app.progress.note(text)


def _settings(target: Target, layering: Layering) -> RoleSettings:
    from rayimage.builders.planner import RoleSettings

    role = target.role
    return RoleSettings(
        name=role.name,
        base_name=target.base.name,
        base_layers=len(target.base.manifest.layers),
        base_digest=target.base.made_on,
        code=role.code,
        workdir=role.workdir,
        env=role.env,
        labels=role.labels,
        layering=layering,
    )


def _resolve(bases: RememberedBases, project: Project, role: Role, platform: Platform, *, pinned: bool) -> ResolvedBase:
    text = _pinned_text(project, role, platform) if pinned else role.base
    file = system_lock_path(project.lockfiles, role.name, platform)
    if text != role.base and (role.system_packages or role.run) and not file.exists():
        # What is locked may be the image that those made, which is in no registry.
        text = role.base
    try:
        return resolve_base(text, platform, root=project.root, open_repository=bases.open)
    except BaseImageError as error:
        if text == role.base:
            raise
        why = f"{error.why}; it is the image that was locked"
        fix = "see what the tag's image of today would change: rayimage lock --upgrade-base"
        raise BaseImageError(error.what, why=why, fix=fix) from error


def _pinned_text(project: Project, role: Role, platform: Platform) -> str:
    if role.base.startswith("oci:"):
        return role.base
    lock, _ = read_previous(lock_path(project.lockfiles, role.name, platform))
    system = None
    with suppress(LockError):  # said later, by who reads what is in it
        system = read_system_lock(system_lock_path(project.lockfiles, role.name, platform))
    if system and system.reference == role.base:
        has_steps = role.system_packages or role.run
        if has_steps or (lock and lock.base.digest == system.image):
            return str(Reference.parse(role.base).with_digest(system.base))
    if lock is None or lock.base.reference != role.base:
        return role.base
    return str(Reference.parse(role.base).with_digest(lock.base.digest))


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
