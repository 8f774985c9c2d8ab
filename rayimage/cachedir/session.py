"""Who is at work with the cache: one locked file for each running command, as old as the command."""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ["Session", "horizon"]

_SESSIONS: Final = "sessions"
_LONGEST: Final = 86400.0
"""Seconds after which a session is not believed in, where no lock can tell."""


class Session:
    """Protects what is used while it lasts; ends with its process, however that ends."""

    def __init__(self, root: Path) -> None:
        """Begin. Raises OSError when the directory cannot be written."""
        directory = root / _SESSIONS
        directory.mkdir(parents=True, exist_ok=True)
        # Locked before it has its name: a prune takes an unlocked one for a dead one's.
        self._handle, name = tempfile.mkstemp(prefix=".", dir=directory)
        self._file = Path(name)
        try:
            with suppress(OSError):  # A network file system without locks.
                fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            named = directory / f"{os.getpid()}{self._file.name}"
            self._file.replace(named)
            self._file = named
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """From here on what was used may be pruned."""
        if self._handle >= 0:
            self._file.unlink(missing_ok=True)
            os.close(self._handle)
            self._handle = -1


def horizon(root: Path) -> float:
    """The time when the oldest living session began, on the file system's clock; infinity if there is none.

    Removes what dead sessions left.
    """
    oldest = float("inf")
    with suppress(FileNotFoundError):
        for file in (root / _SESSIONS).iterdir():
            with suppress(FileNotFoundError):
                began = file.stat().st_mtime
                if file.name.startswith(".") or _lives(file, began):
                    oldest = min(oldest, began)
                else:
                    file.unlink()
    return oldest


def _lives(file: Path, began: float) -> bool:
    handle = os.open(file, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return time.time() - began < _LONGEST
    finally:
        os.close(handle)
    return False
