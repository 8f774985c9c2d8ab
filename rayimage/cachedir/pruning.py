"""What is in the cache, and removing the least recently used of it."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rayimage.cachedir.directory import CacheDir, set_aside
from rayimage.cachedir.kinds import Kind
from rayimage.cachedir.session import horizon
from rayimage.files import UNFINISHED, locked, write_atomic

__all__ = ["Entry", "Pruned", "keep_below", "prune", "survey"]

_LEDGER: Final = "size.json"
_COUNT_AGAIN: Final = 86400.0
"""Seconds until the cache is counted anew: killed runs and other programs add to it without telling."""
_SPARE: Final = 0.9
"""A full cache shrinks to this part of its limit, or each build of a busy one would prune."""
_LEFTOVERS: Final = ("scratch", "locks", "partial")
"""Of work in progress, and with it worthless; ``partial`` was its place once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry: ``size`` in bytes, ``used`` in seconds since the epoch."""

    kind: Kind
    path: Path
    size: int
    used: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What a prune removed, what it left, and how much of that stays because a running command may use it."""

    removed: tuple[Entry, ...]
    left: int
    in_use: int

    @property
    def size(self) -> int:
        """The bytes removed."""
        return sum(entry.size for entry in self.removed)


def survey(root: Path) -> tuple[Entry, ...]:
    """All entries, least recently used first. What vanishes meanwhile is left out; raises OSError for other reasons."""
    entries = [entry for kind in Kind for entry in _entries(root, kind)]
    return tuple(sorted(entries, key=lambda entry: (entry.used, str(entry.path))))


def prune(root: Path, *, most: int | None = None, before: float | None = None, dry_run: bool = False) -> Pruned:
    """Remove the least recently used entries until ``most`` bytes are left, and all last used ``before`` a time.

    What a running command has used since it began stays, and with it what it may be about to use. Raises OSError.
    """
    entries = survey(root)
    began = horizon(root)
    total = sum(entry.size for entry in entries)
    left, removed = total, []
    for entry in entries:
        wanted = (most is not None and left > most) or (before is not None and entry.used < before)
        if wanted and entry.used < began and (dry_run or _remove(root, entry)):
            removed.append(entry)
            left -= entry.size
    if not dry_run:
        _clear(root, min(began, time.time() - _COUNT_AGAIN if before is None else before))
        _note(root, left)
    return Pruned(removed=tuple(removed), left=left, in_use=sum(e.size for e in entries if e.used >= began))


def keep_below(root: Path, limit: int, written: int) -> Pruned | None:
    """Account for ``written`` new bytes, and prune if the cache is larger than ``limit``.

    The directory is walked only then, or when the last count is a day old. Raises OSError.
    """
    with locked(root):
        size, counted = _ledger(root)
        fresh = 0 <= time.time() - counted < _COUNT_AGAIN
        if fresh and size + written <= limit:
            if written:
                _note(root, size + written, counted)
            return None
    total = sum(entry.size for entry in survey(root))
    if total > limit:
        return prune(root, most=int(limit * _SPARE))
    _note(root, total)
    return None


def _entries(root: Path, kind: Kind) -> Iterator[Entry]:
    try:
        found = list(os.scandir(root / kind.directory))
    except (FileNotFoundError, NotADirectoryError):
        return
    for item in found:
        if item.name.endswith(UNFINISHED):
            continue
        with suppress(FileNotFoundError):
            stat = item.stat(follow_symlinks=False)
            size = _size(item.path) if item.is_dir(follow_symlinks=False) else stat.st_size
            if kind is Kind.UPLOADS and not size:
                continue  # one that has ended; its directory is its lock
            yield Entry(kind=kind, path=Path(item.path), size=size, used=stat.st_mtime)


def _size(directory: str) -> int:
    total = 0
    for parent, _, files in os.walk(directory):
        for name in files:
            with suppress(FileNotFoundError):
                total += os.lstat(os.path.join(parent, name)).st_size  # noqa: PTH118
    return total


def _remove(root: Path, entry: Entry) -> bool:
    """Remove ``entry`` unless it was used after the survey; whether it went."""
    try:
        with locked(root):
            if entry.path.lstat().st_mtime != entry.used:
                return False
            away = set_aside(entry.path)
    except FileNotFoundError:
        return False
    if away:
        shutil.rmtree(away, ignore_errors=True)
    return True


def _clear(root: Path, before: float) -> None:
    """Remove what killed runs left; a file that is locked is as new as its holder, whose session is older."""
    places = [*(root / name for name in _LEFTOVERS), *(root / kind.directory for kind in Kind)]
    for place in places:
        leftovers = place.name in _LEFTOVERS
        with suppress(FileNotFoundError, NotADirectoryError):
            for item in os.scandir(place):
                if (leftovers or item.name.endswith(UNFINISHED)) and _is_older(item, before):
                    CacheDir(root).discard(Path(item.path))


def _is_older(item: os.DirEntry[str], before: float) -> bool:
    with suppress(FileNotFoundError):
        return item.stat(follow_symlinks=False).st_mtime < before
    return False


def _ledger(root: Path) -> tuple[int, float]:
    """The size at the last count and what was added since, and when that count was; 0 and 0 if unknown."""
    try:
        data = json.loads((root / _LEDGER).read_bytes())
        return int(data["bytes"]), float(data["counted"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0, 0.0


def _note(root: Path, size: int, counted: float | None = None) -> None:
    data = {"bytes": size, "counted": time.time() if counted is None else counted}
    write_atomic(root / _LEDGER, json.dumps(data).encode(), mode=0o644)
