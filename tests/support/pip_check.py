"""What ``pip check`` prints, for problems that rayimage found."""

from __future__ import annotations

from collections.abc import Iterable

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from rayimage.lock import Problem

__all__ = ["ALL_IS_WELL", "pip_lines"]

ALL_IS_WELL = "No broken requirements found."


def pip_lines(problems: Iterable[Problem]) -> set[str]:
    """The lines about ``problems``, as pip words them; it takes no notice of what only an extra requires."""
    return {_line(problem) for problem in problems if not _of_an_extra(Requirement(problem.requirement))}


def _line(problem: Problem) -> str:
    name = canonicalize_name(Requirement(problem.requirement).name)
    if problem.found is None:
        return f"{problem.name} {problem.version} requires {name}, which is not installed."
    return (
        f"{problem.name} {problem.version} has requirement {problem.requirement}, but you have {name} {problem.found}."
    )


def _of_an_extra(requirement: Requirement) -> bool:
    return requirement.marker is not None and not requirement.marker.evaluate({"extra": ""})
