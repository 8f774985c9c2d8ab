"""pdm.lock without PDM: what ``pdm export`` would say, from the file alone.

Lock format 4 with the strategy ``inherit_metadata`` (PDM's default since 2.11) has groups and markers for each
package: https://pdm-project.org/latest/usage/lock-targets/ and pdm-project/pdm, src/pdm/formats/.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from rayimage.specs.locked import Lock, Pin
from rayimage.specs.pyproject import Selection
from rayimage.specs.toml import strings, table
from rayimage.specs.wording import unknown

__all__ = ["read_pdm"]

_DEFAULT = "default"


def read_pdm(data: Mapping[str, Any], directory: Path, selection: Selection) -> Lock:
    """Read the tables of a pdm.lock; relative paths in it are relative to ``directory``."""
    metadata = table(data, "metadata")
    version = str(metadata.get("lock_version", ""))
    if version.partition(".")[0] != "4":
        return Lock(problems=[f"is of lock_version {version or '?'}; read by this rayimage: 4.x (PDM 2)"])
    locked = strings(metadata.get("groups"))
    lock = Lock()
    # Extras and groups share one list of names there.
    others = [name for name in locked if name != _DEFAULT]
    lock.problems += unknown("extra", selection.extras, others)
    lock.problems += unknown("group", selection.groups, others)
    wanted = {canonicalize_name(name) for name in (*selection.extras, *selection.groups)}
    wanted |= {canonicalize_name(_DEFAULT)} if selection.dependencies else set()
    for package in data.get("package", ()):
        # ``requests[socks]`` has an entry of its own beside the one of ``requests``.
        if not isinstance(package, dict) or "extras" in package:
            continue
        groups = strings(package.get("groups"))
        if not groups and {canonicalize_name(name) for name in locked} - wanted:
            lock.problems.append("does not say which groups its packages are for; run `pdm lock -S inherit_metadata`")
            break
        if not groups or wanted & set(map(canonicalize_name, groups)):
            lock.pins.append(_pin(package, directory))
    return lock


def _pin(package: Mapping[str, Any], directory: Path) -> Pin:
    name = package["name"]
    marker = f" ; {package['marker']}" if package.get("marker") else ""
    files = [file for file in package.get("files", ()) if isinstance(file, dict)]
    found = (str(file.get("hash", "")) for file in files)
    hashes = frozenset(text.removeprefix("sha256:").lower() for text in found if text.startswith("sha256:"))
    inside = f"#subdirectory={package['subdirectory']}" if "subdirectory" in package else ""
    path = Path(os.path.abspath(directory / str(package.get("path", ""))))  # noqa: PTH100 - links stay
    if "path" in package and not path.is_file():
        return Pin(requirement=Requirement(f"{name}{marker}"), directory=path)
    if "git" in package:
        where = f"git+{package['git']}@{package.get('revision', '')}{inside}"
    else:
        where = path.as_uri() if "path" in package else f"{package['url']}{inside}" if "url" in package else ""
    text = f"{name} @ {where}" if where else f"{name}=={package['version']}"
    return Pin(requirement=Requirement(f"{text}{marker}"), hashes=hashes)
