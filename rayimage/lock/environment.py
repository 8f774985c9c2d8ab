"""The final environment, checked as ``pip check`` does, and compared with the base's own state.

Bases are not always clean (``rayproject/ray-llm`` is installed with ``--no-deps``), so what was broken before is told
apart from what a lock would break.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.metadata import parse_email
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from rayimage.errors import WheelError
from rayimage.lock._metadata import parse_requires
from rayimage.lock.target import Target
from rayimage.model.inventory import Inventory
from rayimage.model.lock import RoleLock

__all__ = ["EnvironmentReport", "Problem", "check_environment", "wheel_requires"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """An installed package whose requirement is not met; ``found`` is None when the required package is absent."""

    name: NormalizedName
    version: Version
    requirement: str
    found: Version | None

    def __str__(self) -> str:
        found = "it is not installed" if self.found is None else f"{self.found} is installed"
        return f"{self.name} {self.version} requires {self.requirement}, but {found}"


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentReport:
    """Unmet requirements of the final environment.

    ``new`` come with the lock, ``known`` are the base's own; ``trusted`` names the wheels whose own requirements
    were not given and are left to the resolver's word.
    """

    new: tuple[Problem, ...]
    known: tuple[Problem, ...]
    trusted: tuple[NormalizedName, ...] = ()


@dataclass(frozen=True, slots=True)
class _Installed:
    version: Version
    requires: tuple[Requirement, ...]


def check_environment(
    inventory: Inventory, lock: RoleLock, metadata: Mapping[NormalizedName, tuple[str, ...]]
) -> EnvironmentReport:
    """Check base - moved + wheels; ``metadata`` are the ``Requires-Dist`` lines of the lock's wheels by name.

    Wheels without metadata are still checked against (what others require of them), so ``metadata={}`` finds every
    base package that a move would break.
    """
    environment = Target.of(inventory).environment
    base = {dist.name: _Installed(dist.version, parse_requires(dist.requires)) for dist in inventory.distributions}
    wheels = {w.name: _Installed(w.version, parse_requires(metadata.get(w.name, ()))) for w in lock.wheels}
    before = {(problem.name, problem.version, problem.requirement) for problem in _problems(base, environment)}
    after = tuple(_problems(base | wheels, environment))
    return EnvironmentReport(
        new=tuple(p for p in after if (p.name, p.version, p.requirement) not in before),
        known=tuple(p for p in after if (p.name, p.version, p.requirement) in before),
        trusted=tuple(sorted(wheels.keys() - metadata.keys())),
    )


def wheel_requires(wheel: Path) -> tuple[str, ...]:
    """The ``Requires-Dist`` lines of a wheel file; raises WheelError when it is not a wheel."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = [n for n in archive.namelist() if n.count("/") == 1 and n.endswith(".dist-info/METADATA")]
            if len(names) != 1:
                raise WheelError(f"not a wheel: {wheel}", why=f"it has {len(names)} .dist-info/METADATA files, not one")
            raw, _ = parse_email(archive.read(names[0]))
    except (OSError, zipfile.BadZipFile) as error:
        raise WheelError(f"not a wheel: {wheel}", why=str(error)) from error
    return tuple(raw.get("requires_dist", ()))


def _problems(packages: Mapping[NormalizedName, _Installed], environment: Mapping[str, str]) -> Iterator[Problem]:
    wanted = _extras(packages, environment)
    for name, package in sorted(packages.items()):
        for requirement in package.requires:
            if not _applies(requirement, wanted[name], environment):
                continue
            found = packages.get(canonicalize_name(requirement.name))
            if found is None or not _meets(requirement, found.version):
                version = found.version if found else None
                yield Problem(name=name, version=package.version, requirement=str(requirement), found=version)


def _extras(
    packages: Mapping[NormalizedName, _Installed], environment: Mapping[str, str]
) -> dict[NormalizedName, frozenset[str]]:
    """The extras that the packages ask of each other: ``uvicorn[standard]`` counts only where somebody says so."""
    wanted: dict[NormalizedName, frozenset[str]] = dict.fromkeys(packages, frozenset())
    pending = list(packages)
    while pending:
        name = pending.pop()
        for requirement in packages[name].requires:
            other = canonicalize_name(requirement.name)
            if other not in packages or requirement.extras <= wanted[other]:
                continue
            if _applies(requirement, wanted[name], environment):
                wanted[other] |= requirement.extras
                pending.append(other)
    return wanted


def _applies(requirement: Requirement, extras: frozenset[str], environment: Mapping[str, str]) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({**environment, "extra": extra}) for extra in ("", *extras))


def _meets(requirement: Requirement, version: Version) -> bool:
    # A direct reference cannot be compared; pip check accepts whatever version is there.
    return bool(requirement.url) or requirement.specifier.contains(version, prereleases=True)
