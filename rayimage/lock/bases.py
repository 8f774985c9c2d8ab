"""What bases and requirements must agree on before anything is resolved: Ray, Python, and pinned base packages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from packaging.requirements import Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from rayimage.errors import LockError
from rayimage.lock.explain import redact
from rayimage.lock.request import LockRequest, Options
from rayimage.lock.target import Target, applies
from rayimage.model.inventory import Distribution

__all__ = ["check_bases", "check_pins"]


def check_bases(requests: Sequence[LockRequest]) -> None:
    """One Ray and one Python in the cluster, and no requirement that asks for another Ray."""
    for request in requests:
        _check_same(requests[0], request, "Ray", lambda each: str(each.ray.version))
        _check_same(requests[0], request, "Python", lambda each: Target.of(each.inventory).minor)
        _check_python(request)
        for requirement in _applying(request):
            if canonicalize_name(requirement.name) == "ray":
                _check_ray(request, requirement)


def check_pins(requests: Sequence[LockRequest], options: Options) -> None:
    """No requirement that contradicts a base under ``base-packages = "pin"``, and no upgrade of a pinned package."""
    upgraded = {canonicalize_name(name) for name in options.upgrade_packages}
    for request in requests:
        if request.rules.base_packages != "pin":
            continue
        for name in sorted(upgraded & request.inventory.by_name.keys()):
            raise LockError(
                f"{name} cannot be upgraded",
                why=f"{request.base} has {name} {request.inventory.by_name[name].version}, and "
                'base-packages = "pin" holds it there',
                fix='choose another base, or set base-packages = "prefer"',
            )
        for requirement in _applying(request):
            installed = request.inventory.by_name.get(canonicalize_name(requirement.name))
            if installed and installed.name != "ray" and not _met(requirement, installed):
                raise LockError(
                    f"role {request.role} requires another {installed.name} than its base has",
                    why=f"the requirement is {redact(str(requirement))}, the base {request.base} has {installed.name} "
                    f'{installed.version}, and base-packages = "pin" holds it there',
                    fix='relax the requirement, choose another base, or set base-packages = "prefer"',
                )


def _met(requirement: Requirement, installed: Distribution) -> bool:
    return not requirement.url and requirement.specifier.contains(installed.version, prereleases=True)


def _applying(request: LockRequest) -> Iterator[Requirement]:
    """The direct requirements whose marker is true in the request's base."""
    environment = Target.of(request.inventory).environment
    return (requirement for requirement in request.specs.requirements if applies(requirement, environment))


def _check_same(first: LockRequest, other: LockRequest, what: str, version: Callable[[LockRequest], str]) -> None:
    if version(first) != version(other):
        has = (f"{request.base} ({request.role}) has {version(request)}" for request in (first, other))
        raise LockError(
            f"the roles' bases have different {what} versions",
            why=", ".join(has),
            fix=f"choose bases of one {what} version: nodes of another one cannot join the cluster",
        )


def _check_python(request: LockRequest) -> None:
    """Specs that are for other Pythons than the base's would fail later, and less clearly."""
    for file, versions in request.specs.python.items():
        try:
            fits = SpecifierSet(versions).contains(request.inventory.python, prereleases=True)
        except InvalidSpecifier:
            fits = True  # Poetry's notation, for instance: the resolver has the last word.
        if not fits:
            raise LockError(
                f"{file} is not for the Python of role {request.role}",
                why=f"it is for Python {versions}, the base {request.base} has Python {request.inventory.python}",
                fix="choose a base with such a Python, or widen requires-python and lock there again",
            )


def _check_ray(request: LockRequest, requirement: Requirement) -> None:
    ray = request.ray
    if not _met(requirement, ray):
        text, place = redact(str(requirement)), request.specs.origins.get(str(requirement))
        where = f" in {place}" if place else ""
        raise LockError(
            f"role {request.role} requires another Ray than its base has",
            why=f"the requirement{where} is {text}, the base {request.base} has Ray {ray.version}",
            fix=f"require ray=={ray.version} (or just ray), or choose a base of the version required",
        )
