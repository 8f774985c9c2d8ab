"""Measurements as values, medians, ratios and targets of them, and their JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import median
from typing import Any

__all__ = [
    "REFERENCE",
    "SUBJECT",
    "Measurement",
    "ProjectFacts",
    "Results",
    "Target",
    "Verdict",
    "from_json",
    "to_json",
    "verdicts",
]

FORMAT = 1
SUBJECT, REFERENCE = "rayimage", "docker-uv"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One build that was timed and verified; ``node_bytes`` is what a node with the image before it pulls."""

    project: str
    contender: str
    case: str
    round: int
    seconds: float
    node_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectFacts:
    """What a reader must know of a project: wheels above the base, their bytes, what is bumped."""

    title: str
    wheels: int
    wheel_bytes: int
    bump: str
    bumped_wheel_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """Everything of a run; ``machine`` and ``contenders`` say what it ran on and with, ``skipped`` what did not run."""

    date: str
    machine: Mapping[str, str | int]
    contenders: Mapping[str, str]
    projects: Mapping[str, ProjectFacts] = field(default_factory=dict)
    measurements: tuple[Measurement, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)

    def with_measurements(self, more: Iterable[Measurement]) -> Results:
        """These results and ``more``."""
        return replace(self, measurements=(*self.measurements, *more))

    def resumed(self, earlier: Results) -> Results:
        """These, with the measurements of an ``earlier`` part of the run; raises ValueError if that was another run."""
        if (earlier.machine, earlier.contenders) != (self.machine, self.contenders):
            raise ValueError("the run to resume had another machine, or other contenders or versions of them")
        return replace(self, measurements=earlier.measurements)

    def _of(self, project: str, case: str, contender: str) -> list[Measurement]:
        key = (project, case, contender)
        return [each for each in self.measurements if (each.project, each.case, each.contender) == key]

    def seconds(self, project: str, case: str, contender: str) -> float | None:
        """The median time; None if that was not measured."""
        return median(found) if (found := [each.seconds for each in self._of(project, case, contender)]) else None

    def node_bytes(self, project: str, case: str, contender: str) -> int | None:
        """The median number of bytes that a node pulls."""
        found = [each.node_bytes for each in self._of(project, case, contender)]
        return round(median(found)) if found else None

    def ratio(self, project: str, case: str, contender: str) -> float | None:
        """How many times as long the contender takes as the subject: over 1, the subject is faster."""
        mine, theirs = self.seconds(project, case, SUBJECT), self.seconds(project, case, contender)
        return theirs / mine if mine and theirs else None

    def runs(self, contender: str) -> int:
        """How often the contender ran."""
        return max((each.round for each in self.measurements if each.contender == contender), default=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A promise on a case: at least ``at_least`` times as fast as the reference."""

    case: str
    at_least: float


SPEED = (
    Target(case="fresh-code", at_least=100),
    Target(case="bump", at_least=30),
    Target(case="first", at_least=5),
    Target(case="code", at_least=1),
)
NODE_BYTES = 1.1
"""After a bump, a node pulls at most this many times the bumped wheel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A target, and what was measured."""

    project: str
    promise: str
    measured: float
    met: bool


def verdicts(results: Results) -> tuple[Verdict, ...]:
    """Of every target that was measured."""
    found = []
    for project, facts in results.projects.items():
        for target in SPEED:
            ratio = results.ratio(project, target.case, REFERENCE)
            if ratio is not None:
                promise = f"{target.case}: ≥ {target.at_least:g} × as fast as {REFERENCE}"
                met = ratio >= target.at_least
                found.append(Verdict(project=project, promise=promise, measured=ratio, met=met))
        pulled = results.node_bytes(project, "bump", SUBJECT)
        if pulled is not None:
            share = pulled / facts.bumped_wheel_bytes
            promise = f"bump: a node pulls ≤ {NODE_BYTES:g} × the wheel"
            found.append(Verdict(project=project, promise=promise, measured=share, met=share <= NODE_BYTES))
    return tuple(found)


def to_json(results: Results) -> str:
    """For people, too: with medians and ratios, which ``from_json`` works out again."""
    data = {"format": FORMAT, **asdict(results), "medians": _medians(results)}
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


def from_json(text: str) -> Results:
    """Results written by ``to_json``; raises ValueError, KeyError or TypeError for other text."""
    data: dict[str, Any] = json.loads(text)
    if data.pop("format") != FORMAT:
        raise ValueError("results of another format")
    data.pop("medians")
    projects = {name: ProjectFacts(**facts) for name, facts in data.pop("projects").items()}
    measurements = tuple(Measurement(**each) for each in data.pop("measurements"))
    return Results(**data, projects=projects, measurements=measurements)


def _medians(results: Results) -> list[dict[str, Any]]:
    keys: Sequence[tuple[str, str, str]] = list(
        dict.fromkeys((each.project, each.case, each.contender) for each in results.measurements)
    )
    found = []
    for key in keys:
        project, case, contender = key
        seconds, ratio = results.seconds(*key), results.ratio(*key)
        found.append(
            {
                "project": project,
                "case": case,
                "contender": contender,
                "seconds": round(seconds or 0, 3),
                "times_rayimage": None if ratio is None else round(ratio, 2),
                "node_bytes": results.node_bytes(*key),
            }
        )
    return found
