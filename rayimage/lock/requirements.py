"""The lock as a hashed requirements file, for people and tools that do not read pylock.toml, and back."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import InvalidVersion, Version

from rayimage.lock.reasons import origin
from rayimage.lock.request import LockRequest
from rayimage.model.lock import RoleLock

__all__ = ["export_requirements", "read_preferences"]


def export_requirements(lock: RoleLock, request: LockRequest | None = None) -> str:
    """The wheels of the lock as ``pip install --no-deps --require-hashes`` takes them, as pip-compile writes them.

    ``# via`` names the packages of the lock that require one and, with the ``request``, the project's files that do.
    Without dates, hosts and paths, so the text changes only with the lock.
    """
    return "\n".join(_lines(lock, _requirers(lock, request))) + "\n"


def _requirers(lock: RoleLock, request: LockRequest | None) -> Mapping[NormalizedName, list[str]]:
    files: dict[NormalizedName, set[str]] = {}
    if request is not None:
        for requirement in request.specs.requirements:
            files.setdefault(canonicalize_name(requirement.name), set()).add(f"-r {origin(request, requirement)}")
    return {
        wheel.name: [
            *sorted(files.get(wheel.name, ())),
            *(other.name for other in lock.wheels if wheel.name in other.dependencies),
        ]
        for wheel in lock.wheels
    }


def _lines(lock: RoleLock, requirers: Mapping[NormalizedName, list[str]]) -> Iterator[str]:
    yield from ("#", "# This file is written by the command:", "#", "#    rayimage lock --export requirements", "#")
    yield f"# It is what role {lock.role} on {lock.platform} adds to Ray {lock.base.ray}, Python {lock.base.python},"
    yield f"# base image {lock.base.digest}; install it there with --no-deps."
    yield "#"
    for wheel in lock.wheels:
        if wheel.directory is not None:
            yield f"# {wheel.name}=={wheel.version} is built from the project's own source: pip has no hash of it"
            continue
        if wheel.source and wheel.source.commit:
            inside = f"#subdirectory={wheel.source.subdirectory}" if wheel.source.subdirectory else ""
            yield f"# {wheel.name}=={wheel.version} is built from a commit, and pip has no hash of that:"
            yield f"# {wheel.name} @ git+{wheel.source.url}@{wheel.source.commit}{inside}"
            continue
        yield f"{wheel.name}=={wheel.version} \\"
        yield f"    --hash={wheel.source.digest if wheel.source else wheel.digest}"
        via = requirers[wheel.name]
        yield from (
            [f"    # via {via[0]}"] if len(via) == 1 else ["    # via", *(f"    #   {by}" for by in via)] if via else []
        )


def read_preferences(text: str) -> Mapping[NormalizedName, Version]:
    """The ``name==version`` pins of a requirements file; hashes, options, markers and all other lines are ignored."""
    preferences: dict[NormalizedName, Version] = {}
    for line in re.sub(r"\\\r?\n", " ", text).splitlines():
        requirement_text = re.split(r"\s+(?:#|--)|^\s*[#-]", line, maxsplit=1)[0]
        try:
            requirement = Requirement(requirement_text)
        except InvalidRequirement:
            continue
        pins = [item.version for item in requirement.specifier if item.operator in ("==", "===")]
        if len(pins) == 1 and not pins[0].endswith(".*"):
            try:
                preferences[canonicalize_name(requirement.name)] = Version(pins[0])
            except InvalidVersion:
                continue
    return preferences
