"""Packages whose source lies beside the project: a monorepo's libraries, workspace members, ``-e ../libs/common``.

They are built, not downloaded. This module says which directories they are and what they are called there; building
them is the builders' business.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import NormalizedName, canonicalize_name

from rayimage.errors import ConfigError
from rayimage.model.digest import Digest
from rayimage.specs.findings import Findings, relative_name
from rayimage.specs.pyproject import Pyproject
from rayimage.specs.setup_cfg import SetupCfg
from rayimage.specs.toml import strings, table

__all__ = [
    "ARCHIVES",
    "LocalLine",
    "LocalPackage",
    "add_nested",
    "directory_sources",
    "file_path",
    "project_name",
    "workspace",
]


ARCHIVES = (".whl", ".zip", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar")


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalPackage:
    """A package and the absolute directory that it is built from.

    ``digest`` is that of the files that count there, ``wheel`` what they were built into; None until then.
    """

    name: NormalizedName
    directory: Path
    digest: Digest | None = None
    wheel: Path | None = None


_LOCAL_LINE = re.compile(
    r"""
    (?: (?P<name>[A-Za-z0-9][\w.-]*) \s* (?P<named_extras>\[[^\]]*\])? \s* @ \s* (?=file:) )?
    (?P<target> [^\[;\#]+? )
    (?: \#[^\s;\[]* )?
    (?P<extras> \[[^\]]*\] )?
    \s* (?: ; (?P<marker>.*) )?
    """,
    re.VERBOSE,
)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalLine:
    """A requirement of a directory: ``../libs/common[gpu] ; marker``, ``common[gpu] @ file:../libs/common``."""

    target: str
    name: str = ""
    extras: str = ""
    marker: str = ""

    @classmethod
    def parse(cls, text: str, *, is_path: bool) -> LocalLine | None:
        """Read ``text``; None when it names no directory. ``is_path``: without a scheme, it is a path."""
        parts = _LOCAL_LINE.fullmatch(text)
        if parts is None or not (is_path or parts["name"]):
            return None
        target = parts["target"].strip()
        if target.lower().endswith(ARCHIVES) or (_SCHEME.match(target) and not target.startswith("file:")):
            return None
        extras = parts["named_extras"] or parts["extras"] or ""
        return cls(target=target, name=parts["name"] or "", extras=extras, marker=(parts["marker"] or "").strip())

    def requirement(self, name: str) -> Requirement:
        """The same by name, wherever it comes from; raises InvalidRequirement."""
        return Requirement(f"{name}{self.extras}" + (f" ; {self.marker}" if self.marker else ""))


def file_path(text: str, *bases: Path) -> Path:
    """The path that a path or a ``file:`` URL names, absolute; relative ones from the first base that has it."""
    parts = urlsplit(text)
    path = unquote(parts.path) if parts.scheme == "file" else text
    candidates = [Path(os.path.abspath(base / Path(path).expanduser())) for base in bases]  # noqa: PTH100 - links stay
    return next((candidate for candidate in candidates if candidate.exists()), candidates[0])


def project_name(directory: Path) -> str | None:
    """The name of the project in ``directory``, as far as it is written down; None where it is computed."""
    with suppress(ConfigError):
        data = Pyproject.read(directory / "pyproject.toml").data
        for name in (table(data, "project").get("name"), table(data, "tool", "poetry").get("name")):
            if isinstance(name, str):
                return name
    with suppress(ConfigError):
        if name := SetupCfg.read(directory / "setup.cfg").data.get("metadata", "name", fallback=""):
            return name
    with suppress(OSError, SyntaxError, ValueError):
        for node in ast.walk(ast.parse((directory / "setup.py").read_bytes())):
            if isinstance(node, ast.keyword) and node.arg == "name" and isinstance(node.value, ast.Constant):
                return str(node.value.value)
    return None


def add_nested(found: Findings) -> None:
    """Add the local packages that the local packages require themselves, and theirs."""
    pending = list(found.local.values())
    seen: set[Path] = set()
    while pending:
        directory = pending.pop()
        if directory in seen or not (directory / "pyproject.toml").is_file():
            continue
        seen.add(directory)
        place = f"{relative_name(directory, found.root)}/pyproject.toml"
        try:
            pyproject = Pyproject.read(directory / "pyproject.toml")
        except ConfigError as error:
            found.problems.append(str(error))
            continue
        sources = directory_sources(pyproject)
        for name in sorted(_required(pyproject) & sources.keys()):
            found.add_local(name, sources[name], place)
            pending.append(sources[name])


def directory_sources(pyproject: Pyproject) -> Mapping[NormalizedName, Path]:
    """The packages that a pyproject.toml takes from directories: uv's sources (its workspace's, too) and Poetry's."""
    own = pyproject.path.parent
    root, members = workspace(own)
    above = [(Pyproject.read(root / "pyproject.toml"), root)] if root and root != own else []
    sources: dict[NormalizedName, Path] = {}
    for origin, base in [*above, (pyproject, own)]:
        for name, entry in _uv_entries(origin):
            if entry.get("workspace") is True and name in members:
                sources[name] = members[name]
            elif (path := entry.get("path")) and not str(path).endswith(ARCHIVES):
                sources[name] = file_path(str(path), base)
    for name, entry in _poetry_entries(pyproject):
        if (path := entry.get("path")) and not str(path).endswith(ARCHIVES):
            sources[name] = file_path(str(path), own)
    return sources


def workspace(directory: Path) -> tuple[Path | None, Mapping[NormalizedName, Path]]:
    """The root of the uv workspace that ``directory`` belongs to, and the members' directories by name."""
    for root in (directory, *directory.parents):
        found: Mapping[str, Any] = {}
        with suppress(ConfigError):  # A directory above may hold anything.
            found = table(Pyproject.read(root / "pyproject.toml").data, "tool", "uv", "workspace")
        if not found:
            continue
        members = [path for pattern in strings(found.get("members")) for path in root.glob(pattern.rstrip("/"))]
        excluded = {path for pattern in strings(found.get("exclude")) for path in root.glob(pattern.rstrip("/"))}
        inside = [path for path in members if path not in excluded and (path / "pyproject.toml").is_file()]
        if directory in (root, *inside):
            names = {path: project_name(path) for path in (root, *sorted(inside))}
            return root, {canonicalize_name(name): path for path, name in names.items() if name}
    return None, {}


def _uv_entries(pyproject: Pyproject) -> Iterator[tuple[NormalizedName, Mapping[str, Any]]]:
    for name, entries in table(pyproject.data, "tool", "uv", "sources").items():
        for entry in entries if isinstance(entries, list) else [entries]:
            if isinstance(entry, dict):
                yield canonicalize_name(name), entry


def _poetry_entries(pyproject: Pyproject) -> Iterator[tuple[NormalizedName, Mapping[str, Any]]]:
    poetry = table(pyproject.data, "tool", "poetry")
    groups = [table(group, "dependencies") for group in table(poetry, "group").values() if isinstance(group, dict)]
    for dependencies in (table(poetry, "dependencies"), *groups):
        for name, entries in dependencies.items():
            for entry in entries if isinstance(entries, list) else [entries]:
                if isinstance(entry, dict):
                    yield canonicalize_name(name), entry


def _required(pyproject: Pyproject) -> set[NormalizedName]:
    """The names of all requirements and all extras' requirements, as far as they parse."""
    project = table(pyproject.data, "project")
    texts = [*strings(project.get("dependencies"))]
    texts += [text for extra in table(project, "optional-dependencies").values() for text in strings(extra)]
    names = {canonicalize_name(name) for name in table(pyproject.data, "tool", "poetry", "dependencies")}
    for text in texts:
        with suppress(InvalidRequirement):
            names.add(canonicalize_name(Requirement(text).name))
    return names
