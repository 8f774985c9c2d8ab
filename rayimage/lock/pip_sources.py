"""A question's sources as pip-compile can read them: requirements files as they are, all else spelled out as lines.

pip-compile would build a project to learn its dependencies, and knows neither dependency groups nor [tool.uv].
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from rayimage.errors import LockError
from rayimage.lock.engine import Question
from rayimage.lock.explain import redact
from rayimage.specs import Source
from rayimage.specs.findings import Findings
from rayimage.specs.pyproject import Pyproject, Selection
from rayimage.specs.requirements import RequirementsReader
from rayimage.specs.toml import parse_toml, table

__all__ = ["Asked", "read_sources"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """``files`` for pip-compile's command line, what is in them, and the directories that it has to see.

    ``wheels`` are constraints: where one of these local packages is required, it is this file.
    """

    files: tuple[Path, ...]
    requirements: tuple[Requirement, ...]
    wheels: tuple[str, ...]
    directories: tuple[Path, ...]


def read_sources(question: Question, root: Path, work: Path) -> Asked:
    """Read the sources of a question, for messages relative to ``root``; files that are made for it go into ``work``.

    Raises LockError for what pip-compile would have to build, and for what only uv can do.
    """
    found = Findings(root=root)
    files: dict[Path, None] = {}
    directories = {root}
    for number, source in enumerate(question.sources):
        directories.add(source.path.parent)
        if only_uv := _only_uv(source, found):
            raise LockError(
                f"pip-tools cannot lock {question.subject}",
                why=f"{source.path.name} says in [tool.uv.sources] where {', '.join(only_uv)} comes from: only uv "
                "can do that",
                fix="lock with --engine uv",
            )
        files[_as_file(source, work / f"source-{number}.in", found)] = None
    if found.problems:
        raise LockError("the dependency specs cannot be used", why="; ".join(found.problems), fix="correct the lines")
    wheels = {name: wheel for source in question.sources for name, wheel in source.wheels}
    directories.update(Path(os.path.normpath(root / name)).parent for name in found.files)
    directories.update(wheel.parent for wheel in wheels.values())
    _check_built(found)
    return Asked(
        files=tuple(files),
        requirements=tuple(found.requirements),
        wheels=tuple(f"{name} @ {wheel.as_uri()}" for name, wheel in sorted(wheels.items())),
        directories=tuple(sorted(directories)),
    )


def _as_file(source: Source, file: Path, found: Findings) -> Path:
    """The source itself, or ``file`` with what it amounts to; what is in it goes into ``found``."""
    reader = RequirementsReader(found)
    if source.kind == "requirements":
        reader.read(source.path)
        return source.path
    if source.kind == "pyproject":
        lines: Iterable[str] = map(str, Pyproject.read(source.path).find(_selection(source), found))
    else:
        lines = source.lines
        reader.lines(enumerate(lines, start=1), source.path.name, source.path)
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return file


def _selection(source: Source) -> Selection:
    return Selection(dependencies=source.dependencies, extras=source.extras, groups=source.groups)


def _only_uv(source: Source, found: Findings) -> list[NormalizedName]:
    """The packages of the source that [tool.uv.sources] takes from somewhere of their own."""
    if source.kind == "pyproject":
        pyproject = Pyproject.read(source.path)
        named = {canonicalize_name(requirement.name) for requirement in pyproject.requirements(_selection(source))[0]}
        bent = set(map(canonicalize_name, table(pyproject.data, "tool", "uv", "sources"))) & named
    else:
        data = parse_toml(source.tables.encode(), found.root / "pyproject.toml")
        bent = set(map(canonicalize_name, table(data, "tool", "uv", "sources")))
    return sorted(bent - {name for name, _ in source.wheels})


def _check_built(found: Findings) -> None:
    """pip-compile runs the build of whatever is not a wheel, only to learn what it requires."""
    for location in _locations(found):
        path = urlsplit(location.rpartition(" @ ")[2].partition(" ;")[0]).path
        if location.startswith("-e ") or not path.partition("[")[0].strip().endswith(".whl"):
            raise LockError(
                f"{redact(location)} would have to be built",
                why="it is a directory, a repository or a source archive, and only wheels are installed",
                fix="build a wheel of it and require that file, or give its directory with --find-links",
            )


def _locations(found: Findings) -> Iterator[str]:
    yield from (f"{each.name} @ {each.url}" for each in found.requirements if each.url)
    yield from (other for other in found.others if not other.startswith("-r "))
