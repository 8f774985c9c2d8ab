"""What was installed into a role's base, as a file beside its lock: ``system.<role>-<arch>.toml``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rayimage.errors import LockError, UsageError
from rayimage.files import write_atomic
from rayimage.lock._toml import inline, loads, string
from rayimage.model.digest import Digest
from rayimage.model.platform import Platform
from rayimage.model.system import LockedStep, SystemLock, SystemStep

__all__ = ["fits", "read_system_lock", "system_lock_path", "write_system_lock"]

_FORMAT = 1


def system_lock_path(directory: Path, role: str, platform: Platform) -> Path:
    """Where it lies."""
    arch = "-".join(filter(None, (platform.architecture, platform.variant)))
    return directory / f"system.{role.replace('.', '-')}-{arch}.toml"


def fits(lock: SystemLock, base: Digest, steps: Sequence[SystemStep]) -> bool:
    """Whether ``lock`` is one of ``steps`` on the image ``base``."""
    below, keys = base, []
    for step in steps:
        below = step.key(below)
        keys.append(below)
    return lock.base == base and [step.key for step in lock.steps] == keys


def write_system_lock(lock: SystemLock, file: Path) -> bool:
    """Write the lock; False when the file says the same already. Raises LockError."""
    data = ("\n".join(_lines(lock)) + "\n").encode()
    try:
        if file.exists() and file.read_bytes() == data:
            return False
        write_atomic(file, data, mode=0o644)
    except OSError as error:
        raise LockError(f"cannot write {file}", why=str(error), fix="make the directory writable") from error
    return True


def _lines(lock: SystemLock) -> Iterator[str]:
    yield "# What rayimage ran on a base image, and what came of it. Written by: rayimage lock"
    yield f"format = {_FORMAT}"
    yield from (f"base = {string(lock.reference)}", f"base-digest = {string(str(lock.base))}")
    yield f"digest = {string(str(lock.image))}"
    for step in lock.steps:
        yield from ("", "[[steps]]", f"title = {string(step.title)}", f"key = {string(str(step.key))}")
        yield f"layer = {inline({'digest': str(step.layer), 'size': step.size, 'diff-id': str(step.diff_id)})}"
        yield "packages = [" if step.packages else "packages = []"
        yield from (f"    {inline({'name': name, 'version': version})}," for name, version in step.packages)
        if step.packages:
            yield "]"


def read_system_lock(file: Path) -> SystemLock | None:
    """Read it back; None when there is none. Raises LockError for what is damaged or of another format."""
    fix = "write it anew: rayimage lock"
    try:
        data = loads(file.read_text(encoding="utf-8"))
        if data["format"] != _FORMAT:
            raise LockError(f"{file} is of another format", why=f"it has format {data['format']}", fix=fix)
        return SystemLock(
            reference=str(data["base"]),
            base=Digest.parse(data["base-digest"]),
            image=Digest.parse(data["digest"]),
            steps=tuple(
                LockedStep(
                    title=str(step["title"]),
                    key=Digest.parse(step["key"]),
                    layer=Digest.parse(step["layer"]["digest"]),
                    size=int(step["layer"]["size"]),
                    diff_id=Digest.parse(step["layer"]["diff-id"]),
                    packages=tuple((str(p["name"]), str(p["version"])) for p in step["packages"]),
                )
                for step in data.get("steps", ())
            ),
        )
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LockError(f"cannot read {file}", why=str(error), fix="make the file readable") from error
    except KeyError as error:
        raise LockError(f"{file} is damaged", why=f"{error.args[0]} is missing", fix=fix) from error
    except (ValueError, TypeError, AttributeError, UsageError) as error:
        raise LockError(f"{file} is damaged", why=str(error), fix=fix) from error
