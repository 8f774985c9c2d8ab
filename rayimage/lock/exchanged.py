"""Packages whose objects travel between head and workers, and between a cluster and its clients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from packaging.utils import NormalizedName, canonicalize_name

from rayimage.lock.request import LockRequest
from rayimage.model.lock import RoleLock

__all__ = ["EXCHANGED", "skews", "warnings"]

EXCHANGED: frozenset[NormalizedName] = frozenset(
    map(
        canonicalize_name,
        # cloudpickle pickles every task and actor; msgpack, protobuf and grpcio carry Ray's own messages; the others
        # are what tasks take and return, pickled by reference to their modules or as their own binary formats.
        ("cloudpickle", "grpcio", "msgpack", "numpy", "pandas", "polars", "protobuf", "pyarrow", "pydantic"),
    )
)


def warnings(locks: Sequence[RoleLock]) -> Iterator[str]:
    """A line for each move of such a package, with the images that it concerns."""
    who: dict[str, list[str]] = {}
    for lock in locks:
        for move in lock.moves:
            if move.name in EXCHANGED:
                who.setdefault(f"{move.name} {move.old} → {move.new}", []).append(lock.role)
    for text, roles in who.items():
        yield (
            f"{text} moves off the base ({', '.join(dict.fromkeys(roles))}), and nodes exchange its objects: "
            "roll head and workers out together, and give clients of the cluster the same version"
        )


def skews(requests: Sequence[LockRequest], locks: Sequence[RoleLock]) -> Iterator[str]:
    """A line for each such package that the final images of a platform or role have at different versions.

    The locks themselves agree; that is about the bases' own copies, and about what ``allow-skew`` lets differ.
    """
    found: dict[NormalizedName, dict[str, list[str]]] = {}
    for request, lock in zip(requests, locks, strict=True):
        versions = {dist.name: dist.version for dist in request.inventory.distributions}
        versions |= {wheel.name: wheel.version for wheel in lock.wheels}
        for name in sorted(EXCHANGED & versions.keys()):
            found.setdefault(name, {}).setdefault(versions[name].public, []).append(request.subject)
    for package, where in found.items():
        if len(where) > 1:
            told = "; ".join(f"{version} in {', '.join(subjects)}" for version, subjects in where.items())
            yield f"nodes exchange objects of {package}, and it is not the same on all: {told}"
