"""pylock.toml (PEP 751) as a spec: its exact versions, for the extras and groups that a role wants."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from packaging.pylock import Package, Pylock, PylockUnsupportedVersionError, PylockValidationError
from packaging.requirements import Requirement

from rayimage.specs.locked import Lock, Pin
from rayimage.specs.markers import decide
from rayimage.specs.pyproject import Selection
from rayimage.specs.wording import unknown

__all__ = ["read_pylock"]


def read_pylock(data: Mapping[str, Any], directory: Path, selection: Selection) -> Lock:
    """Read the tables of a pylock.toml; relative paths in it are relative to ``directory``.

    A selection without groups of its own has the file's default groups, as for an installer.
    """
    try:
        pylock = Pylock.from_dict(data)
    except PylockUnsupportedVersionError as error:
        return Lock(problems=[f"is of a newer format: {error}; read by this rayimage: 1.x"])
    except (PylockValidationError, ValueError, TypeError) as error:
        return Lock(problems=[f"is not a valid lock: {error}"])
    lock = Lock(python=str(pylock.requires_python or ""))
    lock.problems += unknown("extra", selection.extras, pylock.extras or ())
    lock.problems += unknown("group", selection.groups, pylock.dependency_groups or ())
    groups = {*selection.groups, *(pylock.default_groups or () if selection.dependencies else ())}
    for package in pylock.packages:
        verdict = decide(package.marker, extras=selection.extras, groups=groups)
        if verdict is not False:
            lock.pins.append(_pin(package, f" ; {verdict}" if isinstance(verdict, str) else "", directory))
    return lock


def _pin(package: Package, marker: str, directory: Path) -> Pin:
    name = package.name
    if package.directory is not None:
        path = directory / package.directory.path / (package.directory.subdirectory or "")
        own = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links
        return Pin(requirement=Requirement(f"{name}{marker}"), directory=own)
    others = [file.hashes for file in (package.sdist, package.archive) if file is not None]
    found = [*(wheel.hashes for wheel in package.wheels or ()), *others]
    hashes = frozenset(each["sha256"].lower() for each in found if "sha256" in each)
    if url := _url(package, directory):
        return Pin(requirement=Requirement(f"{name} @ {url}{marker}"), hashes=hashes)
    return Pin(requirement=Requirement(f"{name}=={package.version}{marker}"), hashes=hashes, index=package.index or "")


def _url(package: Package, directory: Path) -> str:
    """The URL of a package that is not looked up in an index; empty for one that is."""
    source = package.vcs or package.archive
    if source is None:
        return ""
    path = Path(os.path.abspath(directory / (source.path or "")))  # noqa: PTH100
    url = source.url or path.as_uri()
    inside = f"#subdirectory={source.subdirectory}" if source.subdirectory else ""
    return f"{package.vcs.type}+{url}@{package.vcs.commit_id}{inside}" if package.vcs else f"{url}{inside}"
