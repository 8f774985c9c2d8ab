"""Files that are never seen half-written."""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

__all__ = ["UNFINISHED", "locked", "make_ignored", "write_atomic"]

UNFINISHED: Final = ".rayimage-tmp"
"""How the names of temporary files end that lie beside what they replace. A killed process leaves them, in the project
too, whose code they are not."""


def write_atomic(file: Path, data: bytes, *, mode: int | None = None) -> None:
    """Replace ``file`` by ``data`` in one step, through a temporary file beside it that is synced first.

    ``mode`` defaults to the present file's mode, or to what the umask gives a new one.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.", suffix=UNFINISHED)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).chmod(mode if mode is not None else _mode_of(file))
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def make_ignored(directory: Path) -> None:
    """Make a directory that git, and with it the code layer, ignores wherever it lies, if it can be made.

    CI systems keep caches between jobs in the project only; there ``.gitignore`` in each cache is what tools agree on.
    """
    ignore = directory / ".gitignore"
    with suppress(OSError):
        if not ignore.exists():
            write_atomic(ignore, b"*\n", mode=0o644)


@contextmanager
def locked(directory: Path, *, shared: bool = False, wait: bool = True) -> Iterator[None]:
    """Hold a lock on ``directory`` against other threads and processes; the system takes it back from a killed one.

    Raises BlockingIOError if ``wait`` is false and somebody has it. Some network file systems have no locks: there one
    that waits is none, and one that does not is never had.
    """
    handle = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
        except OSError as error:
            if not wait:
                raise BlockingIOError(errno.EWOULDBLOCK, "the directory is in use", str(directory)) from error
        yield
    finally:
        os.close(handle)


def _mode_of(file: Path) -> int:
    try:
        return file.stat().st_mode & 0o7777
    except FileNotFoundError:
        umask = os.umask(0)
        os.umask(umask)
        return 0o666 & ~umask
