"""Bases with what is installed into them, locked beside the roles' locks."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from rayimage.base import (
    ResolvedBase,
)
from rayimage.cli.app import App
from rayimage.config import Project, Role
from rayimage.errors import CheckFailed, LockError
from rayimage.lock.system import fits, read_system_lock, system_lock_path, write_system_lock
from rayimage.model.platform import Platform
from rayimage.model.reference import Reference
from rayimage.model.system import SystemLock

if TYPE_CHECKING:
    from rayimage.builders.system_base import SystemBases
    from rayimage.cli.targets import SystemUse


__all__ = ["LockedBases"]


class LockedBases:
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
