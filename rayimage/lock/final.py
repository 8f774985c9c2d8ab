"""The final environment of images that are made, by the METADATA of the very wheels that are in them.

A lock trusts the resolver; this trusts nobody: a lock merged by hand, another tool's lock that was taken as it is, a
wheel whose metadata is not what the index said of it, are found here, before anything is sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from rayimage.errors import LockError
from rayimage.lock.breakage import remedy
from rayimage.lock.environment import EnvironmentReport, check_environment
from rayimage.lock.request import LockRequest
from rayimage.lock.target import Target, best_wheel
from rayimage.model.digest import Digest
from rayimage.model.inventory import Inventory
from rayimage.model.lock import LockedWheel, RoleLock

if TYPE_CHECKING:
    from rayimage.layers import WheelMetadata

__all__ = ["Finding", "check_final"]

_FIX = (
    "run `rayimage lock`; where another tool's lock is taken (from-lock), make that one anew first. A requirement that"
    " is known to be wrong is let through by the name of the package that it asks for: allow-unmet = [{names}]"
)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about a final environment; ``allowed_by`` is the name in ``allow-unmet`` that lets a fatal one pass."""

    text: str
    fatal: bool = True
    allowed_by: NormalizedName | None = None


def check_final(
    images: Iterable[tuple[LockRequest, RoleLock, Sequence[WheelMetadata]]],
    allow_unmet: frozenset[NormalizedName] = frozenset(),
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Check every image's base - removals + wheels; ``images`` have what each wheel in them says about itself.

    Answers what to warn of (base packages that a move breaks, what ``allow_unmet`` lets through) and what the bases do
    not meet themselves. Raises LockError for everything else, with all of it, and what would mend it.
    """
    fatal: dict[Finding, list[str]] = {}
    warnings: dict[str, list[str]] = {}
    known: dict[str, list[str]] = {}
    for request, lock, packages in images:
        whole = _with_project(lock, packages)
        metadata = {each.name: each.requires for each in packages}
        report = check_environment(request.inventory, whole, metadata, request.specs.requirements)
        for finding in (*_mismatches(request, lock, packages), *_unmet(request, whole, report, metadata)):
            if finding.fatal and finding.allowed_by not in allow_unmet:
                fatal.setdefault(finding, []).append(request.subject)
            else:
                warnings.setdefault(finding.text, []).append(request.subject)
        for problem in report.known:
            known.setdefault(f"the base's own: {problem}", []).append(request.subject)
    if fatal:
        raise _refusal(fatal)
    return tuple(_lines(warnings.items())), tuple(_lines(known.items()))


def _mismatches(request: LockRequest, lock: RoleLock, packages: Sequence[WheelMetadata]) -> Iterator[Finding]:
    """Where lock, wheels and base are not of each other, before any requirement is looked at."""
    yield from _of_wheels(lock, packages, Target.of(request.inventory))
    yield from _of_python(request.inventory.python, packages)
    yield from _of_base(request.inventory, lock)


def _of_wheels(lock: RoleLock, packages: Sequence[WheelMetadata], target: Target) -> Iterator[Finding]:
    by_file = {each.filename: each for each in packages}
    for wheel in lock.wheels:
        if best_wheel([wheel.filename], target) is None:
            yield Finding(f"{wheel.filename} is not for {target}")
        own = by_file.get(wheel.filename)
        if own is None:
            yield Finding(f"{wheel.filename}: its metadata is unknown")
        elif (own.name, own.version) != (wheel.name, wheel.version):
            yield Finding(
                f"{wheel.filename} is locked as {wheel.name} {wheel.version}, but its METADATA says that it is"
                f" {own.name} {own.version}; use another build of it"
            )


def _of_python(python: Version, packages: Sequence[WheelMetadata]) -> Iterator[Finding]:
    for own in packages:
        if not _runs(own, python):
            yield Finding(
                f"{own.name} {own.version} requires Python {own.requires_python}, but the base has {python};"
                f" require another version of {own.name}"
            )


def _of_base(inventory: Inventory, lock: RoleLock) -> Iterator[Finding]:
    wheels = {wheel.name for wheel in lock.wheels}
    moved = {move.name for move in lock.moves}
    installed = {name: dist.version for name, dist in inventory.by_name.items()}
    for wheel in lock.wheels:
        if wheel.name in installed and wheel.name not in moved:
            there = installed[wheel.name]
            yield Finding(
                f"{wheel.name} {wheel.version} is added beside the base's {there}: the lock has no move of it"
            )
    for move in lock.moves:
        if move.name not in wheels:
            yield Finding(f"the base's {move.name} {move.old} is removed, but the lock has no wheel in its place")
    for provided in lock.provided:
        found = installed.get(provided.name)
        if found != provided.version:
            has = f"has {found}" if found else "does not have it"
            yield Finding(f"{provided.name} {provided.version} is locked as the base's, but the base {has}")


def _unmet(
    request: LockRequest,
    lock: RoleLock,
    report: EnvironmentReport,
    metadata: dict[NormalizedName, tuple[str, ...]],
) -> Iterator[Finding]:
    """Requirements that are not met; fatal, but for those of base packages that were warned of when it was locked."""
    added = {wheel.name for wheel in lock.wheels}
    for problem in report.new:
        text = f"{problem}; {remedy(problem, request, lock, metadata)}"
        own = problem.name in added or problem.found is None
        yield Finding(text, fatal=own, allowed_by=problem.required)
    for requirement, found in report.asked:
        yield _asked(request, requirement, found)


def _asked(request: LockRequest, requirement: Requirement, found: Version | None) -> Finding:
    where = request.specs.origins.get(str(requirement), "the project")
    has = f"{found} would be installed" if found else "it would not be installed"
    return Finding(f"{where} requires {requirement}, but {has}", allowed_by=canonicalize_name(requirement.name))


def _runs(own: WheelMetadata, python: Version) -> bool:
    """As in pip, a ``Requires-Python`` that does not parse excludes nothing."""
    try:
        return SpecifierSet(own.requires_python).contains(python, prereleases=True)
    except InvalidSpecifier:
        return True


def _with_project(lock: RoleLock, packages: Sequence[WheelMetadata]) -> RoleLock:
    """The lock with what is in the image besides: the project's own wheel."""
    names = {wheel.name for wheel in lock.wheels}
    files = {wheel.filename for wheel in lock.wheels}
    others = [each for each in packages if each.name not in names and each.filename not in files]
    more = tuple(
        LockedWheel(name=each.name, version=each.version, filename=each.filename, digest=Digest.of(b""))
        for each in others
    )
    return replace(lock, wheels=(*lock.wheels, *more))


def _refusal(fatal: dict[Finding, list[str]]) -> LockError:
    names = ", ".join(sorted({f'"{finding.allowed_by}"' for finding in fatal if finding.allowed_by}))
    return LockError(
        "the locked packages do not fit together",
        why="\n".join(_lines((finding.text, subjects) for finding, subjects in fatal.items())),
        fix=_FIX.format(names=names) if names else _FIX.partition(" A requirement")[0],
    )


def _lines(items: Iterable[tuple[str, Sequence[str]]]) -> Iterator[str]:
    return (f"{text} ({', '.join(subjects)})" for text, subjects in items)
