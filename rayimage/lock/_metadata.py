"""Requirements as installed metadata states them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from packaging.requirements import InvalidRequirement, Requirement

__all__ = ["parse_requires"]


def parse_requires(lines: Iterable[str]) -> tuple[Requirement, ...]:
    """``Requires-Dist`` lines as requirements; as in ``pip check``, what does not parse requires nothing."""
    return tuple(filter(None, map(_parse, lines)))


@lru_cache(maxsize=1 << 14)  # A base has about a thousand, and they are needed for every role.
def _parse(line: str) -> Requirement | None:
    try:
        return Requirement(line)
    except InvalidRequirement:
        return None
