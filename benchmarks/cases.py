"""What is timed, in the order in which one checkout of one project lives through it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["CASES", "Case", "needed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """``bumped``: the package has moved; ``edits``: the code is edited; ``fresh``: on a machine that has nothing."""

    title: str
    bumped: bool = False
    edits: bool = False
    fresh: bool = False


CASES: Mapping[str, Case] = {
    "first": Case(title="first build, wheels and base at hand"),
    "unchanged": Case(title="nothing changed"),
    "code": Case(title="code edit, warm machine", edits=True),
    "bump": Case(title="one package bumped", bumped=True),
    "fresh-code": Case(title="code edit, fresh runner", bumped=True, edits=True, fresh=True),
}
"""By name. Each builds on the image that the one before it pushed; ``bumped`` stays true once it is."""


def needed(wanted: set[str]) -> list[str]:
    """The cases to go through for ``wanted``, in order: the others only as far as they lead there."""
    names = list(CASES)
    last = max(names.index(name) for name in wanted)
    leading = {"first", *(("bump",) if last > names.index("bump") else ())}
    return [name for name in names[: last + 1] if name in wanted | leading]
