"""What is handed to a resolver."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from packaging.utils import NormalizedName

__all__ = ["Source"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file to hand to a resolver, and which part of it is wanted; ``path`` is absolute.

    ``extras``, ``groups`` and ``dependencies`` (whether [project.dependencies] count) say which part of a project is
    meant. A source of the kind ``lines`` is not handed over as it is: ``lines`` are the requirements that it amounts
    to, in the notation of requirements files, to be resolved in the project's root; ``path`` is where they are from.
    """

    kind: Literal["requirements", "pyproject", "lines"]
    path: Path
    extras: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    dependencies: bool = False
    lines: tuple[str, ...] = field(default=(), repr=False)
    tables: str = field(default="", repr=False)
    """[tool.uv] as TOML, where ``lines`` (then without options) need it: which package is from which index."""
    wheels: tuple[tuple[NormalizedName, Path], ...] = ()
    """Local packages by name: wherever one of these is required, it is this wheel."""
