"""Requirements as installed metadata states them."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from packaging.requirements import InvalidRequirement, Requirement

__all__ = ["parse_requires"]


def parse_requires(lines: Iterable[str]) -> tuple[Requirement, ...]:
    """``Requires-Dist`` lines as requirements; as in ``pip check``, what does not parse requires nothing."""
    requirements: list[Requirement] = []
    for line in lines:
        with suppress(InvalidRequirement):
            requirements.append(Requirement(line))
    return tuple(requirements)
