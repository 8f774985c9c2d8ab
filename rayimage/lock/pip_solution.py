"""What pip-compile pinned, as packages with files: pip's installation report for what is new, the base for the rest.

The report (https://pip.pypa.io/en/stable/reference/installation-report/) names the file that pip would install, its
hash and its metadata. The base's packages are not asked for: their stubs stay out of every lock.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from packaging.requirements import Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from rayimage.errors import LockError
from rayimage.lock._metadata import parse_requires
from rayimage.lock.classify import provides
from rayimage.lock.engine import PackageFile, Question, ResolvedPackage
from rayimage.lock.explain import redact
from rayimage.lock.stubs import stub_requires
from rayimage.lock.target import Target, applies
from rayimage.model.digest import Digest

__all__ = ["Found", "packages", "provided", "read_report", "told_apart"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A package of a solution with its requirements as its metadata has them; ``file`` is None for the base's own."""

    name: NormalizedName
    version: Version
    requires: tuple[Requirement, ...]
    python: str = ""
    file: PackageFile | None = None
    direct: bool = False


def provided(requirement: Requirement, question: Question) -> Found | None:
    """The pinned package as a base has it; None when no base does, or when a file was asked for."""
    (pin,) = requirement.specifier or (None,)
    if requirement.url or pin is None:
        return None
    name, version = canonicalize_name(requirement.name), Version(pin.version)
    for base in question.bases:
        installed = base.by_name.get(name)
        if installed and provides(installed.version, version):
            requires = tuple(stub_requires(installed, base, question.target))
            return Found(name=name, version=version, requires=requires)
    return None


def read_report(text: str) -> tuple[Found, ...]:
    """The packages of a report; raises LockError for what cannot be read, and for what would have to be built."""
    try:
        items = json.loads(text)["install"]
        return tuple(_found(item) for item in items)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LockError("pip's answer cannot be read", why=str(error), fix="use another version of pip") from error


def _found(item: Mapping[str, object]) -> Found:
    info, metadata = item["download_info"], item["metadata"]
    if not isinstance(info, dict) or not isinstance(metadata, dict):
        raise TypeError("download_info and metadata must be objects")
    name, url = canonicalize_name(metadata["name"]), redact(str(info["url"]))
    filename = unquote(urlsplit(url).path.rpartition("/")[2])
    if "archive_info" not in info or not filename.endswith(".whl"):
        raise LockError(
            f"{name} would have to be built",
            why="it is required from a directory, a repository or a source archive, and only wheels are installed",
            fix=f"build a wheel of {name} and require that file, or give its directory with --find-links",
        )
    digest = (info["archive_info"].get("hashes") or {}).get("sha256")
    size = item.get("size")
    return Found(
        name=name,
        version=Version(metadata["version"]),
        requires=parse_requires(metadata.get("requires_dist", ())),
        python=metadata.get("requires_python", ""),
        file=PackageFile(
            filename=filename,
            url=url,
            digest=Digest(digest) if digest else None,
            size=size if isinstance(size, int) else None,
        ),
        direct=bool(item.get("is_direct")),
    )


def packages(
    found: Sequence[Found], direct: Sequence[Requirement], environment: Mapping[str, str]
) -> tuple[ResolvedPackage, ...]:
    """The solution as an engine gives it, sorted by name; ``direct`` are the user's own requirements."""
    extras = _extras(found, direct, environment)
    return tuple(
        ResolvedPackage(
            name=each.name,
            version=each.version,
            wheels=(each.file,) if each.file else (),
            direct=each.direct,
            requires=_requires(each, extras[each.name], environment),
        )
        for each in sorted(found, key=lambda each: each.name)
    )


def _requires(found: Found, extras: frozenset[str], environment: Mapping[str, str]) -> tuple[str, ...]:
    texts = set()
    for requirement in found.requires:
        name = canonicalize_name(requirement.name)
        if name != found.name and applies(requirement, environment, extras):
            asked = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
            texts.add(f"{name}{asked}{requirement.specifier}")
    return tuple(sorted(texts))


def told_apart(found: Sequence[Found], direct: Sequence[Requirement], python: Version, target: Target) -> str:
    """What in a solution found with Python ``python`` is otherwise for the base's patch version; empty when nothing.

    The patch version counts where an environment marker (``python_full_version < '3.11.3'``) or a Requires-Python of
    the solution tells the two apart, and nowhere else: without such a one, the solution is one for the base as well.
    """
    if python == target.python:
        return ""
    there = target.environment
    here = {**there, "python_full_version": str(python), "implementation_version": str(python)}
    extras = _extras(found, direct, here)
    for who, requirement, wanted in (
        *(("the project", requirement, frozenset[str]()) for requirement in direct),
        *(
            (f"{each.name} {each.version}", requirement, extras[each.name])
            for each in found
            for requirement in each.requires
        ),
    ):
        if applies(requirement, here, wanted) != applies(requirement, there, wanted):
            return f"{who} requires {redact(str(requirement))}"
    for each in found:
        if not _allows(each.python, target.python):
            return f"{each.name} {each.version} requires Python {each.python}"
    return ""


def _extras(
    found: Iterable[Found], direct: Iterable[Requirement], environment: Mapping[str, str]
) -> dict[NormalizedName, frozenset[str]]:
    """The extras that each package is wanted with, by the user or by another package."""
    by_name = {each.name: each for each in found}
    wanted: dict[NormalizedName, frozenset[str]] = dict.fromkeys(by_name, frozenset())
    pending = [(requirement, frozenset[str]()) for requirement in direct]
    pending += [(requirement, frozenset[str]()) for each in by_name.values() for requirement in each.requires]
    while pending:
        requirement, extras = pending.pop()
        name = canonicalize_name(requirement.name)
        if name in wanted and not requirement.extras <= wanted[name] and applies(requirement, environment, extras):
            wanted[name] |= requirement.extras
            pending += [(inner, wanted[name]) for inner in by_name[name].requires]
    return wanted


def _allows(specifier: str, python: Version) -> bool:
    try:
        return SpecifierSet(specifier).contains(python, prereleases=True)
    except InvalidSpecifier:
        return True  # as pip does
