"""Room for what a command adds: how much that was, and a temporary directory when the cache takes no more."""

from __future__ import annotations

import errno
import shutil
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from rayimage.cachedir.directory import CacheDir
from rayimage.cachedir.kinds import Kind
from rayimage.errors import RayimageError

__all__ = ["Room", "cannot_write"]

_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
_NOT_OURS: Final = frozenset({errno.EACCES, errno.EPERM})
_PREFIX: Final = "rayimage-cache-"
_BORROWED: Final = frozenset(Kind) - {Kind.PIP, Kind.UNFINISHED, Kind.UPLOADS}
"""What is read; pip writes into its cache, downloads and uploads are continued."""


class Room:
    """The cache ``root``, and a second directory beside it, made when it is first needed. Safe for threads."""

    def __init__(self, root: Path, warn: Callable[[str], None] = lambda _: None) -> None:
        self._root = root
        self._warn = warn
        self._lock = threading.Lock()
        self._place: CacheDir | None = None
        self.written = 0
        """Bytes that were added to the cache."""

    def added(self, size: int) -> None:
        """Another ``size`` bytes are in the cache."""
        with self._lock:
            self.written += size

    @property
    def places(self) -> tuple[CacheDir, ...]:
        """Where to look: the cache, and the second directory if there is one by now."""
        return (CacheDir(self._root), *((self._place,) if self._place else ()))

    def after(self, error: OSError) -> CacheDir:
        """The second directory, for what failed in the cache; raises ``error`` again when it is no matter of room."""
        theirs = error.errno in _NOT_OURS and str(error.filename or "").startswith(f"{self._root}/")
        if error.errno not in _NO_ROOM and not theirs:
            raise error
        with self._lock:
            if self._place is None:
                self._place = self._make()
                self._warn(
                    f"the cache {self._root} takes no more ({error.strerror or error}): new content goes to a temporary"
                    " directory; see `rayimage cache`"
                )
        return self._place

    def instead(self, why: str) -> CacheDir:
        """A directory to work in instead of the cache, with links to all that can be read there."""
        self._place = self._make()
        for kind in _BORROWED:
            _link(self._root / kind.directory, self._place.root / kind.directory, deep=kind is Kind.WHEELS)
        self._warn(f"the cache {self._root} cannot be written ({why}): what is there is used, nothing new is kept")
        return self._place

    def close(self) -> None:
        """Remove the directory."""
        if self._place:
            shutil.rmtree(self._place.root, ignore_errors=True)
            self._place = None

    def _make(self) -> CacheDir:
        try:
            return CacheDir(Path(tempfile.mkdtemp(prefix=_PREFIX)))
        except OSError as error:
            raise cannot_write("a cache", Path(tempfile.gettempdir()), error) from error


def cannot_write(what: str, directory: Path, error: OSError) -> RayimageError:
    """The error of a command that can write ``what`` nowhere."""
    return RayimageError(
        f"cannot write {what} to {directory}",
        why=f"{error.strerror or error}{f' ({error.filename})' if error.filename else ''}",
        fix="make room (`rayimage cache prune`), or choose another cache directory with RAYIMAGE_CACHE_DIR",
    )


def _link(there: Path, here: Path, *, deep: bool) -> None:
    """Link each entry of ``there``; with ``deep`` the files of each, so that one that is damaged can be replaced."""
    try:
        entries = list(there.iterdir())
    except OSError:
        return
    here.mkdir(parents=True)
    for entry in entries:
        if deep and entry.is_dir():
            _link(entry, here / entry.name, deep=False)
        else:
            (here / entry.name).symlink_to(entry.absolute())
