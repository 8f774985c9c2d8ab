"""Requests that each have a solution, and none together: which package it is, and the chain on each side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from packaging.utils import NormalizedName
from packaging.version import Version

from rayimage.errors import LockError
from rayimage.lock.engine import NoSolution, ResolvedPackage
from rayimage.lock.preferences import machinery
from rayimage.lock.reasons import Graph
from rayimage.lock.request import LockRequest

__all__ = ["allowed_skews", "check_agreement", "conflict"]

_SHOWN = 3


def conflict(alone: Sequence[tuple[LockRequest, Sequence[ResolvedPackage]]]) -> NoSolution | None:
    """The error for ``alone``, the solution that each request has by itself; None where no package is to blame.

    Two requests conflict in a package where each requires something that excludes the version the other one takes.
    """
    graphs = [(request, Graph(request, packages)) for request, packages in alone]
    sides: dict[str, str] = {}
    for (one, left), (other, right) in combinations(graphs, 2):
        for name, why in _clashes(one, left, other, right):
            sides.setdefault(name, why)
    if not sides:
        return None
    names = list(sides)[:_SHOWN]
    listed = ", ".join(f'"{name}"' for name in sides)
    return NoSolution(
        f"{' and '.join(names)} cannot have one version everywhere",
        why="\n".join(sides[name] for name in names),
        fix=f"relax one of the sides, or let them differ: allow-skew = [{listed}]",
    )


def _clashes(one: LockRequest, left: Graph, other: LockRequest, right: Graph) -> Iterator[tuple[str, str]]:
    skewed = one.rules.allow_skew | other.rules.allow_skew
    for name in sorted(left.versions.keys() & right.versions.keys() - skewed):
        here, there = (Version(graph.versions[name].public) for graph in (left, right))
        if name == "ray" or here == there:
            continue
        ours, theirs = left.why_not(name, there), right.why_not(name, here)
        if ours and theirs:
            yield name, f"{one.subject}: {', '.join(ours)}; {other.subject}: {', '.join(theirs)}"


def check_agreement(solutions: Sequence[tuple[LockRequest, Sequence[ResolvedPackage]]]) -> None:
    """Raise LockError where a package has two versions: pinned bases can differ and leave no other solution."""
    for name, sides in _differing(solutions).items():
        if any(name in request.rules.allow_skew or name in machinery([request.inventory]) for request, _ in sides):
            continue
        raise LockError(
            f"{name} cannot have one version everywhere",
            why="; ".join(f"{request.subject} has {version}" for request, version in sides),
            fix=f'choose bases that have one version of it, set base-packages = "prefer", or allow-skew = ["{name}"]',
        )


def allowed_skews(solutions: Sequence[tuple[LockRequest, Sequence[ResolvedPackage]]]) -> Iterator[str]:
    """A line for each package whose versions differ because ``allow-skew`` lets them."""
    for name, sides in _differing(solutions).items():
        if any(name in request.rules.allow_skew for request, _ in sides):
            told = ", ".join(f"{version} in {request.subject}" for request, version in sides)
            yield f"allow-skew: {name} is {told}"


def _differing(
    solutions: Sequence[tuple[LockRequest, Sequence[ResolvedPackage]]],
) -> Mapping[NormalizedName, Sequence[tuple[LockRequest, str]]]:
    """Packages that have several versions, local labels apart: with a request for each of them."""
    found: dict[NormalizedName, dict[str, LockRequest]] = {}
    for request, packages in solutions:
        for package in packages:
            found.setdefault(package.name, {}).setdefault(package.version.public, request)
    return {
        name: [(request, version) for version, request in versions.items()]
        for name, versions in sorted(found.items())
        if len(versions) > 1
    }
