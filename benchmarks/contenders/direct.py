"""rayimage, as its users run it: one command in another process."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contenders.checkout import checkout
from benchmarks.contenders.contender import Machine, Site, World
from benchmarks.process import run
from benchmarks.projects import ROLE, Project, State
from rayimage import __version__

__all__ = ["Rayimage"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _RayimageMachine:
    world: World
    project: Project
    cache: Path
    wheels: bool

    def lay_out(self, state: State, edit: str) -> Site:
        directory = checkout(self.world.stage.scratch, self.project, state, edit)
        return Site(directory=directory, reference=f"{self.world.stage.repository}:bench-{ROLE}")

    def build(self, site: Site) -> None:
        # The time of a commit, which a checkout has and this copy has not.
        environment = {"RAYIMAGE_CACHE_DIR": str(self.cache), "SOURCE_DATE_EPOCH": "1700000000"}
        command = [sys.executable, "-m", "rayimage", "-q", "-C", str(site.directory)]
        run([*command, "build", "--no-emit", "--tag", "bench"], environment)

    def forget(self) -> None:
        shutil.rmtree(self.cache, ignore_errors=True)
        if self.wheels:  # Never written again once they are there: links do.
            shutil.copytree(self.project.cache, self.cache, copy_function=os.link)


class Rayimage:
    """The package beside this one."""

    def version(self) -> str:
        return f"rayimage {__version__}, Python {sys.version.split()[0]}"

    @contextmanager
    def _machine(self, world: World, project: Project, *, wheels: bool) -> Iterator[Machine]:
        cache = Path(tempfile.mkdtemp(prefix="cache-", dir=world.stage.scratch))
        machine = _RayimageMachine(world=world, project=project, cache=cache, wheels=wheels)
        try:
            machine.forget()
            yield machine
        finally:
            shutil.rmtree(cache, ignore_errors=True)

    def warm(self, world: World, project: Project) -> AbstractContextManager[Machine]:
        return self._machine(world, project, wheels=True)

    def fresh(self, world: World, project: Project) -> AbstractContextManager[Machine]:
        return self._machine(world, project, wheels=False)
