"""The final environment, checked as ``pip check`` does, and compared with the base's own state.

Bases are not always clean (``rayproject/ray-llm`` is installed with ``--no-deps``), so what was broken before is told
apart from what a lock would break.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.metadata import parse_email
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from rayimage.errors import WheelError
from rayimage.lock._metadata import parse_requires
from rayimage.lock.target import Target, applies
from rayimage.model.inventory import Inventory
from rayimage.model.lock import RoleLock

__all__ = ["EnvironmentReport", "Problem", "check_environment", "wheel_requires"]

_WITH_EXTRAS = re.compile(r"\s*([A-Za-z0-9._-]+)\s*\[")
_EXTRA = re.compile(r"\bextra\s*==")
_OR = re.compile(r"\bor\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """An installed package whose requirement is not met; ``found`` is None when the required package is absent."""

    name: NormalizedName
    version: Version
    requirement: str
    found: Version | None

    @property
    def required(self) -> NormalizedName:
        """The package that is required."""
        return canonicalize_name(Requirement(self.requirement).name)

    @property
    def complaint(self) -> tuple[str, ...]:
        """What it is about: two problems with equal ones are the same, whichever wrong version is there."""
        wants = (self.required,) if self.found is None else (self.requirement, "another version")
        return (self.name, str(self.version), *wants)

    def __str__(self) -> str:
        return f"{self.name} {self.version} requires {self.requirement}, but {_found(self.found)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentReport:
    """Unmet requirements of the final environment.

    ``new`` come with the lock, ``known`` are the base's own; ``asked`` are those of the project's own requirements that
    are not met. ``trusted`` names the wheels whose own requirements were not given and are left to the resolver's word.
    """

    new: tuple[Problem, ...]
    known: tuple[Problem, ...]
    asked: tuple[tuple[Requirement, Version | None], ...] = ()
    trusted: tuple[NormalizedName, ...] = ()


@dataclass(frozen=True, slots=True)
class _Installed:
    version: Version
    requires: tuple[Requirement, ...]


def check_environment(
    inventory: Inventory,
    lock: RoleLock,
    metadata: Mapping[NormalizedName, tuple[str, ...]],
    asked: Sequence[Requirement] = (),
) -> EnvironmentReport:
    """Check base - moved + wheels; ``metadata`` are the ``Requires-Dist`` lines of the lock's wheels by name.

    Wheels without metadata are still checked against (what others require of them), so ``metadata={}`` finds every
    base package that a move would break. ``asked`` are the project's requirements: they are to be met as well, and
    the extras that they name count.
    """
    environment = Target.of(inventory).environment
    stated = [(dist.name, dist.requires) for dist in inventory.distributions]
    counting = _counting([*stated, *metadata.items()], asked)
    base = {d.name: _Installed(d.version, counting(d.name, d.requires)) for d in inventory.distributions}
    wheels = {w.name: _Installed(w.version, counting(w.name, metadata.get(w.name, ()))) for w in lock.wheels}
    gone = {move.name for move in lock.moves}
    final = {name: package for name, package in base.items() if name not in gone} | wheels
    applying = [requirement for requirement in asked if applies(requirement, environment)]
    before = {problem.complaint for problem in _problems(base, environment)}
    after = tuple(_problems(final, environment, applying))
    return EnvironmentReport(
        new=tuple(p for p in after if p.complaint not in before),
        known=tuple(p for p in after if p.complaint in before),
        asked=tuple((r, version) for r in applying for met, version in [_met(r, final)] if not met),
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


def _counting(
    stated: Sequence[tuple[NormalizedName, Sequence[str]]], asked: Sequence[Requirement]
) -> Callable[[NormalizedName, Sequence[str]], tuple[Requirement, ...]]:
    """A parser that leaves out what is only for extras that nobody asks for: most lines, and parsing is what costs."""
    lines = (line for _, requires in stated for line in requires)
    asking = {canonicalize_name(match[1]) for line in lines if (match := _WITH_EXTRAS.match(line))}
    asking |= {canonicalize_name(requirement.name) for requirement in asked if requirement.extras}

    def parse(name: NormalizedName, requires: Sequence[str]) -> tuple[Requirement, ...]:
        return parse_requires(requires if name in asking else (line for line in requires if not _for_an_extra(line)))

    return parse


def _for_an_extra(line: str) -> bool:
    """Whether the line surely applies to none but an extra."""
    marker = line.partition(";")[2]
    return bool(_EXTRA.search(marker)) and not _OR.search(marker)


def _found(version: Version | None) -> str:
    return "it is not installed" if version is None else f"{version} is installed"


def _problems(
    packages: Mapping[NormalizedName, _Installed],
    environment: Mapping[str, str],
    asked: Sequence[Requirement] = (),
) -> Iterator[Problem]:
    wanted = _extras(packages, environment, asked)
    for name, package in sorted(packages.items()):
        for requirement in package.requires:
            if not applies(requirement, environment, wanted[name]):
                continue
            met, version = _met(requirement, packages)
            if not met:
                yield Problem(name=name, version=package.version, requirement=str(requirement), found=version)


def _met(requirement: Requirement, packages: Mapping[NormalizedName, _Installed]) -> tuple[bool, Version | None]:
    """Whether the requirement is met, and the version that is there."""
    found = packages.get(canonicalize_name(requirement.name))
    return (False, None) if found is None else (_meets(requirement, found.version), found.version)


def _extras(
    packages: Mapping[NormalizedName, _Installed], environment: Mapping[str, str], asked: Sequence[Requirement]
) -> dict[NormalizedName, frozenset[str]]:
    """The extras that the packages ask of each other: ``uvicorn[standard]`` counts only where somebody says so."""
    wanted: dict[NormalizedName, frozenset[str]] = dict.fromkeys(packages, frozenset())
    for requirement in asked:
        if (name := canonicalize_name(requirement.name)) in wanted:
            wanted[name] |= requirement.extras
    pending = list(packages)
    while pending:
        name = pending.pop()
        for requirement in packages[name].requires:
            other = canonicalize_name(requirement.name)
            if other not in packages or requirement.extras <= wanted[other]:
                continue
            if applies(requirement, environment, wanted[name]):
                wanted[other] |= requirement.extras
                pending.append(other)
    return wanted


def _meets(requirement: Requirement, version: Version) -> bool:
    # A direct reference cannot be compared; pip check accepts whatever version is there.
    return bool(requirement.url) or requirement.specifier.contains(version, prereleases=True)
