"""A lock of another tool as a spec: what that tool locked is what goes in, against the base."""

from __future__ import annotations

from pathlib import Path

from rayimage.errors import ConfigError
from rayimage.specs.exporters import export_pdm, export_poetry, export_uv
from rayimage.specs.findings import Findings, digest_of, relative_name
from rayimage.specs.indexes import index_names
from rayimage.specs.locked import Lock, index_tables, require_pins
from rayimage.specs.pdm import read_pdm
from rayimage.specs.poetry import read_poetry
from rayimage.specs.pylock import read_pylock
from rayimage.specs.pyproject import Pyproject, Selection
from rayimage.specs.requirements import RequirementsReader, logical_lines
from rayimage.specs.toml import parse_toml, table
from rayimage.specs.wording import unknown

__all__ = ["read_lock_file"]

_UV_VERSION = 1
_EXPORTERS = {"poetry.lock": export_poetry, "pdm.lock": export_pdm}
_READERS = {"poetry.lock": read_poetry, "pdm.lock": read_pdm}


def read_lock_file(
    path: Path, selection: Selection, found: Findings, cache_dir: Path | None
) -> tuple[tuple[str, ...], str]:
    """Read the lock at the absolute ``path`` into ``found``; answers the lines to resolve, and uv's tables with them.

    The tool's own exporter has the word where there is one: uv's always, Poetry's and PDM's where they are installed.
    """
    name = relative_name(path, found.root)
    try:
        data = path.read_bytes()
        tables = parse_toml(data, Path(name))
    except OSError as error:
        found.problems.append(f"cannot read {name}: {error.strerror or error}")
        return (), ""
    except ConfigError as error:
        found.problems.append(str(error))
        return (), ""
    found.files[name] = digest_of(data)
    if path.name in _EXPORTERS and (text := _EXPORTERS[path.name](path, selection, cache_dir)) is not None:
        return _exported(text, name, path, found), ""
    try:
        lock = _uv(path, tables, selection, found) if path.name == "uv.lock" else _read(path, tables, selection)
    except (KeyError, TypeError, ValueError, AttributeError) as error:  # The file is another program's.
        why = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
        lock = Lock(problems=[f"is damaged: {why}"])
    found.problems += [f"{name} {problem}" for problem in lock.problems]
    if lock.problems:
        return (), ""
    if lock.python:
        found.python[name] = lock.python
    pyproject = path.parent / "pyproject.toml"
    names = index_names(Pyproject.read(pyproject).data) if pyproject.is_file() else {}
    return require_pins(lock.pins, name, found), index_tables(lock.pins, names)


def _read(path: Path, tables: dict[str, object], selection: Selection) -> Lock:
    reader = _READERS.get(path.name, read_pylock)
    return reader(tables, path.parent, selection)


def _uv(path: Path, tables: dict[str, object], selection: Selection, found: Findings) -> Lock:
    version = tables.get("version")
    if not isinstance(version, int) or version > _UV_VERSION:
        return Lock(problems=[f"is of version {version}; read by this rayimage: {_UV_VERSION}"])
    # A role may be of a project inside the workspace that the lock is for.
    project = found.root if (found.root / "pyproject.toml").is_file() else path.parent
    pyproject = Pyproject.read(project / "pyproject.toml")
    legacy = ("dev",) if "dev-dependencies" in table(pyproject.data, "tool", "uv") else ()
    problems = unknown("extra", selection.extras, pyproject.extras)
    problems += unknown("group", selection.groups, (*pyproject.groups, *legacy))
    if problems:
        return Lock(problems=problems)
    text = export_uv(project, selection)
    lock = read_pylock(parse_toml(text.encode(), Path("uv's export")), project, selection)
    # What was selected was selected by uv: its export has neither extras nor groups.
    lock.problems = [problem for problem in lock.problems if not problem.startswith("has no ")]
    return lock


def _exported(text: str, name: str, path: Path, found: Findings) -> tuple[str, ...]:
    """The exporter's requirements. They come from the lock, so that is their place, not a line of theirs."""
    inner = Findings(root=found.root)
    lines = RequirementsReader(inner).lines(logical_lines(text), name, path)
    found.problems += inner.problems
    found.others += inner.others
    found.indexes += inner.indexes
    found.accounts += inner.accounts
    for local, directory in inner.local.items():
        found.add_local(local, directory, name)
    for requirement in inner.requirements:
        found.require(requirement, name)
    for package, hashes in inner.hashes.items():
        found.hashes.setdefault(package, set()).update(hashes)
    return lines
