"""poetry.lock without Poetry: what ``poetry export`` would say, from the file alone.

Poetry 2 (lock-version 2.1) writes for each package its groups and the marker that it has in each, so nothing has to be
resolved again: python-poetry/poetry, src/poetry/packages/locker.py, ``_dump_package``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from rayimage.specs.locked import Lock, Pin
from rayimage.specs.markers import any_of, decide
from rayimage.specs.pyproject import Selection
from rayimage.specs.toml import strings, table
from rayimage.specs.wording import unknown

__all__ = ["read_poetry"]

_MAIN = "main"


def read_poetry(data: Mapping[str, Any], directory: Path, selection: Selection) -> Lock:
    """Read the tables of a poetry.lock; relative paths in it are relative to ``directory``."""
    version = str(table(data, "metadata").get("lock-version", ""))
    packages = [package for package in data.get("package", ()) if isinstance(package, dict)]
    if not version.startswith("2.") or int(version.partition(".")[2].partition(".")[0] or 0) > 1:
        return Lock(problems=[f"is of lock-version {version or '?'}; read by this rayimage: 2.1 (Poetry 2)"])
    if version == "2.0":
        old = "is of lock-version 2.0 (Poetry 1), which does not say what groups its packages are for"
        return Lock(problems=[f"{old}; run `poetry lock` with Poetry 2, or have poetry's export plugin on PATH"])
    groups = {*({_MAIN} if selection.dependencies else ()), *map(canonicalize_name, selection.groups)}
    lock = Lock(python=_python(str(table(data, "metadata").get("python-versions", ""))))
    lock.problems += unknown("extra", selection.extras, table(data, "extras"))
    known = {group for package in packages for group in strings(package.get("groups"))}
    lock.problems += unknown("group", selection.groups, known)
    for package in packages:
        verdict = _verdict(package, groups, selection.extras)
        if verdict is not False:
            lock.pins.append(_pin(package, f" ; {verdict}" if isinstance(verdict, str) else "", directory))
    return lock


def _verdict(package: Mapping[str, Any], groups: set[str], extras: tuple[str, ...]) -> str | bool:
    """Whether, or where, a package is wanted: in one of the groups that it is for, under the marker it has there."""
    markers = package.get("markers")
    verdicts = []
    for group in strings(package.get("groups")):
        if canonicalize_name(group) in groups:
            marker = markers.get(group) if isinstance(markers, dict) else markers
            verdicts.append(decide(marker, extras=extras))
    return any_of(verdicts)


def _pin(package: Mapping[str, Any], marker: str, directory: Path) -> Pin:
    name, source = package["name"], table(package, "source")
    kind, url = source.get("type"), str(source.get("url", ""))
    inside = f"#subdirectory={source['subdirectory']}" if "subdirectory" in source else ""
    path = Path(os.path.abspath(directory / url))  # noqa: PTH100 - resolve() would follow links
    if kind == "directory":
        return Pin(requirement=Requirement(f"{name}{marker}"), directory=path)
    files = [file for file in package.get("files", ()) if isinstance(file, dict)]
    found = (str(file.get("hash", "")) for file in files)
    hashes = frozenset(text.removeprefix("sha256:").lower() for text in found if text.startswith("sha256:"))
    where = {
        "git": f"git+{url}@{source.get('resolved_reference', '')}{inside}",
        "url": f"{url}{inside}",
        "file": path.as_uri(),
    }.get(str(kind))
    if where:
        return Pin(requirement=Requirement(f"{name} @ {where}{marker}"), hashes=hashes)
    return Pin(requirement=Requirement(f"{name}=={package['version']}{marker}"), hashes=hashes, index=url)


def _python(versions: str) -> str:
    """Poetry's ``python-versions`` where it is a specifier; its ``^3.10`` and ``||`` are left to Poetry."""
    return versions if versions and not any(mark in versions for mark in "^|*~") else ""
