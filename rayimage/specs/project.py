"""The project itself as a source: its pyproject.toml, as lines where a resolver could not read it, or its setup.cfg."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from rayimage.specs.findings import Findings, relative_name
from rayimage.specs.indexes import index_entries
from rayimage.specs.local import ARCHIVES, LocalLine, directory_sources, file_path, workspace
from rayimage.specs.pyproject import Pyproject, Selection
from rayimage.specs.requirements import RequirementsReader
from rayimage.specs.setup_cfg import SetupCfg
from rayimage.specs.source import Source
from rayimage.specs.toml import inline, table

__all__ = ["read_project"]


def read_project(root: Path, selection: Selection, found: Findings) -> list[Source]:
    """The sources for ``selection`` of the project in ``root``, which is read into ``found``.

    Raises ConfigError when there is no project or its file cannot be read.
    """
    setup_cfg, pyproject_path = root / "setup.cfg", root / "pyproject.toml"
    pyproject = Pyproject.read(pyproject_path) if pyproject_path.is_file() or not setup_cfg.is_file() else None
    from_setup_cfg = selection.dependencies and setup_cfg.is_file() and not (pyproject and pyproject.has_project)
    sources = []
    if from_setup_cfg:
        requirements = SetupCfg.read(setup_cfg).find(selection.extras, found)
        lines = tuple(map(str, requirements))
        sources.append(Source(kind="lines", path=setup_cfg, extras=selection.extras, dependencies=True, lines=lines))
        selection = Selection(dependencies=False, groups=selection.groups)
    if pyproject and (selection.dependencies or selection.groups):
        sources += _pyproject(pyproject, selection, found)
    elif selection.groups:
        found.problems.append("pyproject.toml: dependency-groups: there is no pyproject.toml to take groups from")
    return sources


def _pyproject(pyproject: Pyproject, selection: Selection, found: Findings) -> list[Source]:
    requirements = pyproject.find(selection, found)
    found.files[pyproject.path.name] = pyproject.digest(selection, requirements)
    computed = pyproject.computed_files(selection.extras) if selection.dependencies else ()
    sources = []
    reader = RequirementsReader(found)
    for path in computed:
        lines = reader.read(path)
        plain = Source(kind="requirements", path=path)
        sources.append(plain if lines is None else Source(kind="lines", path=path, lines=lines))
    directories = directory_sources(pyproject)
    lines = tuple(_line(requirement, directories, pyproject, found) for requirement in requirements)
    is_local = any(canonicalize_name(requirement.name) in found.local for requirement in requirements)
    common: dict[str, Any] = {"path": pyproject.path, "extras": selection.extras, "groups": selection.groups}
    common["dependencies"] = selection.dependencies
    if not (computed or is_local):
        return [Source(kind="pyproject", **common)]
    tables = _tables(pyproject, selection, found.local.keys())
    return [*sources, Source(kind="lines", lines=lines, tables=tables, **common)]


def _line(
    requirement: Requirement, directories: Mapping[NormalizedName, Path], pyproject: Pyproject, found: Findings
) -> str:
    """A requirement as a line; one of a directory by its name, which is then known to be local."""
    name = canonicalize_name(requirement.name)
    local = LocalLine.parse(str(requirement), is_path=False)
    base = pyproject.path.parent
    directory = file_path(local.target, base) if local else directories.get(name)
    if directory is None:
        return str(requirement)
    place = found.origins.get(str(requirement), pyproject.path.name)
    if not directory.is_dir():
        found.problems.append(f"{place}: there is no directory {relative_name(directory, base)} for {requirement.name}")
    found.add_local(name, directory, place)
    return str(local.requirement(requirement.name) if local else requirement)


def _tables(pyproject: Pyproject, selection: Selection, local: Collection[NormalizedName]) -> str:
    """[tool.uv]'s sources and indexes for a project that has only the selected requirements, elsewhere on the disk."""
    own = pyproject.path.parent
    above, _ = workspace(own)
    origins = [Pyproject.read(above / "pyproject.toml")] if above and above != own else []
    sources: dict[str, list[dict[str, Any]]] = {}
    indexes: dict[str, dict[str, Any]] = {}
    for origin in (*origins, pyproject):
        base = origin.path.parent
        for name, entries in table(origin.data, "tool", "uv", "sources").items():
            kept = [
                _moved(e, base) for e in (entries if isinstance(entries, list) else [entries]) if _wanted(e, selection)
            ]
            if canonicalize_name(name) not in local:
                sources[name] = kept
        indexes.update(
            {
                str(entry.get("name", n)): _moved(entry, base)
                for n, entry in enumerate(index_entries(table(origin.data, "tool", "uv")))
            }
        )
    uv = {"sources": {name: kept for name, kept in sources.items() if kept}, "index": list(indexes.values())}
    return f"[tool]\nuv = {inline(uv)}\n" if any(uv.values()) else ""


def _wanted(entry: object, selection: Selection) -> bool:
    """Whether an entry of [tool.uv.sources] counts for the selection: it may be for one extra or group only."""
    if not isinstance(entry, dict):
        return False
    for key, names in (("extra", selection.extras), ("group", selection.groups)):
        if key in entry and canonicalize_name(str(entry[key])) not in map(canonicalize_name, names):
            return False
    return True


def _moved(entry: Mapping[str, Any], base: Path) -> dict[str, Any]:
    """An entry as it reads from elsewhere: paths absolute, extra and group left out, for they are decided."""
    moved = {key: value for key, value in entry.items() if key not in ("extra", "group")}
    for key in ("path", "url"):
        value = str(moved.get(key, ""))
        if value and "://" not in value and (key == "url" or value.endswith(ARCHIVES)):
            moved[key] = os.path.abspath(base / value)  # noqa: PTH100 - resolve() would follow links
    return moved
