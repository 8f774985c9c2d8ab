"""Questions to an engine until every request has a solution, and all solutions agree.

First the union of all roles, platform after platform; then each role alone, bound by what the union came to. Where
that fails, another platform or role goes first: a version that one takes may have no wheel for the next.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from rayimage.lock.classify import provides
from rayimage.lock.conflict import conflict
from rayimage.lock.engine import Engine, NoSolution, Question, ResolvedPackage
from rayimage.lock.preferences import Pins, Previous, base_pins, machinery, preferences
from rayimage.lock.request import LockRequest, Options
from rayimage.lock.target import Target, applies

__all__ = ["Solutions", "Solver"]

Solutions = Mapping[tuple[str, str], tuple[ResolvedPackage, ...]]
_PARALLEL = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """Groups to solve one after the other, and the packages in them that do not bind the next group.

    Where roles take a package from different indexes, ``leader`` is the role whose index counts for their union; None:
    one that wants the package.
    """

    groups: Sequence[Sequence[LockRequest]]
    free: frozenset[NormalizedName] = frozenset()
    leader: str | None = None


@dataclass(slots=True)
class _Agreed:
    """The versions that bind everyone who comes later, and who took them first."""

    versions: dict[NormalizedName, Version] = field(default_factory=dict)
    holders: dict[NormalizedName, str] = field(default_factory=dict)

    def add(self, packages: Sequence[ResolvedPackage], holder: str, free: frozenset[NormalizedName]) -> None:
        for package in packages:
            if package.name != "ray" and package.name not in free and package.name not in self.versions:
                self.versions[package.name] = Version(package.version.public)
                self.holders[package.name] = holder


class Solver:
    """``settled`` are packages for which only the base's version is preferred, whatever was locked before.

    ``buildable`` are packages of which a source will do.
    """

    def __init__(
        self,
        engine: Engine,
        options: Options,
        previous: Previous,
        settled: frozenset[NormalizedName] = frozenset(),
        buildable: frozenset[NormalizedName] = frozenset(),
    ) -> None:
        self._engine = engine
        self._options = options
        self._previous = previous
        self._settled = settled
        self._buildable = buildable

    def solve_all(self, requests: Sequence[LockRequest]) -> Solutions:
        """A solution for every request, by role and platform; raises NoSolution with the chain on each side."""
        failures: list[NoSolution] = []
        for order in _orders(requests):
            try:
                return self._in_turn(order)
            except NoSolution as failure:  # noqa: PERF203 - few turns, slow each
                failures.append(failure)
        if len(requests) < 2:
            raise failures[0]
        # Whose fault is it? A request without a solution of its own says it more clearly than the union does.
        alone = [(request, self._solve([request], _Agreed(), request.subject)) for request in requests]
        raise conflict(alone) or failures[0]

    def _in_turn(self, order: _Order) -> Solutions:
        agreed = _Agreed()
        answers: dict[tuple[str, str], tuple[ResolvedPackage, ...]] = {}
        for group in order.groups:
            subject = _subject(group)
            packages = self._solve(group, agreed, subject, leader=order.leader)
            if all(_alike(group[0], request) for request in group):
                answers.update({request.key: packages for request in group})
            agreed.add(packages, subject, order.free)

        def solve(request: LockRequest) -> tuple[ResolvedPackage, ...]:
            followed = _followed(request, agreed.versions)
            answer = answers.get(request.key)
            if answer is not None and followed.keys() <= {package.name for package in answer}:
                return answer
            return self._solve([request], agreed, request.subject, followed)

        requests = [request for group in order.groups for request in group]
        with ThreadPoolExecutor(_PARALLEL) as pool:
            return {r.key: packages for r, packages in zip(requests, pool.map(solve, requests), strict=True)}

    def _solve(
        self,
        group: Sequence[LockRequest],
        agreed: _Agreed,
        subject: str,
        required: Pins | None = None,
        leader: str | None = None,
    ) -> tuple[ResolvedPackage, ...]:
        """The solution for requests of one platform.

        A package with an index of its own is required from there, which is right only where it is wanted: if it turns
        out that another package wants it, the question is put again.
        """
        indexes, direct = self._indexes(group, leader), _direct(group)
        known = {name: url for name, url in indexes.items() if name in direct}

        def ask(chosen: Mapping[NormalizedName, str]) -> tuple[ResolvedPackage, ...]:
            return self._engine.solve(self._question(group, agreed, subject, required or {}, chosen))

        try:
            packages = ask(known)
        except NoSolution:
            if known == indexes:
                raise
            return ask(indexes)  # What is missing may be in such an index only.
        late = {package.name for package in packages} & indexes.keys() - known.keys()
        return ask({**known, **{name: indexes[name] for name in late}}) if late else packages

    def _indexes(self, group: Sequence[LockRequest], leader: str | None) -> dict[NormalizedName, str]:
        """The index of each package that has one: the leader's, or that of the first role that has the package."""
        found: dict[NormalizedName, str] = {}
        for request in group if leader is None else ():
            before = self._previous.get(request.key)
            wanted = _direct([request]) | {wheel.name for wheel in (before.wheels if before else ())}
            found = {**{name: url for name, url in request.rules.indexes.items() if name in wanted}, **found}
        for request in sorted(group, key=lambda request: request.role != leader):
            found = {**request.rules.indexes, **found}
        return found

    def _question(
        self,
        group: Sequence[LockRequest],
        agreed: _Agreed,
        subject: str,
        required: Pins,
        indexes: Mapping[NormalizedName, str],
    ) -> Question:
        targets = [Target.of(request.inventory) for request in group]
        bases = tuple({request.inventory.image: request.inventory for request in group}.values())
        conda, base = machinery(bases), base_pins(group)
        pins = {**agreed.versions, **base, **conda}
        holders = {
            **agreed.holders,
            **dict.fromkeys(base, f'the base {group[0].base} (base-packages = "pin")'),
            **dict.fromkeys(conda, "conda in the base, which moves by conda or not at all"),
        }
        return Question(
            subject=subject,
            target=Target(
                python=min(target.python for target in targets),
                platform=targets[0].platform,
                glibc=min(target.glibc for target in targets),
            ),
            sources=tuple(dict.fromkeys(source for request in group for source in request.specs.sources)),
            ray=group[0].ray.version,
            bases=bases,
            constraints=pins,
            preferences=preferences(group, self._options, self._previous, pins, self._settled),
            required=required,
            indexes=indexes,
            holders=holders,
            buildable=self._buildable,
        )


def _orders(requests: Sequence[LockRequest]) -> Iterator[_Order]:
    """What to try, best first."""
    if not requests:
        yield _Order(groups=())
    platforms = dict.fromkeys(request.platform for request in requests)
    groups = [[request for request in requests if request.platform == platform] for platform in platforms]
    several_indexes = len({tuple(sorted(request.rules.indexes.items())) for request in requests}) > 1
    roles = dict.fromkeys(request.role for request in requests) if several_indexes else ()
    for leader in (None, *roles):
        yield from (_Order(groups=rotated, leader=leader) for rotated in _rotations(groups))
    free = frozenset(name for request in requests for name in request.rules.allow_skew)
    if free:
        yield from (_Order(groups=rotated, free=free) for rotated in _rotations([[request] for request in requests]))


def _rotations(groups: Sequence[Sequence[LockRequest]]) -> Iterator[Sequence[Sequence[LockRequest]]]:
    for turn in range(len(groups)):
        yield [*groups[turn:], *groups[:turn]]


def _subject(group: Sequence[LockRequest]) -> str:
    roles = " and ".join(request.role for request in group)
    return f"{'roles' if len(group) > 1 else 'role'} {roles} on {group[0].platform}"


def _alike(one: LockRequest, other: LockRequest) -> bool:
    return (one.inventory.image, one.specs.sources, one.rules) == (
        other.inventory.image,
        other.specs.sources,
        other.rules,
    )


def _followed(request: LockRequest, agreed: Pins) -> Pins:
    """What others move and this request's base has as well: it moves here too, wanted by this role or not.

    Head and workers exchange objects of packages (cloudpickle, numpy) that only one of them asks for.
    """
    installed = request.inventory.by_name
    bound = {**machinery([request.inventory]), **base_pins([request])}
    return {
        name: version
        for name, version in agreed.items()
        if name in installed and name not in bound and not provides(installed[name].version, version)
    }


def _direct(group: Sequence[LockRequest]) -> frozenset[NormalizedName]:
    found: set[NormalizedName] = set()
    for request in group:
        environment = Target.of(request.inventory).environment
        found |= {canonicalize_name(r.name) for r in request.specs.requirements if applies(r, environment)}
    return frozenset(found)
