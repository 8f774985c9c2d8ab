"""One sequence: a contender takes a project through the cases, in a registry of its own; every image is verified."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence

from benchmarks.cases import CASES, Case
from benchmarks.contenders import Contender, Machine, World
from benchmarks.projects import Project
from benchmarks.results import Measurement
from benchmarks.stage import Stage
from benchmarks.verify import ImageInRegistry, Verifier, node_bytes

__all__ = ["run_sequence"]

Say = Callable[[str], None]


def run_sequence(
    stage: Stage,
    world: World,
    project: Project,
    name: str,
    contender: Contender,
    machine: Machine,
    *,
    cases: Sequence[str],
    number: int,
    verifier: Verifier,
    say: Say,
) -> Iterator[Measurement]:
    """Time the cases in round ``number``; raises BuildFailedError or WrongImageError."""
    machine.forget()
    with stage.registry():
        before = base = verifier.image(stage.base)
        edits = 0
        for case_name in cases:
            case = CASES[case_name]
            edits += case.edits
            edit = f"round {number}, edit {edits}"
            if case.fresh:
                with contender.fresh(world, project) as newcomer:
                    seconds, image = _build(newcomer, project, case, edit, base, verifier)
            else:
                seconds, image = _build(machine, project, case, edit, base, verifier)
            pulled = node_bytes(image, before)
            say(f"{project.name}, round {number}, {name}, {case_name}: {seconds:.2f} s, a node pulls {pulled:,} bytes")
            yield Measurement(
                project=project.name,
                contender=name,
                case=case_name,
                round=number,
                seconds=round(seconds, 3),
                node_bytes=pulled,
            )
            before = image


def _build(
    machine: Machine, project: Project, case: Case, edit: str, base: ImageInRegistry, verifier: Verifier
) -> tuple[float, ImageInRegistry]:
    """Seconds, and the image."""
    state = project.after if case.bumped else project.before
    site = machine.lay_out(state, edit)
    try:
        started = time.perf_counter()
        machine.build(site)
        seconds = time.perf_counter() - started
        edited = project.recipe.edited
        return seconds, verifier.check(site.reference, base, state.versions, site.directory / edited, edited)
    finally:
        shutil.rmtree(site.directory)
