"""All roles and platforms resolved together: a package in two roles has one version in both.

Ray compares only its own version between nodes; a skew of anything else (pydantic, numpy, cloudpickle …) between head
and workers is silent. So the union of all roles is resolved first, platform after platform, and its versions bind
every role.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from rayimage.errors import LockError
from rayimage.lock.classify import provides, role_lock
from rayimage.lock.engine import Engine, NoSolution, Question, ResolvedPackage
from rayimage.lock.explain import redact
from rayimage.lock.preferences import Pins, Previous, machinery, preferences
from rayimage.lock.request import LockRequest, Options
from rayimage.lock.target import Target
from rayimage.model.lock import RoleLock
from rayimage.model.progress import SILENT, Progress

__all__ = ["resolve"]

_Answers = Mapping[tuple[str, str], tuple[ResolvedPackage, ...]]
_PARALLEL = 4


def resolve(
    requests: Sequence[LockRequest],
    options: Options,
    *,
    previous: Previous,
    progress: Progress = SILENT,
    engine: Engine | None = None,
) -> tuple[RoleLock, ...]:
    """Lock every request, in order; ``previous`` locks by (role, platform) keep what can be kept.

    Raises LockError when there is no solution (with the resolver's cause) or no wheel, BaseImageError when a base is
    not a Ray image.
    """
    if engine is None:
        from rayimage.lock.uv import UvEngine

        engine = UvEngine(options)
    _check_bases(requests)
    solver = _Solver(engine, options, previous)
    agreed, answers = solver.agree(requests)

    def lock(request: LockRequest) -> RoleLock:
        start = monotonic()
        packages = answers.get(_key(request)) or solver.solve_role(request, agreed)
        result = role_lock(request, packages)
        counts = f"{len(result.provided)} provided, {len(result.moves)} moved, {len(result.added)} added"
        progress.note(f"{request.subject}: {counts} ({monotonic() - start:.1f} s)")
        return result

    with ThreadPoolExecutor(_PARALLEL) as pool:
        return tuple(pool.map(lock, requests))


def _key(request: LockRequest) -> tuple[str, str]:
    return request.role, str(request.platform)


def _check_bases(requests: Sequence[LockRequest]) -> None:
    """One Ray and one Python in the cluster, and no requirement that asks for another Ray."""
    for request in requests:
        _check_same(requests[0], request, "Ray", lambda each: str(each.ray.version))
        _check_same(requests[0], request, "Python", lambda each: Target.of(each.inventory).minor)
        for requirement in request.specs.requirements:
            if canonicalize_name(requirement.name) == "ray":
                _check_ray(request, requirement)


def _check_same(first: LockRequest, other: LockRequest, what: str, version: Callable[[LockRequest], str]) -> None:
    if version(first) != version(other):
        has = (f"{request.base} ({request.role}) has {version(request)}" for request in (first, other))
        raise LockError(
            f"the roles' bases have different {what} versions",
            why=", ".join(has),
            fix=f"choose bases of one {what} version: nodes of another one cannot join the cluster",
        )


def _check_ray(request: LockRequest, requirement: Requirement) -> None:
    ray, environment = request.ray.version, Target.of(request.inventory).environment
    if requirement.marker and not requirement.marker.evaluate({**environment, "extra": ""}):
        return
    if requirement.url or not requirement.specifier.contains(ray, prereleases=True):
        text = redact(str(requirement))
        raise LockError(
            f"role {request.role} requires another Ray than its base has",
            why=f"the requirement is {text}, the base {request.base} has Ray {ray}",
            fix=f"require ray=={ray} (or just ray), or choose a base of the version required",
        )


class _Solver:
    """Puts questions to an engine: whose sources, which pins, what to prefer."""

    def __init__(self, engine: Engine, options: Options, previous: Previous) -> None:
        self._engine = engine
        self._options = options
        self._previous = previous

    def agree(self, requests: Sequence[LockRequest]) -> tuple[Pins, _Answers]:
        """The versions that bind all requests, and the solutions that are already known on the way there."""
        if len(requests) < 2:
            return {}, {}
        platforms = list(dict.fromkeys(request.platform for request in requests))
        groups = [[request for request in requests if request.platform == platform] for platform in platforms]
        failures: list[NoSolution] = []
        for turn in range(len(groups)):
            # A version that the first platform takes may have no wheel on the next; then that one goes first.
            try:
                return self._in_turn(groups[turn:] + groups[:turn])
            except NoSolution as failure:  # noqa: PERF203 - few turns, slow each
                failures.append(failure)
        for request in requests:  # Whose fault is it? A role without a solution of its own says it more clearly.
            self.solve([request], {}, request.subject)
        raise failures[0]

    def _in_turn(self, groups: Sequence[Sequence[LockRequest]]) -> tuple[Pins, _Answers]:
        agreed: dict[NormalizedName, Version] = {}
        answers: dict[tuple[str, str], tuple[ResolvedPackage, ...]] = {}
        for group in groups:
            roles = " and ".join(request.role for request in group)
            subject = f"{'roles' if len(group) > 1 else 'role'} {roles} on {group[0].platform}"
            packages = self.solve(group, agreed, subject)
            if len({(request.inventory.image, request.specs.sources) for request in group}) == 1:
                answers.update({_key(request): packages for request in group})
            versions = {package.name: Version(package.version.public) for package in packages}
            agreed = {name: version for name, version in versions.items() if name != "ray"} | agreed
        return agreed, answers

    def solve_role(self, request: LockRequest, agreed: Pins) -> tuple[ResolvedPackage, ...]:
        """The solution for one role, in step with the others.

        What they move and this role's base has as well moves here too, wanted by this role or not: head and workers
        exchange objects of packages (cloudpickle, numpy) that only one of them asks for.
        """
        bound = machinery([request.inventory])
        followed = {
            name: version
            for name, version in agreed.items()
            if name in request.inventory.by_name and name not in bound
            if not provides(request.inventory.by_name[name].version, version)
        }
        return self.solve([request], agreed, request.subject, followed)

    def solve(
        self, group: Sequence[LockRequest], agreed: Pins, subject: str, required: Pins | None = None
    ) -> tuple[ResolvedPackage, ...]:
        """The solution for a group of requests on one platform."""
        targets = [Target.of(request.inventory) for request in group]
        bases = tuple({request.inventory.image: request.inventory for request in group}.values())
        pins = {**agreed, **machinery(bases)}
        question = Question(
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
            preferences=preferences(group, self._options, self._previous, pins),
            required=required or {},
        )
        return self._engine.solve(question)
