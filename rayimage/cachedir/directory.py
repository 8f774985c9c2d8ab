"""Paths, locks, last use and checked records below one directory."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from rayimage.cachedir.kinds import Kind
from rayimage.files import UNFINISHED, locked, write_atomic

__all__ = ["CacheDir", "set_aside"]

_LOCKS: Final = "locks"
_SCRATCH: Final = "scratch"


class CacheDir:
    """The layout below ``root``, which need not exist. Has no state of its own; safe for threads and processes."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, kind: Kind, name: str) -> Path:
        """Where the entry ``name`` lies, if there is one."""
        return self.root / kind.directory / name

    def use(self, *entries: Path) -> bool:
        """Mark ``entries`` as used now; false if one of them is not there.

        After this no prune takes them while the caller's session lives. A cache that cannot be written keeps its times.
        """
        try:
            with locked(self.root, shared=True):
                for entry in entries:
                    _touch(entry)
        except FileNotFoundError:
            return False
        except OSError:
            return all(entry.exists() for entry in entries)
        return True

    @contextmanager
    def scratch(self, name: str) -> Iterator[Path]:
        """A new empty directory on the same file system, for something that is renamed to its place when it is whole.

        It is removed at the end, with what is left in it. Raises OSError.
        """
        parent = self.root / _SCRATCH
        parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f"{name}-", suffix=UNFINISHED, dir=parent))
        try:
            yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def make(self, entry: Path, fill: Callable[[Path], None]) -> None:
        """Make the directory ``entry``, which ``fill`` fills, in one step; one that is there meanwhile is the same.

        Raises OSError, and what ``fill`` raises.
        """
        with self.scratch(entry.parent.name) as scratch:
            try:
                fill(scratch)
                scratch.chmod(0o755)
                entry.parent.mkdir(parents=True, exist_ok=True)
                scratch.rename(entry)
            except OSError:
                if not entry.is_dir():
                    raise

    def discard(self, entry: Path) -> None:
        """Remove an entry that is damaged or not wanted any more: gone in one step, then deleted. Raises OSError."""
        with suppress(FileNotFoundError):
            if away := set_aside(entry):
                shutil.rmtree(away, ignore_errors=True)

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Be the only one who makes ``name``, among threads and processes; the system takes it back from a killed one.

        Some network file systems have no locks. There two may make the same, and the second replaces the first's.
        Raises OSError.
        """
        directory = self.root / _LOCKS
        directory.mkdir(parents=True, exist_ok=True)
        file = directory / name
        handle = _locked_file(file)
        try:
            yield
        finally:
            # Removed while it is held: who waits for it sees that it is another file, or none, and opens it anew.
            file.unlink(missing_ok=True)
            os.close(handle)

    def write_sealed(self, entry: Path, data: bytes, *, mode: int = 0o644) -> None:
        """Write ``data`` with its digest, in one step. Raises OSError."""
        write_atomic(entry, hashlib.sha256(data).hexdigest().encode() + b"\n" + data, mode=mode)

    def read_sealed(self, entry: Path) -> bytes | None:
        """What ``write_sealed`` wrote, marked as used; None if it is not there, not readable, or not the same bytes."""
        try:
            seal, _, data = entry.read_bytes().partition(b"\n")
        except OSError:
            return None
        whole = seal == hashlib.sha256(data).hexdigest().encode()
        return data if whole and self.use(entry) else None


def set_aside(entry: Path) -> Path | None:
    """Make ``entry`` vanish in one step, without taking room; of a directory the place to delete it from."""
    if entry.is_symlink() or not entry.is_dir():
        entry.unlink()
        return None
    away = entry.with_name(f".{entry.name}.{os.getpid()}.{time.monotonic_ns()}{UNFINISHED}")
    entry.rename(away)
    return away


def _touch(entry: Path) -> None:
    try:
        os.utime(entry)
    except PermissionError:  # Another user's; it is as old as that user says.
        entry.stat()


def _locked_file(file: Path) -> int:
    while True:
        handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            with suppress(OSError):
                fcntl.flock(handle, fcntl.LOCK_EX)
            if _is_same(handle, file):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _is_same(handle: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), file.stat())
    except FileNotFoundError:
        return False
