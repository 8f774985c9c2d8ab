"""Those who build: rayimage, docker build with uv or with pip, buildah. Each gets machines that know what it says.

A machine is either *warm* (it has the wheels and the base, and what it built since ``forget``) or *fresh* (nothing at
all, as a new CI runner). ``lay_out`` puts a checkout there, ``build`` is what is timed: it builds and pushes.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.projects import Project, State
from benchmarks.stage import Stage
from tests.support.services import Engine

__all__ = ["Contender", "Machine", "Site", "World"]


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What all contenders share: the stage, the package index, an Engine if one of them needs it."""

    stage: Stage
    index_url: str
    engine: Engine | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A checkout, and the image that is made of it."""

    directory: Path
    reference: str


class Machine(Protocol):
    """Where a contender builds."""

    def lay_out(self, state: State, edit: str) -> Site:
        """A checkout of ``state`` whose code ends with the comment ``edit``."""

    def build(self, site: Site) -> None:
        """Build and push; raises BuildFailedError."""

    def forget(self) -> None:
        """Drop what was built here; wheels and base stay."""


class Contender(Protocol):
    """One way to make an image."""

    def version(self) -> str:
        """Programs and versions; raises MissingPartError when one is not here."""

    def warm(self, world: World, project: Project) -> AbstractContextManager[Machine]:
        """A machine that has the project's wheels and the base."""

    def fresh(self, world: World, project: Project) -> AbstractContextManager[Machine]:
        """A machine that has nothing."""
