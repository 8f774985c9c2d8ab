"""One sequence: a contender takes a project through the cases, in a registry of its own; every image is verified."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from benchmarks.cases import CASES, Case
from benchmarks.contenders import Contender, Machine, World
from benchmarks.formats import amount, duration
from benchmarks.projects import Project
from benchmarks.results import Measurement
from benchmarks.verify import ImageInRegistry, Verifier, node_bytes

__all__ = ["Trial", "run_sequence"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A contender, called ``name``, on a project."""

    world: World
    project: Project
    name: str
    contender: Contender
    verifier: Verifier


def run_sequence(
    trial: Trial, machine: Machine, cases: Sequence[str], number: int, say: Callable[[str], None]
) -> Iterator[Measurement]:
    """Time the cases in round ``number``; raises BuildFailedError or WrongImageError."""
    project, stage = trial.project.name, trial.world.stage
    machine.forget()
    with stage.registry():
        before = base = trial.verifier.image(stage.base)
        edits = 0
        for name in cases:
            case = CASES[name]
            edits += case.edits
            edit = f"round {number}, edit {edits}"
            with _place(trial, machine, case) as place:
                seconds, image = _build(trial, place, case, edit, base)
            pulled = node_bytes(image, before)
            say(f"{project}, round {number}, {trial.name}, {name}: {duration(seconds)}, a node pulls {amount(pulled)}")
            yield Measurement(
                project=project,
                contender=trial.name,
                case=name,
                round=number,
                seconds=round(seconds, 3),
                node_bytes=pulled,
            )
            before = image


def _place(trial: Trial, machine: Machine, case: Case) -> AbstractContextManager[Machine]:
    """Where the case takes place."""
    return trial.contender.fresh(trial.world, trial.project) if case.fresh else nullcontext(machine)


def _build(
    trial: Trial, machine: Machine, case: Case, edit: str, base: ImageInRegistry
) -> tuple[float, ImageInRegistry]:
    """Seconds, and the image."""
    state = trial.project.after if case.bumped else trial.project.before
    site = machine.lay_out(state, edit)
    try:
        os.sync()  # What the one before wrote is not this one's to wait for.
        started = time.perf_counter()
        machine.build(site)
        seconds = time.perf_counter() - started
        code = site.directory / trial.project.recipe.edited
        image = trial.verifier.check(site.reference, base, state.versions, code, trial.project.recipe.edited)
        return seconds, image
    finally:
        shutil.rmtree(site.directory)
