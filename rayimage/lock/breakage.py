"""What the final environments do not meet, in lines for people: what broke, where, and what would mend it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName, canonicalize_name

from rayimage.lock._metadata import parse_requires
from rayimage.lock.environment import Problem, check_environment
from rayimage.lock.request import LockRequest
from rayimage.lock.stubs import stub_requires
from rayimage.lock.target import Target, applies
from rayimage.model.inventory import Distribution
from rayimage.model.lock import RoleLock

__all__ = ["broken", "concerning", "remedy"]

_NAME = re.compile(r"\s*([A-Za-z0-9._-]+)")

Requires = Mapping[NormalizedName, Sequence[str]]


def broken(checked: Iterable[tuple[LockRequest, RoleLock, Requires]]) -> tuple[list[str], list[str]]:
    """What the locks break, with a remedy, and what the bases do not meet themselves; each once, with its images.

    ``checked`` has the requirements of the lock's wheels by name, as far as they are known.
    """
    new: dict[str, list[str]] = {}
    known: dict[str, list[str]] = {}
    for request, lock, requires in checked:
        metadata = {wheel.name: tuple(requires[wheel.name]) for wheel in lock.wheels if wheel.name in requires}
        report = check_environment(request.inventory, lock, metadata, request.specs.requirements)
        for problem in report.new:
            text = f"{problem}; {remedy(problem, request, lock, requires)}"
            new.setdefault(text, []).append(request.subject)
        for problem in report.known:
            known.setdefault(f"the base's own: {problem}", []).append(request.subject)
    return _with_subjects(new), _with_subjects(known)


def concerning(request: LockRequest, lock: RoleLock) -> LockRequest:
    """The request with only those of its base's requirements that ask for one of the lock's wheels.

    Only these can be broken by the lock, and there are few: most of the time of a check goes into reading the others.
    """
    names = {wheel.name for wheel in lock.wheels}

    def kept(dist: Distribution) -> Distribution:
        lines = ((line, _NAME.match(line)) for line in dist.requires)
        return replace(dist, requires=tuple(line for line, m in lines if m and canonicalize_name(m[1]) in names))

    inventory = request.inventory
    return replace(request, inventory=replace(inventory, distributions=tuple(map(kept, inventory.distributions))))


def _with_subjects(lines: Mapping[str, Sequence[str]]) -> list[str]:
    return [f"{text} ({', '.join(subjects)})" for text, subjects in lines.items()]


def remedy(problem: Problem, request: LockRequest, lock: RoleLock, requires: Requires) -> str:
    """The requirement to add: one that satisfies all who need the package, else the broken package itself.

    ``requires`` are the requirements of the lock's wheels; without those of all wheels no version range can be named.
    A resolver that has to install the broken package as well finds versions of both that fit together.
    """
    wanted = Requirement(problem.requirement)
    name = canonicalize_name(wanted.name)
    if problem.found is None:
        return f"require {name}{wanted.specifier}"
    if all(wheel.name in requires for wheel in lock.wheels):
        together = SpecifierSet()
        for requirement in _all(request, lock, requires):
            if canonicalize_name(requirement.name) == name:
                together &= requirement.specifier
        if not together.is_unsatisfiable():
            return f"require {name}{together}, which suits all who need it"
    return f"require {problem.name}, too: then versions are chosen that fit together"


def _all(request: LockRequest, lock: RoleLock, requires: Requires) -> Iterator[Requirement]:
    """Every requirement in the final environment that applies without an extra, but for those the base breaks."""
    target = Target.of(request.inventory)
    replaced = {wheel.name for wheel in lock.wheels}
    found = list(request.specs.requirements)
    for dist in request.inventory.distributions:
        found += stub_requires(dist, request.inventory, target) if dist.name not in replaced else ()
    for wheel in lock.wheels:
        found += parse_requires(requires[wheel.name])
    environment = target.environment
    return (requirement for requirement in found if applies(requirement, environment))
