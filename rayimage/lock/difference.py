"""What a newer base would change in an image, package by package."""

from __future__ import annotations

from collections.abc import Mapping

from packaging.utils import NormalizedName
from packaging.version import Version

from rayimage.model.difference import Change, Difference
from rayimage.model.inventory import Inventory
from rayimage.model.lock import RoleLock

__all__ = ["difference"]


def difference(before: tuple[RoleLock, Inventory | None] | None, after: tuple[RoleLock, Inventory]) -> Difference:
    """Compare the image that a lock stands for with the one that another lock would make.

    Without the former base's inventory only what the former lock names is compared.
    """
    lock, inventory = after
    new = _environment(lock, inventory)
    if before is None:
        old: Mapping[NormalizedName, tuple[Version, bool]] = {}
    else:
        old = _environment(*before)
        if before[1] is None:  # Else all that the former base had beside the lock would seem to be new.
            named = {*old, *(wheel.name for wheel in lock.wheels)}
            new = {name: state for name, state in new.items() if name in named}
    absent = (None, False)
    return Difference(
        role=lock.role,
        platform=lock.platform,
        old=before[0].base if before else None,
        new=lock.base,
        changes=tuple(
            Change(
                name=name,
                old=old.get(name, absent)[0],
                new=new.get(name, absent)[0],
                old_in_base=old.get(name, absent)[1],
                new_in_base=new.get(name, absent)[1],
            )
            for name in sorted({*old, *new})
            if old.get(name) != new.get(name)
        ),
    )


def _environment(lock: RoleLock, inventory: Inventory | None) -> dict[NormalizedName, tuple[Version, bool]]:
    """Every package of the image, its version, and whether it is the base's."""
    if inventory is not None:
        found = {dist.name: (dist.version, True) for dist in inventory.distributions}
    else:
        found = {item.name: (item.version, True) for item in lock.provided}
    return {**found, **{wheel.name: (wheel.version, False) for wheel in lock.wheels}}
