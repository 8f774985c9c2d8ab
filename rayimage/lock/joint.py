"""All roles and platforms resolved together: a package in two roles has one version in both.

Ray compares only its own version between nodes; a skew of anything else (pydantic, numpy, cloudpickle …) between head
and workers is silent. So the union of all roles is resolved first, platform after platform, and its versions bind
every role.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from packaging.utils import NormalizedName, canonicalize_name

from rayimage.lock.bases import check_bases, check_pins
from rayimage.lock.breakage import broken, concerning
from rayimage.lock.classify import role_lock
from rayimage.lock.conflict import allowed_skews, check_agreement
from rayimage.lock.engine import Engine, NoSolution
from rayimage.lock.exchanged import skews, warnings
from rayimage.lock.preferences import Previous
from rayimage.lock.reasons import UPGRADED, Graph, Reasons, reasons_of
from rayimage.lock.request import LockRequest, Options, lock_inputs
from rayimage.lock.solver import Solutions, Solver
from rayimage.model.lock import RoleLock
from rayimage.model.progress import SILENT, Progress

__all__ = ["resolve"]

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

    Where every previous lock was made of the same inputs, and nothing is to be upgraded, they are the answer, and no
    resolver is asked; what they break is said again. Raises LockError when there is no solution (with the resolver's
    cause) or no wheel, BaseImageError when a base is not a Ray image.
    """
    if kept := _fresh(requests, options, previous):
        _tell([concerning(*pair) for pair in zip(requests, kept, strict=True)], kept, {}, progress)
        return kept
    check_bases(requests)
    check_pins(requests, options)
    engine = engine or _engine(options)
    solutions, buildable = _solve(engine, requests, options, previous)
    reasons = _reasons(requests, options, previous, solutions)
    said = all(package.requires is not None for packages in solutions.values() for package in packages)
    if stale := said and _unforced(requests, previous, reasons):
        solutions = Solver(engine, options, previous, settled=stale, buildable=buildable).solve_all(requests)
        reasons = _reasons(requests, options, previous, solutions)

    pairs = [(request, solutions[request.key]) for request in requests]
    check_agreement(pairs)

    def lock(request: LockRequest) -> RoleLock:
        build = options.build.get(request.key)
        result = role_lock(request, solutions[request.key], reasons[request.key], build=build)
        counts = f"{len(result.provided)} provided, {len(result.moves)} moved, {len(result.added)} added"
        progress.note(f"{request.subject}: {counts}")
        return result

    with ThreadPoolExecutor(_PARALLEL) as pool:  # local wheels are hashed
        locks = tuple(pool.map(lock, requests))
    for text in allowed_skews(pairs):
        progress.note(text)
    for text in (*_withdrawn(locks, solutions), *warnings(locks), *skews(requests, locks)):
        progress.warn(text)
    _tell(requests, locks, solutions, progress)
    return locks


def _solve(
    engine: Engine, requests: Sequence[LockRequest], options: Options, previous: Previous
) -> tuple[Solutions, frozenset[NormalizedName]]:
    """The solutions, and the packages that were allowed to be sources in them.

    A wheel is worth more than a newer version: what has one is never built. So sources are allowed only where they are
    asked for by URL, and of packages without which there is no solution.
    """
    urls = [(r.name, urlsplit(r.url).path) for each in requests for r in each.specs.requirements if r.url]
    sources = [canonicalize_name(name) for name, path in urls if not path.endswith(".whl")]
    buildable = frozenset(sources if options.build else ())
    while True:
        try:
            return Solver(engine, options, previous, buildable=buildable).solve_all(requests), buildable
        except NoSolution as failure:  # noqa: PERF203 - few turns, slow each
            if not options.build or failure.sources <= buildable:
                raise
            buildable |= failure.sources


def _withdrawn(locks: Sequence[RoleLock], solutions: Solutions) -> list[str]:
    """A line for each wheel whose release was yanked: only a pin of yours brings one in, or a lock from before."""
    wheels = {(wheel.name, wheel.version) for lock in locks for wheel in lock.wheels}
    packages = {p.name: p for packages in solutions.values() for p in packages if (p.name, p.version) in wheels}
    return [
        f"{name} {package.version} was yanked from its index{f' ({package.yanked})' if package.yanked else ''}: "
        "require another version"
        for name, package in sorted(packages.items())
        if package.yanked is not None
    ]


def _tell(requests: Sequence[LockRequest], locks: Sequence[RoleLock], solutions: Solutions, progress: Progress) -> None:
    """Warn of what the locks break; what the bases break themselves is noted."""
    checked = []
    for request, lock in zip(requests, locks, strict=True):
        packages = solutions.get(request.key, ())
        checked.append((request, lock, {p.name: p.requires for p in packages if p.requires is not None}))
    new, known = broken(checked)
    for text in new:
        progress.warn(text)
    for text in known:
        progress.note(text)


def _engine(options: Options) -> Engine:
    if options.engine == "pip-tools":
        from rayimage.lock.pip_tools import PipToolsEngine

        return PipToolsEngine(options)
    from rayimage.lock.uv import UvEngine

    return UvEngine(options)


def _fresh(requests: Sequence[LockRequest], options: Options, previous: Previous) -> tuple[RoleLock, ...]:
    """The previous locks where nothing that they depend on has changed; empty when they have to be made anew."""
    if options.upgrade or options.upgrade_packages:
        return ()
    pairs = [(previous[request.key], request) for request in requests if request.key in previous]
    same = [
        lock for lock, request in pairs if (lock.inputs, lock.base.reference) == (lock_inputs(request), request.base)
    ]
    return tuple(same) if len(same) == len(requests) else ()


def _reasons(
    requests: Sequence[LockRequest], options: Options, previous: Previous, solutions: Solutions
) -> dict[tuple[str, str], Reasons]:
    upgraded = frozenset(canonicalize_name(name) for name in options.upgrade_packages)
    graphs = [(request, Graph(request, solutions[request.key])) for request in requests]
    return {
        request.key: reasons_of(
            request, solutions[request.key], graphs, upgraded=upgraded, previous=previous.get(request.key)
        )
        for request in requests
    }


def _unforced(
    requests: Sequence[LockRequest], previous: Previous, reasons: Mapping[tuple[str, str], Reasons]
) -> frozenset[NormalizedName]:
    """Packages that move only because they did in the previous lock: what required it is gone."""
    found: set[NormalizedName] = set()
    for request in requests:
        before = previous.get(request.key)
        moved = {move.name for move in before.moves if move.because != (UPGRADED,)} if before else set()
        found |= {name for name, because in reasons[request.key].items() if name in moved and not because}
    return frozenset(found)
