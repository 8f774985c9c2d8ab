"""The projects that are built, each in two states: before and after one package is bumped.

Every state is locked by ``rayimage lock`` against the base, and all contenders install exactly those wheels: rayimage
from the lock, the Dockerfiles from its hashed export.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.utils import NormalizedName

from benchmarks.index import WheelIndex
from benchmarks.stage import Stage
from benchmarks.wheels import write_small_wheels
from rayimage.builders.simple_index import configured_indexes
from rayimage.builders.wheelhouse import Wheelhouse
from rayimage.lock import lock_path, read_lock, write_lock
from rayimage.model.lock import LockedWheel, RoleLock
from rayimage.model.platform import Platform
from tests.support.services import MissingPartError

__all__ = ["PROJECTS", "Project", "Recipe", "State", "prepare"]

ROOT = Path(__file__).parents[1]
ROLE = "head"
PLATFORM = Platform.parse("linux/amd64")
SMALL = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a project comes about: its requirements, the package to bump, its code, wheels that no index has."""

    title: str
    requirements: tuple[str, ...]
    bump: NormalizedName
    code: Callable[[Path], None]
    edited: str
    """The file of the code that an edit changes, relative to the project."""
    supply: Callable[[Path], None] | None = None
    """Puts wheels into a directory, from which they are served; raises MissingPartError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A project's files and lock at one time; ``requirements`` is the hashed export of the lock."""

    directory: Path
    lock: RoleLock
    requirements: str

    @property
    def versions(self) -> dict[str, str]:
        """What must be in the image above the base: project name → version."""
        return {str(wheel.name): str(wheel.version) for wheel in self.lock.wheels}


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A project ready to be built; ``cache`` has its wheels and the base's inventory, and no layer."""

    name: str
    recipe: Recipe
    before: State
    after: State
    cache: Path

    @property
    def bumped(self) -> LockedWheel:
        """The new wheel of the package that is bumped."""
        return next(wheel for wheel in self.after.lock.wheels if wheel.name == self.recipe.bump)

    @property
    def old_version(self) -> str:
        """The version that it replaces."""
        return self.before.versions[self.recipe.bump]


def prepare(name: str, recipe: Recipe, home: Path, stage: Stage, index: WheelIndex) -> Project:
    """Lock both states, fetch their wheels and serve them from ``index``; what is in ``home`` is used again.

    Raises MissingPartError when the project cannot be had here.
    """
    supplied, cache = home / name / "supply", home / "cache"
    supplied.mkdir(parents=True, exist_ok=True)
    if recipe.supply:
        recipe.supply(supplied)
    for wheel in sorted(supplied.glob("*.whl")):
        index.add(wheel)
    after, before = home / name / "after", home / name / "before"
    _lay_out(after, recipe, recipe.requirements, stage)
    lock = _lock(after, cache, index)
    newest = next(wheel.version for wheel in lock.wheels if wheel.name == recipe.bump)
    _lay_out(before, recipe, (*recipe.requirements, f"{recipe.bump}<{newest}"), stage)
    if not (before / "lockfiles").is_dir():  # From the other lock, so that nothing but the bumped package differs.
        shutil.copytree(after / "lockfiles", before / "lockfiles")
    older = _lock(before, cache, index)
    # Both are locked by now: an index that has one version would hide the others.
    return Project(
        name=name,
        recipe=recipe,
        before=_served(before, older, cache, index),
        after=_served(after, lock, cache, index),
        cache=cache,
    )


def _lay_out(directory: Path, recipe: Recipe, requirements: Sequence[str], stage: Stage) -> None:
    """The project as its author has it; locks that are there stay, and keep the versions from run to run."""
    for path in directory.glob("*"):
        if path.name != "lockfiles":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    directory.mkdir(parents=True, exist_ok=True)
    recipe.code(directory)
    (directory / "requirements.in").write_text("\n".join([*requirements, ""]))
    (directory / "rayimage.toml").write_text(
        f'repository = "{stage.repository}"\nrequirements = ["requirements.in"]\n'
        'exclude = ["requirements.in", "rayimage.toml"]\nenv = { PYTHONPATH = "/home/ray/app" }\n'
        f'[images.{ROLE}]\nbase = "{stage.base}"\n'
    )


def _lock(directory: Path, cache: Path, index: WheelIndex) -> RoleLock:
    environment = os.environ | {"RAYIMAGE_CACHE_DIR": str(cache), "UV_INDEX": index.url}
    command = [sys.executable, "-m", "rayimage", "-C", str(directory), "lock", "--export", "requirements"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MissingPartError(f"{directory.parent.name}: it cannot be locked here\n{done.stderr.strip()}")
    return read_lock(_lock_file(directory))


def _lock_file(directory: Path) -> Path:
    return lock_path(directory / "lockfiles", ROLE, PLATFORM)


def _served(directory: Path, lock: RoleLock, cache: Path, index: WheelIndex) -> State:
    """The locked wheels on this disk and in ``index``, and a lock that names that index."""
    wheelhouse = Wheelhouse(cache, indexes=configured_indexes())
    paths = {wheel: wheelhouse.fetch(wheel) for wheel in lock.wheels}
    wheels = tuple(
        replace(wheel, url=index.add(path, wheel.digest.hex), size=path.stat().st_size) for wheel, path in paths.items()
    )
    lock = replace(lock, wheels=wheels)
    write_lock(lock, _lock_file(directory))
    [export] = (directory / "lockfiles").glob("requirements.*.txt")
    return State(directory=directory, lock=lock, requirements=export.read_text())


def _example_code(directory: Path) -> None:
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "examples/fraud/fraud", directory / "fraud", ignore=ignore)


def _generated_code(directory: Path) -> None:
    """40 modules, 250 kB: a project of some size."""
    choice = random.Random("code")
    package = directory / "app"
    package.mkdir()
    (package / "__init__.py").write_text("")
    for number in range(40):
        lines = (f"value_{choice.randrange(10**6)} = {choice.randrange(10**9)}" for _ in range(220))
        (package / f"module_{number:02}.py").write_text("\n".join(lines) + "\n")


def _example_requirements() -> tuple[str, ...]:
    files = [ROOT / "examples/fraud" / name for name in ("requirements.in", "requirements-worker.in")]
    lines = [line.partition("#")[0].strip() for file in files for line in file.read_text().splitlines()]
    return tuple(line for line in lines if line)


def _cpu_torch(directory: Path) -> None:
    """The CPU build of torch, from wherever pip finds it: most indexes have only the CUDA build."""
    if any(directory.glob("torch-*.whl")):
        return
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    command += ["--python-version", "3.11", "--platform", "manylinux_2_28_x86_64", "--dest", str(directory), TORCH]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MissingPartError(f"torch: pip, as it is configured here, finds no {TORCH}")


def _small_wheels(directory: Path) -> None:
    if len(list(directory.glob("*.whl"))) != SMALL + 1:
        write_small_wheels(directory, SMALL, bumped=SMALL // 2)


TORCH = "torch==2.13.0+cpu"
PROJECTS: Mapping[str, Recipe] = {
    "example": Recipe(
        title="the example (examples/fraud, worker)",
        requirements=_example_requirements(),
        bump=NormalizedName("holidays"),
        code=_example_code,
        edited="fraud/features.py",
    ),
    "torch": Recipe(
        title="torch + transformers + scikit-learn + xgboost (CPU builds)",
        requirements=(TORCH, "transformers", "scikit-learn", "xgboost-cpu"),
        bump=NormalizedName("transformers"),
        code=_generated_code,
        edited="app/module_20.py",
        supply=_cpu_torch,
    ),
    "small": Recipe(
        title=f"{SMALL} small packages",
        requirements=tuple(f"small-{number:03}" for number in range(SMALL)),
        bump=NormalizedName(f"small-{SMALL // 2:03}"),
        code=_generated_code,
        edited="app/module_20.py",
        supply=_small_wheels,
    ),
}
