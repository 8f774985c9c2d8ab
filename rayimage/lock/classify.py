"""A solution seen from the base: what it provides, what is added, what moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from urllib.parse import unquote, urlsplit

from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from rayimage.errors import LockError
from rayimage.lock._metadata import parse_requires
from rayimage.lock.engine import PackageFile, ResolvedPackage
from rayimage.lock.environment import wheel_requires
from rayimage.lock.hashes import confirm, confirm_source, vouched_for
from rayimage.lock.request import LockRequest, lock_inputs
from rayimage.lock.target import Target, applies, best_wheel
from rayimage.model.building import BuildWheel, BuiltWheel
from rayimage.model.digest import Digest
from rayimage.model.lock import BaseIdentity, LockedSource, LockedWheel, Move, Provided, RoleLock

__all__ = ["provides", "role_lock"]


def provides(installed: Version, wanted: Version) -> bool:
    """Whether the base's copy is the version wanted.

    As in PEP 440's ``==``: a version without a local label is met by any (``2.7.1`` by ``2.7.1+cu128``), one with a
    label only by the same.
    """
    return installed == wanted or (wanted.local is None and Version(installed.public) == wanted)


def role_lock(
    request: LockRequest,
    packages: tuple[ResolvedPackage, ...],
    because: Mapping[NormalizedName, tuple[str, ...]] = MappingProxyType({}),
    *,
    build: BuildWheel | None = None,
) -> RoleLock:
    """The lock that a solution amounts to, with the reasons of its moves; ``build`` makes wheels of sources.

    Raises LockError for Ray itself moving, or no fitting wheel.
    """
    ray = request.ray.version
    target = Target.of(request.inventory)
    wheels: list[LockedWheel] = []
    directories = {package.name: package.directory for package in request.specs.local}
    provided: list[Provided] = []
    moves: list[Move] = []
    for package in sorted(packages, key=lambda package: package.name):
        installed = request.inventory.by_name.get(package.name)
        if package.name == "ray" and (package.direct or not provides(ray, package.version)):
            raise LockError(
                f"Ray would move in {request.subject}",
                why=f"the base has Ray {ray}, the resolver took {package.version}",
                fix="remove what overrides Ray's version (a URL, UV_OVERRIDE), or choose another base",
            )
        # A file asked for by URL or path is meant, even where the base has the same version.
        if installed and not package.direct and provides(installed.version, package.version):
            provided.append(Provided(package.name, installed.version))
            continue
        if package.source and build:
            wheels.append(_built_wheel(package, package.source, target, request, build))
        else:
            wheel = _locked_wheel(vouched_for(package, request.specs), target, request.subject)
            wheels.append(replace(confirm(wheel, request.specs), directory=directories.get(package.name)))
        if installed:
            reason = because.get(package.name, ())
            moves.append(Move(name=package.name, old=installed.version, new=package.version, because=reason))
    return RoleLock(
        role=request.role,
        platform=request.platform,
        base=BaseIdentity(
            reference=request.base, digest=request.inventory.image, ray=ray, python=request.inventory.python
        ),
        inputs=lock_inputs(request),
        wheels=_with_dependencies(wheels, packages),
        provided=tuple(provided),
        moves=tuple(moves),
        specs=request.specs.files,
    )


def _with_dependencies(wheels: Sequence[LockedWheel], packages: Sequence[ResolvedPackage]) -> tuple[LockedWheel, ...]:
    """The wheels, each with the names of those among them that it requires."""
    names = {wheel.name for wheel in wheels}
    required = {
        package.name: {canonicalize_name(each.name) for each in parse_requires(package.requires or ())}
        for package in packages
    }
    return tuple(replace(w, dependencies=tuple(sorted(names & required[w.name] - {w.name}))) for w in wheels)


def _locked_wheel(package: ResolvedPackage, target: Target, subject: str) -> LockedWheel:
    files = {file.filename: file for file in reversed(package.wheels)}
    chosen = best_wheel((file.filename for file in package.wheels), target)
    if chosen is None:
        source = package.sdist or (str(package.source) if package.source else "")
        exist = [file.filename for file in package.wheels] + ([source] if source else [])
        build = (
            f"build a wheel of {package.sdist}" if package.sdist else "make a wheel of its sources (there is no sdist)"
        )
        raise LockError(
            f"{package.name} {package.version} has no wheel for {target}, needed by {subject}",
            why=f"there are only {', '.join(exist)}" if exist else "there are no files of this version",
            fix=f"allow another version, or {build} and give its directory with --find-links",
        )
    file = _measured(files[chosen])
    if file.digest is None:
        raise LockError(
            f"{package.name} {package.version} cannot be locked",
            why=f"the index gives no sha256 of {file.filename}",
            fix="use an index that does, or download the wheel and give its directory with --find-links",
        )
    return LockedWheel(
        name=package.name,
        version=package.version,
        filename=file.filename,
        digest=file.digest,
        size=file.size,
        url=file.url,
    )


def _built_wheel(
    package: ResolvedPackage, source: LockedSource, target: Target, request: LockRequest, build: BuildWheel
) -> LockedWheel:
    """The wheel of a source, built; its own requirements must be those that were resolved."""
    if not source.commit:
        source = _with_digest(package, source)
        confirm_source(package, source, request.specs)
    built = build(package.name, package.version, source)
    if best_wheel([built.filename], target) is None:
        raise LockError(
            f"{package.name} {package.version}, built from {source}, does not fit {target}",
            why=f"its wheel is {built.filename}",
            fix="see how its build backend chooses the tags",
        )
    _check_requirements(package, built, target, source)
    return LockedWheel(
        name=package.name,
        version=package.version,
        filename=built.filename,
        digest=built.digest,
        size=built.size,
        url=built.path.as_uri(),
        source=source,
    )


def _with_digest(package: ResolvedPackage, source: LockedSource) -> LockedSource:
    file = PackageFile(filename=source.filename, url=source.url, digest=source.digest, size=source.size)
    file = _measured(file)
    if file.digest is None:
        raise LockError(
            f"{package.name} {package.version} cannot be locked",
            why=f"nothing gives a sha256 of {source}",
            fix=f"add one to its URL: {source.url}#sha256=…",
        )
    return replace(source, digest=file.digest, size=file.size)


def _check_requirements(package: ResolvedPackage, built: BuiltWheel, target: Target, source: LockedSource) -> None:
    """Resolvers read a source's requirements on this machine; another one may have others."""
    if package.requires is None:
        return
    known = {canonicalize_name(each.name) for each in parse_requires(package.requires)}
    environment = target.environment
    for requirement in parse_requires(wheel_requires(built.path)):
        if applies(requirement, environment) and canonicalize_name(requirement.name) not in known | {package.name}:
            raise LockError(
                f"{package.name} {package.version} requires other packages in the image than on this machine",
                why=f"built from {source}, it requires {requirement}, which was not resolved",
                fix=f"require {requirement.name} as well",
            )


def _measured(file: PackageFile) -> PackageFile:
    """A local file's size, and its hash where the resolver gave none."""
    url = urlsplit(file.url)
    if url.scheme != "file" or (file.digest and file.size is not None):
        return file
    path = Path(unquote(url.path))
    try:
        return replace(file, digest=file.digest or Digest.of_file(path), size=path.stat().st_size)
    except OSError as error:
        raise LockError(f"cannot read wheel {path}", why=str(error), fix="put it back, or lock again") from error
