"""A whole run: sets the stage, alternates the contenders, keeps what was measured, says how long it will take."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from shutil import disk_usage

from benchmarks.contenders import ENGINE_OPTIONS, Contender, Docker, Machine, World
from benchmarks.index import WheelIndex, running_index
from benchmarks.process import BuildFailedError
from benchmarks.projects import PROJECTS, Project, prepare
from benchmarks.results import REFERENCE, SUBJECT, ProjectFacts, Results
from benchmarks.runner import Trial, run_sequence
from benchmarks.stage import set_stage
from benchmarks.verify import Verifier, WrongImageError
from tests.support.services import MissingPartError, own_engine

__all__ = ["Plan", "Say", "carry_out", "estimate", "order"]

Say = Callable[[str], None]
NEEDED_DISK = 15 << 30
"""Bytes: two Engines or storages with a base and two torches each, and the wheels."""

ROUGHLY = {
    "example": {"rayimage": 15, "docker-uv": 50, "docker-pip": 90, "buildah-uv": 130},
    "torch": {"rayimage": 35, "docker-uv": 170, "docker-pip": 240, "buildah-uv": 240},
    "small": {"rayimage": 20, "docker-uv": 60, "docker-pip": 120, "buildah-uv": 130},
}
"""Seconds of one sequence with all that belongs to it, on two cores; a guess until the first round is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to run."""

    rounds: int
    side_rounds: int
    """Of the contenders that no target refers to."""
    projects: tuple[str, ...]
    contenders: Mapping[str, Contender]
    cases: tuple[str, ...]
    base: str
    """As rayimage names it."""
    home: Path
    """Where locks and wheels stay from run to run."""

    def sequences(self, project: str) -> Iterator[tuple[str, str, int]]:
        """Project, contender and round, in the order in which they run: each round another contender begins."""
        for number in range(1, max(self.rounds, self.side_rounds) + 1):
            for name in order(tuple(self.contenders), number):
                if number <= (self.rounds if name in {SUBJECT, REFERENCE} else self.side_rounds):
                    yield project, name, number


def order(names: tuple[str, ...], number: int) -> tuple[str, ...]:
    """The contenders in the order of round ``number`` (from 1)."""
    first = (number - 1) % len(names)
    return names[first:] + names[:first]


def estimate(plan: Plan, took: Mapping[tuple[str, str], float], done: set[tuple[str, str, int]]) -> float:
    """Seconds that are left: what a sequence took before, else what it takes roughly."""
    return sum(
        took.get((project, name), ROUGHLY[project][name])
        for each in plan.projects
        for project, name, number in plan.sequences(each)
        if (project, name, number) not in done
    )


def carry_out(plan: Plan, results: Results, keep: Callable[[Results], None], say: Say) -> Results:
    """Run ``plan`` on top of ``results``, which may have a part of it already; ``keep`` hears what there is so far.

    Raises MissingPartError, BuildFailedError, WrongImageError.
    """
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True)))
        if disk_usage(scratch).free < NEEDED_DISK:
            raise MissingPartError(f"room: {scratch.parent} has less than {NEEDED_DISK >> 30} GiB free")
        index = stack.enter_context(running_index())
        stage = set_stage(scratch, plan.base)
        docker = any(isinstance(each, Docker) for each in plan.contenders.values())
        engine = stack.enter_context(own_engine(*ENGINE_OPTIONS)) if docker else None
        world = World(stage=stage, index_url=index.url, engine=engine)
        run = _Run(plan=plan, world=world, keep=keep, say=say, results=results)
        for name in plan.projects:
            if project := run.prepare(name, index):
                run.project(project)
        return run.results


@dataclass(slots=True, kw_only=True)
class _Run:
    plan: Plan
    world: World
    keep: Callable[[Results], None]
    say: Say
    results: Results

    verifier: Verifier = field(init=False, default_factory=Verifier)
    took: dict[tuple[str, str], float] = field(init=False, default_factory=dict)
    done: set[tuple[str, str, int]] = field(init=False)

    def __post_init__(self) -> None:
        wanted = set(self.plan.cases)
        found: dict[tuple[str, str, int], set[str]] = {}
        for each in self.results.measurements:
            found.setdefault((each.project, each.contender, each.round), set()).add(each.case)
        self.done = {sequence for sequence, cases in found.items() if cases >= wanted}
        whole = tuple(
            each for each in self.results.measurements if (each.project, each.contender, each.round) in self.done
        )
        self.results = replace(self.results, measurements=whole)

    def prepare(self, name: str, index: WheelIndex) -> Project | None:
        """The project, None (and why, among the results) if it cannot be had here."""
        try:
            with self.world.stage.registry():
                project = prepare(name, PROJECTS[name], self.plan.home, self.world.stage, index)
        except MissingPartError as missing:
            self.say(f"skipped: {name}: {missing}")
            self._skip(name, str(missing).splitlines()[0])
            return None
        self.results = replace(self.results, projects={**self.results.projects, name: _facts(project)})
        return project

    def project(self, project: Project) -> None:
        """All rounds of a project."""
        left = [key for key in self.plan.sequences(project.name) if key not in self.done]
        self.say(f"{project.name}: about {estimate(self.plan, self.took, self.done) / 60:.0f} minutes left in all")
        with ExitStack() as stack:
            machines = {}
            for key in left:
                _, name, number = key
                what = f"{project.name}, {name}"
                if what in self.results.skipped:
                    continue
                trial = Trial(
                    world=self.world,
                    project=project,
                    name=name,
                    contender=self.plan.contenders[name],
                    verifier=self.verifier,
                )
                started = time.monotonic()
                try:
                    if name not in machines:
                        machines[name] = stack.enter_context(self._warmed(trial))
                        started = time.monotonic()
                    measured = list(run_sequence(trial, machines[name], self.plan.cases, number, self.say))
                except (BuildFailedError, WrongImageError) as failure:
                    if name == SUBJECT:
                        raise
                    self.say(f"{what}: {failure}")
                    self._skip(what, f"it failed in round {number}")
                    continue
                self.results = self.results.with_measurements(measured)
                self.keep(self.results)
                self.took[project.name, name] = time.monotonic() - started
                self.done.add(key)

    def _skip(self, what: str, why: str) -> None:
        self.results = replace(self.results, skipped={**self.results.skipped, what: why})

    @contextmanager
    def _warmed(self, trial: Trial) -> Iterator[Machine]:
        started = time.monotonic()
        with ExitStack() as stack:
            with self.world.stage.registry():  # for the base
                machine = stack.enter_context(trial.contender.warm(self.world, trial.project))
            took = time.monotonic() - started
            self.say(f"{trial.project.name}, {trial.name}: wheels and base are there ({took:.0f} s)")
            yield machine


def _facts(project: Project) -> ProjectFacts:
    wheels = project.before.lock.wheels
    return ProjectFacts(
        title=project.recipe.title,
        wheels=len(wheels),
        wheel_bytes=sum(wheel.size or 0 for wheel in wheels),
        bump=f"{project.recipe.bump} {project.old_version} → {project.bumped.version}",
        bumped_wheel_bytes=project.bumped.size or 0,
    )
