"""Checkouts of projects, and build contexts made of them."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from uv import find_uv_bin

from benchmarks.contenders.contender import World
from benchmarks.dockerfiles import Installer, dockerfile, warm_up
from benchmarks.process import run
from benchmarks.projects import Project, State

__all__ = ["checkout", "context", "uv_version", "warm_up_context"]


def checkout(scratch: Path, project: Project, state: State, edit: str) -> Path:
    """A copy of the state's files in a new directory, edited."""
    directory = Path(tempfile.mkdtemp(prefix="site-", dir=scratch))
    shutil.copytree(state.directory, directory, dirs_exist_ok=True)
    with (directory / project.recipe.edited).open("a", encoding="utf-8") as code:
        code.write(f"\n# {edit}\n")
    return directory


def context(world: World, project: Project, installer: Installer, state: State, edit: str) -> Path:
    """A build context: Dockerfile, requirements, and the code alone."""
    directory = checkout(world.stage.scratch, project, state, edit)
    code = project.recipe.edited.split("/", maxsplit=1)[0]
    (directory / "Dockerfile").write_text(dockerfile(world.stage.base, installer, code))
    (directory / "requirements.txt").write_text(state.requirements)
    (directory / ".dockerignore").write_text(f"*\n!requirements.txt\n!{code}\n")
    return directory


def warm_up_context(world: World, project: Project, installer: Installer) -> Path:
    """A build context that only fills the installer's cache."""
    directory = Path(tempfile.mkdtemp(prefix="warm-", dir=world.stage.scratch))
    (directory / "Dockerfile").write_text(warm_up(world.stage.base, installer))
    (directory / "before.txt").write_text(project.before.requirements)
    (directory / "after.txt").write_text(project.after.requirements)
    return directory


def uv_version() -> str:
    """``uv 1.2.3``: the one that rayimage uses, too."""
    return " ".join(run([find_uv_bin(), "--version"]).split()[:2])
