"""The cache as a command has it: opened, in session, and pruned at the end."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from rayimage.cachedir.pruning import Pruned, keep_below, prune, survey
from rayimage.cachedir.room import Room
from rayimage.cachedir.session import Session
from rayimage.errors import UsageError
from rayimage.files import make_ignored

__all__ = ["CommandCache"]

_LEAST_FREE: Final = 64 << 20
"""Bytes on the file system below which nothing can be built in the cache."""
_MAKE_FREE: Final = 1 << 30
"""Bytes to have free after making room."""


class CommandCache:
    """``root`` is where the command works: the cache directory, or a temporary one with links into it.

    ``room`` takes what ``root`` cannot.
    """

    def __init__(self, directory: Path, limit: int, warn: Callable[[str], None] = lambda _: None) -> None:
        """Begin to work with ``directory``, which is made if need be.

        One that cannot be written, or has no room even after a prune, costs a warning. Raises UsageError for one that
        is no directory, RayimageError when there is no temporary directory either.
        """
        self._directory = directory
        self._limit = limit
        self._session: Session | None = None
        own = Room(directory, warn)
        why = self._begin()
        self.root = own.instead(why).root if why else directory
        self._temporary = own
        self.room = Room(self.root, warn) if why else own

    def close(self) -> Pruned | None:
        """End: what was used may go from here on, and does if the cache is larger than its limit."""
        self.room.close()
        self._temporary.close()
        if self._session is None:
            return None
        self._session.end()
        self._session = None
        with suppress(OSError):  # A cache that cannot be pruned is not what the command was about.
            return keep_below(self._directory, self._limit, self.room.written)
        return None

    def _begin(self) -> str:
        """Start a session; why that cannot be, or an empty text."""
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            make_ignored(self._directory)
            self._session = Session(self._directory)
        except (FileExistsError, NotADirectoryError) as error:
            raise UsageError(
                f"the cache directory {self._directory} is no directory",
                why=f"{error.filename or self._directory} is a file",
                fix="set RAYIMAGE_CACHE_DIR to a directory, or to nothing for the usual one",
            ) from error
        except OSError as error:
            return error.strerror or str(error)
        if _free(self._directory) < _LEAST_FREE and not self._make_room():
            self._session.end()
            self._session = None
            return "no space left"
        return ""

    def _make_room(self) -> bool:
        with suppress(OSError):
            wanted = _MAKE_FREE - _free(self._directory)
            prune(self._directory, most=max(sum(entry.size for entry in survey(self._directory)) - wanted, 0))
        return _free(self._directory) >= _LEAST_FREE


def _free(directory: Path) -> int:
    """Bytes on the file system for us; plenty where it does not say."""
    try:
        found = os.statvfs(directory)
    except OSError:
        return _MAKE_FREE
    return found.f_bavail * found.f_frsize if found.f_blocks else _MAKE_FREE
