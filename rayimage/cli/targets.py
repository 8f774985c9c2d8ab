"""What images there are to be: each role on each platform, with its base resolved and read."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

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
from rayimage.cli.system import LockedBases
from rayimage.config import Project, Role, repository_of
from rayimage.errors import BaseImageError, ConfigError, LockError
from rayimage.lock import (
    lock_path,
    read_previous,
)
from rayimage.lock.system import read_system_lock, system_lock_path
from rayimage.model.digest import Digest
from rayimage.model.inventory import Inventory
from rayimage.model.platform import Platform
from rayimage.model.reference import Reference

if TYPE_CHECKING:
    pass


__all__ = ["SystemUse", "Target", "find_targets", "shared_repository"]


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
    systems = LockedBases(app, project, repository or shared_repository(project), system)
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


def shared_repository(project: Project, environment: str | None = None) -> Reference | None:
    """The repository of an environment, if one is set."""
    try:
        return repository_of(project, environment)
    except ConfigError:
        return None


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
