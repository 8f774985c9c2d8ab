"""A whole run: sets the stage, alternates the contenders, keeps what was measured, says how long it will take."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from shutil import disk_usage

from benchmarks.contenders import ENGINE_OPTIONS, Contender, Docker, World
from benchmarks.index import WheelIndex, running_index
from benchmarks.projects import PROJECTS, Project, prepare
from benchmarks.results import Measurement, ProjectFacts, Results, to_json
from benchmarks.runner import run_sequence
from benchmarks.stage import Stage, set_stage
from benchmarks.verify import Verifier
from tests.support.services import MissingPartError, own_engine

__all__ = ["Plan", "Say", "carry_out", "estimate", "order"]

Say = Callable[[str], None]
NEEDED_DISK = 15 << 30
"""Bytes: two Engines or storages with a base and two torches each, and the wheels."""

ROUGHLY = {
    "example": {"rayimage": 10, "docker-uv": 110, "docker-pip": 130, "buildah-uv": 150},
    "torch": {"rayimage": 30, "docker-uv": 250, "docker-pip": 400, "buildah-uv": 400},
    "small": {"rayimage": 15, "docker-uv": 100, "docker-pip": 150, "buildah-uv": 150},
}
"""Seconds of one sequence with all that belongs to it, on two cores; a guess until the first round is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to run."""

    rounds: int
    projects: tuple[str, ...]
    contenders: Mapping[str, Contender]
    cases: tuple[str, ...]


def order(names: tuple[str, ...], number: int) -> tuple[str, ...]:
    """The contenders in the order of round ``number`` (from 1): each round another one begins."""
    first = (number - 1) % len(names)
    return names[first:] + names[:first]


def estimate(plan: Plan, took: Mapping[tuple[str, str], float], done: set[tuple[str, str, int]]) -> float:
    """Seconds that are left: what a sequence took before, else what it takes roughly."""
    return sum(
        took.get((project, name), ROUGHLY[project][name])
        for project in plan.projects
        for name in plan.contenders
        for number in range(1, plan.rounds + 1)
        if (project, name, number) not in done
    )


def carry_out(plan: Plan, results: Results, home: Path, base: str, keep: Path, say: Say) -> Results:
    """Run ``plan`` on top of ``results``, which may have a part of it already; ``keep`` has what is there so far.

    ``home`` holds locks and wheels from run to run. Raises MissingPartError, BuildFailedError, WrongImageError.
    """
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True)))
        if disk_usage(scratch).free < NEEDED_DISK:
            raise MissingPartError(f"room: {scratch.parent} has less than {NEEDED_DISK >> 30} GiB free")
        index = stack.enter_context(running_index())
        stage = set_stage(scratch, base)
        docker = any(isinstance(each, Docker) for each in plan.contenders.values())
        engine = stack.enter_context(own_engine(*ENGINE_OPTIONS)) if docker else None
        world = World(
            scratch=scratch,
            base=stage.base,
            uv_image=stage.uv_image,
            repository=stage.repository,
            index_url=index.url,
            engine=engine,
        )
        run = _Run(plan=plan, stage=stage, world=world, verifier=Verifier(), keep=keep, say=say, results=results)
        for name in plan.projects:
            if project := run.prepare(name, home, index):
                run.project(project)
        return run.results


@dataclass(slots=True, kw_only=True)
class _Run:
    plan: Plan
    stage: Stage
    world: World
    verifier: Verifier
    keep: Path
    say: Say
    results: Results

    took: dict[tuple[str, str], float] = field(init=False, default_factory=dict)
    done: set[tuple[str, str, int]] = field(init=False)

    def __post_init__(self) -> None:
        wanted = set(self.plan.cases)
        found: dict[tuple[str, str, int], set[str]] = {}
        for each in self.results.measurements:
            found.setdefault((each.project, each.contender, each.round), set()).add(each.case)
        self.done = {sequence for sequence, cases in found.items() if cases >= wanted}

    def prepare(self, name: str, home: Path, index: WheelIndex) -> Project | None:
        """The project, None (and why, among the results) if it cannot be had here."""
        try:
            with self.stage.registry():
                project = prepare(name, PROJECTS[name], home, self.stage.base, self.stage.repository, index)
        except MissingPartError as missing:
            self.say(f"skipped: {name}: {missing}")
            self.results = replace(self.results, skipped={**self.results.skipped, name: str(missing).splitlines()[0]})
            return None
        self.results = replace(self.results, projects={**self.results.projects, name: _facts(project)})
        return project

    def project(self, project: Project) -> None:
        """All rounds of a project."""
        left = [key for key in self._sequences(project) if key not in self.done]
        self.say(f"{project.name}: about {estimate(self.plan, self.took, self.done) / 60:.0f} minutes left in all")
        with ExitStack() as stack:
            machines = {}
            for _, name, number in left:
                started = time.monotonic()
                contender = self.plan.contenders[name]
                if name not in machines:
                    with self.stage.registry():  # for the base
                        machines[name] = stack.enter_context(contender.warm(self.world, project))
                    self.say(f"{project.name}, {name}: wheels and base are there ({time.monotonic() - started:.0f} s)")
                    started = time.monotonic()
                sequence = run_sequence(
                    self.stage,
                    self.world,
                    project,
                    name,
                    contender,
                    machines[name],
                    cases=self.plan.cases,
                    number=number,
                    verifier=self.verifier,
                    say=self.say,
                )
                self._keep(list(sequence))
                self.took[project.name, name] = time.monotonic() - started
                self.done.add((project.name, name, number))

    def _sequences(self, project: Project) -> Iterator[tuple[str, str, int]]:
        for number in range(1, self.plan.rounds + 1):
            for name in order(tuple(self.plan.contenders), number):
                yield project.name, name, number

    def _keep(self, measured: list[Measurement]) -> None:
        self.results = self.results.with_measurements(measured)
        self.keep.parent.mkdir(parents=True, exist_ok=True)
        self.keep.write_text(to_json(self.results), encoding="utf-8")


def _facts(project: Project) -> ProjectFacts:
    wheels = project.before.lock.wheels
    return ProjectFacts(
        title=project.recipe.title,
        wheels=len(wheels),
        wheel_bytes=sum(wheel.size or 0 for wheel in wheels),
        bump=f"{project.recipe.bump} {project.old_version} → {project.bumped.version}",
        bumped_wheel_bytes=project.bumped.size or 0,
    )
