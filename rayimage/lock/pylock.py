"""A role's lock as a file: pylock.toml (PEP 751), its packages the wheels that go in, the rest in [tool.rayimage].

The text is a function of the lock and of where the file lies: same lock, same bytes, so a diff shows what changed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.pylock import (
    Package,
    PackageArchive,
    PackageSdist,
    PackageVcs,
    PackageWheel,
    Pylock,
    PylockValidationError,
)
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from rayimage.errors import LockError, UsageError
from rayimage.files import locked, write_atomic
from rayimage.lock._toml import Value, array, inline, loads, string
from rayimage.lock.request import LOCK_FORMAT
from rayimage.model.digest import Digest
from rayimage.model.lock import BaseIdentity, LockedSource, LockedWheel, Move, Provided, RoleLock
from rayimage.model.platform import MACHINES, Platform

__all__ = ["NewerFormat", "lock_path", "read_lock", "read_previous", "write_lock", "write_locks"]

_CONTENT = re.compile(r'^content = "([^"\n]*)"\n', re.MULTILINE)
_ANEW = "write it anew: rayimage lock"
_NOT_FRESH = Digest.of(b"")
"""Inputs that no request has: what is known of a lock counts, but it is not taken for the answer."""


def lock_path(directory: Path, role: str, platform: Platform) -> Path:
    """Where a role's lock lies: ``pylock.<role>-<arch>.toml``, a name that PEP 751 allows."""
    arch = "-".join(filter(None, (platform.architecture, platform.variant)))
    return directory / f"pylock.{role.replace('.', '-')}-{arch}.toml"


def write_lock(lock: RoleLock, file: Path) -> bool:
    """Write the lock, at once or not at all; False when the file already says the same. Raises LockError."""
    text = _sealed("\n".join(_lines(lock, file.absolute().parent)) + "\n")
    try:
        if file.exists() and file.read_bytes() == text.encode():
            return False
        write_atomic(file, text.encode(), mode=0o644)
    except OSError as error:
        raise LockError(f"cannot write {file}", why=str(error), fix="make the directory writable") from error
    return True


def write_locks(locks: Mapping[Path, RoleLock], directory: Path) -> tuple[Path, ...]:
    """Write all the locks of a project below ``directory``; gives the files that changed. Raises LockError.

    Whoever reads them under a shared lock of the directory (``files.locked``) sees all of them or none.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with locked(directory):
            return tuple(file for file, lock in locks.items() if write_lock(lock, file))
    except OSError as error:
        raise LockError(f"cannot write to {directory}", why=str(error), fix="make the directory writable") from error


def _lines(lock: RoleLock, directory: Path) -> Iterator[str]:
    yield 'lock-version = "1.0"'
    machine = MACHINES.get(lock.platform.architecture, lock.platform.architecture)
    marker = f"sys_platform == '{lock.platform.os}' and platform_machine == '{machine}'"
    yield f"environments = [{string(marker)}]"
    yield f'requires-python = "=={lock.base.python.major}.{lock.base.python.minor}.*"'
    yield 'created-by = "rayimage"'
    if not lock.wheels:
        yield "packages = []"
    for wheel in lock.wheels:
        yield from ("", "[[packages]]", f"name = {string(wheel.name)}", f"version = {string(str(wheel.version))}")
        if wheel.dependencies:
            names: list[Mapping[str, str]] = [{"name": name} for name in wheel.dependencies]
            yield f"dependencies = {array(names)}"
        if wheel.directory is None and wheel.source is None:
            yield f"wheels = [{inline(_wheel(wheel, directory))}]"
            continue
        # Another checkout has the source, not the wheel: that is built there, too.
        if wheel.source:
            yield _source(wheel.source, directory)
        elif wheel.directory:
            yield f"directory = {inline({'path': Path(os.path.relpath(wheel.directory, directory)).as_posix()})}"
        yield from ("", "[packages.tool.rayimage]", f"wheel = {inline(_identity(wheel))}")
    yield from ("", "[tool.rayimage]", f"format = {LOCK_FORMAT}", f"role = {string(lock.role)}")
    yield f"platform = {string(str(lock.platform))}"
    yield f"inputs = {string(str(lock.inputs))}"
    yield from _array("specs", [{"file": file, "digest": str(digest)} for file, digest in lock.specs])
    yield from _array("moves", [_move(move) for move in lock.moves])
    yield from _array("provided", [{"name": p.name, "version": str(p.version)} for p in lock.provided])
    base = lock.base
    yield from ("", "[tool.rayimage.base]", f"reference = {string(base.reference)}")
    yield from (f"digest = {string(str(base.digest))}", f'ray = "{base.ray}"', f'python = "{base.python}"')


def _sealed(text: str) -> str:
    """The text with a digest of itself in [tool.rayimage], by which an edit by hand is noticed."""
    return text.replace("[tool.rayimage]\n", f'[tool.rayimage]\ncontent = "{Digest.of(text.encode())}"\n', 1)


def _is_sealed(text: str) -> bool:
    found = _CONTENT.search(text)
    return found is not None and found[1] == str(Digest.of(_CONTENT.sub("", text, count=1).encode()))


def _move(move: Move) -> dict[str, Value]:
    table: dict[str, Value] = {"name": move.name, "old": str(move.old), "new": str(move.new)}
    return table | ({"because": list(move.because)} if move.because else {})


def _array(key: str, tables: Sequence[Mapping[str, Value]]) -> Iterator[str]:
    yield f"{key} = [" if tables else f"{key} = []"
    if tables:
        yield from (f"    {inline(table)}," for table in tables)
        yield "]"


def _wheel(wheel: LockedWheel, directory: Path) -> dict[str, Value]:
    table: dict[str, Value] = {}
    url = urlsplit(wheel.url)
    if url.scheme not in ("", "file"):
        table["url"] = wheel.url
    else:
        table["path"] = _relative(Path(unquote(url.path) or wheel.filename), directory)
    name, *rest = _identity(wheel).items()
    return dict([name, *table.items(), *rest])


def _source(source: LockedSource, directory: Path) -> str:
    """What a wheel is built from, as PEP 751 has it: a commit, an archive, or a version's sdist."""
    place: dict[str, Value] = {"url": source.url}
    if (url := urlsplit(source.url)).scheme == "file":
        place = {"path": _relative(Path(unquote(url.path)), directory)}
    inside: dict[str, Value] = {"subdirectory": source.subdirectory} if source.subdirectory else {}
    if source.commit:
        return f"vcs = {inline({'type': 'git', **place, 'commit-id': source.commit, **inside})}"
    size: dict[str, Value] = {} if source.size is None else {"size": source.size}
    hashes: dict[str, Value] = {"hashes": {"sha256": source.digest.hex}} if source.digest else {}
    if source.direct:
        return f"archive = {inline({**place, **size, **hashes, **inside})}"
    return f"sdist = {inline({'name': source.filename, **place, **size, **hashes})}"


def _identity(wheel: LockedWheel) -> dict[str, Value]:
    """A wheel's file without its place."""
    size: dict[str, Value] = {} if wheel.size is None else {"size": wheel.size}
    return {"name": wheel.filename, **size, "hashes": {"sha256": wheel.digest.hex}}


def _relative(path: Path, directory: Path) -> str:
    """A wheel of the project is named relative to the lock, so that another checkout finds it too."""
    relative = Path(os.path.relpath(directory / path, directory))
    beside = relative.parts[:2] != ("..", "..")
    return (relative if beside else path).as_posix()


def read_lock(file: Path) -> RoleLock:
    """Read a lock back.

    Raises LockError for what is damaged, edited by hand, foreign, or of an older or newer format.
    """
    lock, complaint = _read(file)
    if complaint:
        raise complaint
    return lock


def read_previous(file: Path) -> tuple[RoleLock | None, str]:
    """What a lock to be replaced says about earlier choices, and what is wrong with it (empty: nothing).

    A lock of an older format and one edited by hand still say which versions were chosen, but they are stale to any
    request; of a damaged one nothing is taken. Raises LockError for a newer format: who writes over that loses
    something.
    """
    if not file.exists():
        return None, ""
    try:
        lock, complaint = _read(file)
    except NewerFormat:
        raise
    except LockError as error:
        return None, str(error)
    return (replace(lock, inputs=_NOT_FRESH), str(complaint)) if complaint else (lock, "")


class NewerFormat(LockError):
    """A lock that a later rayimage wrote."""


def _read(file: Path) -> tuple[RoleLock, LockError | None]:
    """The lock, and an error where it can be read but must not be relied on."""
    fix = _ANEW
    try:
        text = file.read_text(encoding="utf-8")
        data = loads(text)
        ours = data.get("tool", {}).get("rayimage")
        if not isinstance(ours, dict):
            raise LockError(f"{file} is not a lock of rayimage", why="it has no [tool.rayimage] table", fix=fix)
        complaint = _check_format(file, ours.get("format")) or _check_seal(file, text)
        return _lock(Pylock.from_dict(data), ours, file.absolute().parent), complaint
    except FileNotFoundError as error:
        raise LockError(f"there is no lock {file}", why="it was not written yet", fix="run: rayimage lock") from error
    except OSError as error:
        raise LockError(f"cannot read {file}", why=str(error), fix="make the file readable") from error
    except KeyError as error:
        raise LockError(f"{file} is damaged", why=f"{error.args[0]} is missing", fix=fix) from error
    except (ValueError, TypeError, AttributeError, UsageError, PylockValidationError) as error:
        raise LockError(f"{file} is damaged", why=str(error), fix=fix) from error


def _check_format(file: Path, number: object) -> LockError | None:
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise LockError(f"{file} is damaged", why=f"format is {number!r}", fix=_ANEW)
    if number > LOCK_FORMAT:
        raise NewerFormat(
            f"{file} is of a newer format",
            why=f"it has format {number}, this rayimage reads up to {LOCK_FORMAT}",
            fix="install the rayimage that wrote it",
        )
    if number < LOCK_FORMAT:
        why = f"it has format {number}, this rayimage writes {LOCK_FORMAT}"
        return LockError(f"{file} is of an older format", why=why, fix=_ANEW)
    return None


def _check_seal(file: Path, text: str) -> LockError | None:
    if _is_sealed(text):
        return None
    return LockError(
        f"{file} is not what rayimage wrote",
        why="it was edited by hand, reformatted or merged since: its content has another digest than it says",
        fix="change the requirements instead, then run: rayimage lock",
    )


def _lock(pylock: Pylock, ours: Mapping[str, Any], directory: Path) -> RoleLock:
    base = ours["base"]
    return RoleLock(
        role=ours["role"],
        platform=Platform.parse(ours["platform"]),
        base=BaseIdentity(
            reference=base["reference"],
            digest=Digest.parse(base["digest"]),
            ray=Version(base["ray"]),
            python=Version(base["python"]),
        ),
        inputs=Digest.parse(ours["inputs"]),
        wheels=tuple(_locked_wheel(package, directory) for package in pylock.packages),
        provided=tuple(Provided(canonicalize_name(p["name"]), Version(p["version"])) for p in ours["provided"]),
        moves=tuple(
            Move(
                name=canonicalize_name(m["name"]),
                old=Version(m["old"]),
                new=Version(m["new"]),
                because=tuple(map(str, m.get("because", ()))),
            )
            for m in ours["moves"]
        ),
        specs=tuple((str(spec["file"]), Digest.parse(spec["digest"])) for spec in ours.get("specs", ())),
    )


def _locked_wheel(package: Package, directory: Path) -> LockedWheel:
    if package.version is not None and package.directory is not None:
        folder = Path(os.path.normpath(directory / package.directory.path))
        return replace(_own_wheel(package, package.version), directory=folder)
    if package.version is not None and (source := _locked_source(package, directory)):
        return replace(_own_wheel(package, package.version), source=source)
    if package.version is None or not package.wheels or len(package.wheels) != 1:
        raise ValueError(f"package {package.name} is not one wheel of one version")
    wheel = package.wheels[0]
    return LockedWheel(
        name=package.name,
        version=package.version,
        filename=wheel.filename,
        digest=Digest(wheel.hashes["sha256"]),
        size=wheel.size,
        url=_url(wheel, directory),
        dependencies=_dependencies(package),
    )


def _locked_source(package: Package, directory: Path) -> LockedSource | None:
    if vcs := package.vcs:
        place, url = vcs.subdirectory or "", _url(vcs, directory)
        return LockedSource(url=url, commit=vcs.commit_id, subdirectory=place, direct=True)
    found = package.archive or (package.sdist if not package.wheels else None)
    if found is None:
        return None
    url = _url(found, directory)
    return LockedSource(
        url=url,
        filename=getattr(found, "name", None) or unquote(urlsplit(url).path.rpartition("/")[2]),
        digest=Digest(found.hashes["sha256"]),
        size=found.size,
        subdirectory=getattr(found, "subdirectory", None) or "",
        direct=package.archive is not None,
    )


def _url(place: PackageVcs | PackageArchive | PackageSdist | PackageWheel, directory: Path) -> str:
    return place.url or Path(os.path.normpath(directory / (place.path or ""))).as_uri()


def _own_wheel(package: Package, version: Version) -> LockedWheel:
    """The wheel that was built here; the lock's own packages have one in [packages.tool.rayimage]."""
    wheel = ((package.tool or {}).get("rayimage") or {})["wheel"]
    return LockedWheel(
        name=package.name,
        version=version,
        filename=wheel["name"],
        digest=Digest(wheel["hashes"]["sha256"]),
        size=wheel.get("size"),
        dependencies=_dependencies(package),
    )


def _dependencies(package: Package) -> tuple[NormalizedName, ...]:
    return tuple(canonicalize_name(each["name"]) for each in package.dependencies or ())
