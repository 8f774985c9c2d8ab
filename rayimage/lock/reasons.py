"""Why a package moves: the requirement that the base's version does not meet, and what brought that requirement in."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from rayimage.lock._metadata import parse_requires
from rayimage.lock.classify import provides
from rayimage.lock.engine import ResolvedPackage
from rayimage.lock.explain import redact
from rayimage.lock.request import LockRequest
from rayimage.lock.target import Target, applies
from rayimage.model.lock import RoleLock

__all__ = ["UPGRADED", "Graph", "Reasons", "origin", "reasons_of"]

UPGRADED = "it was upgraded by --upgrade-package"
"""The reason of a move that nothing requires, and that is kept all the same."""
Reasons = Mapping[NormalizedName, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class _Edge:
    """``by`` requires ``requirement``; None is the project itself, in its file ``origin``."""

    by: NormalizedName | None
    requirement: Requirement
    origin: str = ""

    @property
    def name(self) -> NormalizedName:
        return canonicalize_name(self.requirement.name)

    def excludes(self, version: Version) -> bool:
        return not self.requirement.url and not self.requirement.specifier.contains(version, prereleases=True)


class Graph:
    """Who requires what in a role's solution."""

    def __init__(self, request: LockRequest, packages: Sequence[ResolvedPackage]) -> None:
        environment = Target.of(request.inventory).environment
        own = [requirement for requirement in request.specs.requirements if applies(requirement, environment)]
        self.versions = {package.name: package.version for package in packages}
        edges = [_Edge(None, requirement, origin(request, requirement)) for requirement in own]
        edges += [
            _Edge(package.name, requirement)
            for package in packages
            for requirement in parse_requires(package.requires or ())
        ]
        self._parents: dict[NormalizedName, _Edge] = {}
        self._edges = self._by_distance(edges)

    def _by_distance(self, edges: Sequence[_Edge]) -> list[_Edge]:
        """The edges that lead on from the project, nearest first."""
        by: dict[NormalizedName | None, list[_Edge]] = {}
        for edge in edges:
            by.setdefault(edge.by, []).append(edge)
        reached: list[_Edge] = []
        pending = deque([*by.get(None, ()), *by.get(canonicalize_name("ray"), ())])
        while pending:
            edge = pending.popleft()
            reached.append(edge)
            if edge.name not in self._parents and edge.name != "ray":
                self._parents[edge.name] = edge
                pending += by.get(edge.name, ())
        return reached

    def why_not(self, name: NormalizedName, version: Version) -> tuple[str, ...]:
        """The chain from a requirement that excludes ``version`` of ``name`` to the project; empty when none does."""
        edge = next((edge for edge in self._edges if edge.name == name and edge.excludes(version)), None)
        chain: list[str] = []
        while edge is not None:
            chain.append(self._text(edge))
            edge = self._parents.get(edge.by) if edge.by else None
        return tuple(chain)

    def _text(self, edge: _Edge) -> str:
        requirement = edge.requirement
        versions = requirement.specifier if edge.by is None else _spelled_out(requirement.specifier)
        extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
        text = f"{edge.name}{extras}" + (f" @ {redact(requirement.url)}" if requirement.url else str(versions))
        return f"{edge.by} {self.versions[edge.by]} requires {text}" if edge.by else f"{edge.origin} requires {text}"


def _spelled_out(specifiers: SpecifierSet) -> SpecifierSet:
    """``~=2.6`` as ``>=2.6,<3``: resolvers report it in one form or the other."""
    texts: list[str] = []
    for each in specifiers:
        release = Version(each.version).release if each.operator == "~=" else ()
        upper = ".".join(map(str, (*release[:-2], release[-2] + 1))) if release else ""
        texts += [f">={each.version}", f"<{upper}"] if upper else [str(each)]
    return SpecifierSet(",".join(texts))


def origin(request: LockRequest, requirement: Requirement) -> str:
    """The file that a direct requirement is from; without its line, which moves when others do."""
    place = request.specs.origins.get(str(requirement), "")
    return re.sub(r":\d+$", "", place) or f"role {request.role}"


def reasons_of(
    request: LockRequest,
    packages: Sequence[ResolvedPackage],
    graphs: Sequence[tuple[LockRequest, Graph]],
    *,
    upgraded: frozenset[NormalizedName] = frozenset(),
    previous: RoleLock | None = None,
) -> Reasons:
    """Why each package of the base that moves in ``request`` does; the empty tuple where nothing forces it.

    ``packages`` are the solution for ``request``, ``graphs`` those of all requests: what one role moves moves in every
    role that has it.
    """
    graphs = sorted(graphs, key=lambda pair: (pair[0] is not request, pair[0].platform != request.platform))
    before = {move.name: move for move in previous.moves} if previous else {}
    reasons: dict[NormalizedName, tuple[str, ...]] = {}
    for package in packages:
        installed = request.inventory.by_name.get(package.name)
        if installed is None or (not package.direct and provides(installed.version, package.version)):
            continue
        former = before.get(package.name)
        kept = former is not None and former.because == (UPGRADED,) and former.new == package.version
        chain = _forced(request, graphs, package, installed.version)
        reasons[package.name] = chain or ((UPGRADED,) if kept or package.name in upgraded else ())
    return reasons


def _forced(
    request: LockRequest, graphs: Sequence[tuple[LockRequest, Graph]], package: ResolvedPackage, old: Version
) -> tuple[str, ...]:
    if package.direct:
        return (f"the file {package.wheels[0].filename} is required" if package.wheels else "a file is required",)
    for other, graph in graphs:
        if chain := graph.why_not(package.name, old):
            return chain if other is request else (f"in {other.subject} {chain[0]}", *chain[1:])
    for other, _ in graphs:
        theirs = other.inventory.by_name.get(package.name)
        if other is not request and theirs and provides(theirs.version, package.version):
            return (f"the base of {other.subject} has {theirs.version}",)
    return ()
