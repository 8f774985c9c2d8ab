"""What to hold on to in a resolution: conda's machinery always, former choices and the base's versions if possible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from rayimage.lock.classify import provides
from rayimage.lock.request import LockRequest, Options
from rayimage.model.inventory import Distribution, Inventory
from rayimage.model.lock import RoleLock

__all__ = ["Pins", "Previous", "base_pins", "is_machinery", "machinery", "preferences"]

Pins = Mapping[NormalizedName, Version]
Previous = Mapping[tuple[str, str], RoleLock]
_MACHINERY = frozenset({"conda", "mamba", "libmambapy", "menuinst"})


def is_machinery(dist: Distribution) -> bool:
    """Whether a distribution is conda itself: it moves by conda or not at all.

    Other packages that conda installed (requests, tqdm, packaging …) are ordinary and may move.
    """
    return dist.is_conda and (dist.name in _MACHINERY or dist.name.startswith(("conda-", "mamba-", "libmamba-")))


def machinery(bases: Sequence[Inventory]) -> Pins:
    """Pins of conda's machinery where all bases agree on it."""
    versions: dict[NormalizedName, set[Version]] = {}
    for base in bases:
        for dist in filter(is_machinery, base.distributions):
            versions.setdefault(dist.name, set()).add(dist.version)
    return {name: next(iter(found)) for name, found in versions.items() if len(found) == 1}


def base_pins(group: Sequence[LockRequest]) -> Pins:
    """The versions that the bases hold under ``base-packages = "pin"``, where those of the group agree."""
    versions: dict[NormalizedName, set[Version]] = {}
    for request in group:
        if request.rules.base_packages == "pin":
            for name, dist in request.inventory.by_name.items():
                versions.setdefault(name, set()).add(dist.version)
    return {name: next(iter(found)) for name, found in versions.items() if len(found) == 1 and name != "ray"}


def preferences(
    group: Sequence[LockRequest],
    options: Options,
    previous: Previous,
    pins: Pins,
    settled: frozenset[NormalizedName] = frozenset(),
) -> Pins:
    """What to take where it can be: previous locks, else ``options.preferences``, else the bases' versions.

    A version that a direct requirement or a pin excludes is passed over for the next in that order; of ``settled``
    packages only the bases' versions count.
    """
    own: list[Pins] = []
    if not options.upgrade:
        own += [_still_meant(request, previous.get(request.key)) for request in group]
        own.append(options.preferences)
    ladder = [{name: version for name, version in step.items() if name not in settled} for step in own]
    ladder += [{name: dist.version for name, dist in request.inventory.by_name.items()} for request in group]
    allowed: dict[NormalizedName, SpecifierSet] = {}
    for request in group:
        for requirement in request.specs.requirements:
            if requirement.marker is None:
                name = canonicalize_name(requirement.name)
                allowed[name] = allowed.get(name, SpecifierSet()) & requirement.specifier
    upgraded = {canonicalize_name(name) for name in options.upgrade_packages}
    chosen: dict[NormalizedName, Version] = {}
    for step in ladder:
        for name, version in step.items():
            fits = allowed.get(name, SpecifierSet()).contains(version, prereleases=True)
            pinned = name not in pins or provides(version, pins[name])
            if name not in upgraded and name not in chosen and fits and pinned:
                chosen[name] = version
    return chosen


def _still_meant(request: LockRequest, previous: RoleLock | None) -> Pins:
    """The versions of a previous lock that were its own choice against a base like this one.

    What the former base provided is not a choice: preferring it would take a newer base back to the old versions.
    """
    if previous is None:
        return {}
    olds = {move.name: move.old for move in previous.moves}
    versions: dict[NormalizedName, Version] = {}
    for wheel in previous.wheels:
        installed = request.inventory.by_name.get(wheel.name)
        if (installed.version if installed else None) == olds.get(wheel.name):
            versions[wheel.name] = wheel.version
    return versions
