"""A role's lock as a file: pylock.toml (PEP 751), its packages the wheels that go in, the rest in [tool.rayimage].

The text is a function of the lock and of where the file lies: same lock, same bytes, so a diff shows what changed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.pylock import Package, Pylock, PylockValidationError
from packaging.utils import canonicalize_name
from packaging.version import Version

from rayimage.errors import LockError, UsageError
from rayimage.lock._toml import inline, loads, string
from rayimage.lock.request import LOCK_FORMAT
from rayimage.lock.target import MACHINES
from rayimage.model.digest import Digest
from rayimage.model.lock import BaseIdentity, LockedWheel, Move, Provided, RoleLock
from rayimage.model.platform import Platform

__all__ = ["lock_path", "read_lock", "write_lock"]


def lock_path(directory: Path, role: str, platform: Platform) -> Path:
    """Where a role's lock lies: ``pylock.<role>-<arch>.toml``, a name that PEP 751 allows."""
    arch = "-".join(filter(None, (platform.architecture, platform.variant)))
    return directory / f"pylock.{role.replace('.', '-')}-{arch}.toml"


def write_lock(lock: RoleLock, file: Path) -> bool:
    """Write the lock, at once or not at all; False when the file already says the same. Raises LockError."""
    text = "\n".join(_lines(lock, file.absolute().parent)) + "\n"
    try:
        if file.exists() and file.read_bytes() == text.encode():
            return False
        file.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=file.parent, prefix=".pylock-", delete=False) as scratch:
            scratch.write(text.encode())
        scratch_path = Path(scratch.name)
        try:
            scratch_path.chmod(0o644)
            scratch_path.replace(file)
        except OSError:
            scratch_path.unlink()
            raise
    except OSError as error:
        raise LockError(f"cannot write {file}", why=str(error), fix="make the directory writable") from error
    return True


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
        yield f"wheels = [{inline(_wheel(wheel, directory))}]"
    yield from ("", "[tool.rayimage]", f"format = {LOCK_FORMAT}", f"role = {string(lock.role)}")
    yield f"platform = {string(str(lock.platform))}"
    yield f"inputs = {string(str(lock.inputs))}"
    moves = [{"name": m.name, "old": str(m.old), "new": str(m.new)} for m in lock.moves]
    yield from _array("moves", moves)
    yield from _array("provided", [{"name": p.name, "version": str(p.version)} for p in lock.provided])
    base = lock.base
    yield from ("", "[tool.rayimage.base]", f"reference = {string(base.reference)}")
    yield from (f"digest = {string(str(base.digest))}", f'ray = "{base.ray}"', f'python = "{base.python}"')


def _array(key: str, tables: list[dict[str, str]]) -> Iterator[str]:
    yield f"{key} = [" if tables else f"{key} = []"
    if tables:
        yield from (f"    {inline(table)}," for table in tables)
        yield "]"


def _wheel(wheel: LockedWheel, directory: Path) -> dict[str, str | int | Mapping[str, str]]:
    table: dict[str, str | int | Mapping[str, str]] = {"name": wheel.filename}
    url = urlsplit(wheel.url)
    if url.scheme not in ("", "file"):
        table["url"] = wheel.url
    else:
        table["path"] = _relative(Path(unquote(url.path) or wheel.filename), directory)
    if wheel.size is not None:
        table["size"] = wheel.size
    return table | {"hashes": {"sha256": wheel.digest.hex}}


def _relative(path: Path, directory: Path) -> str:
    """A wheel of the project is named relative to the lock, so that another checkout finds it too."""
    relative = Path(os.path.relpath(directory / path, directory))
    beside = relative.parts[:2] != ("..", "..")
    return (relative if beside else path).as_posix()


def read_lock(file: Path) -> RoleLock:
    """Read a lock back; raises LockError for what is damaged, foreign or of a newer format."""
    fix = "write it anew: rayimage lock"
    try:
        data = loads(file.read_text(encoding="utf-8"))
        ours = data.get("tool", {}).get("rayimage")
        if not isinstance(ours, dict):
            raise LockError(f"{file} is not a lock of rayimage", why="it has no [tool.rayimage] table", fix=fix)
        _check_format(file, ours.get("format"))
        return _lock(Pylock.from_dict(data), ours, file.absolute().parent)
    except FileNotFoundError as error:
        raise LockError(f"there is no lock {file}", why="it was not written yet", fix="run: rayimage lock") from error
    except OSError as error:
        raise LockError(f"cannot read {file}", why=str(error), fix="make the file readable") from error
    except KeyError as error:
        raise LockError(f"{file} is damaged", why=f"{error.args[0]} is missing", fix=fix) from error
    except (ValueError, TypeError, AttributeError, UsageError, PylockValidationError) as error:
        raise LockError(f"{file} is damaged", why=str(error), fix=fix) from error


def _check_format(file: Path, number: object) -> None:
    if isinstance(number, int) and number > LOCK_FORMAT:
        raise LockError(
            f"{file} is of a newer format",
            why=f"it has format {number}, this rayimage reads up to {LOCK_FORMAT}",
            fix="install the rayimage that wrote it",
        )
    if number != LOCK_FORMAT:
        raise LockError(f"{file} is damaged", why=f"format is {number!r}", fix="write it anew: rayimage lock")


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
            Move(name=canonicalize_name(m["name"]), old=Version(m["old"]), new=Version(m["new"])) for m in ours["moves"]
        ),
    )


def _locked_wheel(package: Package, directory: Path) -> LockedWheel:
    if package.version is None or not package.wheels or len(package.wheels) != 1:
        raise ValueError(f"package {package.name} is not one wheel of one version")
    wheel = package.wheels[0]
    return LockedWheel(
        name=package.name,
        version=package.version,
        filename=wheel.filename,
        digest=Digest(wheel.hashes["sha256"]),
        size=wheel.size,
        url=wheel.url or Path(os.path.normpath(directory / (wheel.path or ""))).as_uri(),
    )
