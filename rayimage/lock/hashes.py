"""Hashes that requirements state: of such a package only the files that they vouch for may go in.

Resolvers take hashes for a matter of installing. Here the lock is what is installed, so they count when it is made.
"""

from __future__ import annotations

from dataclasses import replace

from packaging.version import Version

from rayimage.errors import LockError
from rayimage.lock.engine import ResolvedPackage
from rayimage.model.lock import LockedSource, LockedWheel
from rayimage.specs import RoleSpecs

__all__ = ["confirm", "confirm_source", "vouched_for"]


def vouched_for(package: ResolvedPackage, specs: RoleSpecs) -> ResolvedPackage:
    """``package`` without the files that the requirements' hashes leave out; raises LockError when none is left.

    A file whose hash the index does not state is kept, for ``confirm`` when it is known.
    """
    allowed = specs.hashes.get(package.name)
    if not allowed or not package.wheels:
        return package
    kept = tuple(file for file in package.wheels if file.digest is None or file.digest.hex in allowed)
    if not kept:
        raise _refusal(package.name, package.version, "none of the index's wheels has")
    return replace(package, wheels=kept)


def confirm(wheel: LockedWheel, specs: RoleSpecs) -> LockedWheel:
    """``wheel`` itself; raises LockError when the requirements' hashes leave it out."""
    allowed = specs.hashes.get(wheel.name)
    if allowed and wheel.digest.hex not in allowed:
        raise _refusal(wheel.name, wheel.version, f"{wheel.filename} does not have")
    return wheel


def confirm_source(package: ResolvedPackage, source: LockedSource, specs: RoleSpecs) -> None:
    """Raise LockError when the requirements' hashes leave a source archive out."""
    allowed = specs.hashes.get(package.name)
    if allowed and source.digest and source.digest.hex not in allowed:
        raise _refusal(package.name, package.version, f"{source.filename} does not have")


def _refusal(name: str, version: Version, who: str) -> LockError:
    return LockError(
        f"{name} {version} is not what the requirements vouch for",
        why=f"{who} one of the sha256 hashes that they state",
        fix="find out where these files come from; if they are meant, state their hashes",
    )
