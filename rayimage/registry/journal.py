"""Uploads that were begun, on disk: a later process continues what a killed one left behind.

Each has a directory of its own, locked while somebody sends: two processes never write into one upload. The addresses
may hold secrets of the registry, so only their owner can read them.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Final, Protocol

from rayimage.files import locked, write_atomic
from rayimage.model.digest import Digest
from rayimage.model.reference import Reference

__all__ = ["NO_JOURNAL", "Entry", "Journal", "NoJournal", "UploadJournal"]

_LIFE: Final = 7 * 24 * 3600
"""Seconds; distribution purges uploads that are older (``uploadpurging``, a week unless configured)."""
_FILE: Final = "upload.json"


class Entry:
    """One upload; ``location`` is where an earlier process would have continued it, empty when there was none."""

    def __init__(self, directory: Path | None = None, location: str = "") -> None:
        self.location = location
        self._directory = directory

    def keep(self, location: str) -> None:
        """Note where the upload continues. A disk that is full or read-only costs the resumption, no more."""
        self.location = location
        if self._directory is not None:
            with suppress(OSError):
                data = json.dumps({"location": location}).encode()
                write_atomic(self._directory / _FILE, data, mode=0o600)

    def forget(self) -> None:
        """There is nothing to continue any more."""
        self.location = ""
        if self._directory is not None:
            with suppress(OSError):
                (self._directory / _FILE).unlink(missing_ok=True)


class UploadJournal(Protocol):
    """Where uploads are remembered."""

    def entry(self, repository: Reference, digest: Digest) -> AbstractContextManager[Entry]:
        """What is known of the upload of a blob; held until the end."""
        ...


class NoJournal:
    """Remembers nothing."""

    @contextmanager
    def entry(self, repository: Reference, digest: Digest) -> Iterator[Entry]:  # noqa: ARG002
        """An entry of no past and no future."""
        yield Entry()


NO_JOURNAL: Final = NoJournal()


class Journal:
    """Uploads remembered in ``directory``, which is made when the first is. Safe between threads and processes."""

    def __init__(self, directory: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._directory = directory
        self._clock = clock

    @contextmanager
    def entry(self, repository: Reference, digest: Digest) -> Iterator[Entry]:
        """What is known of the upload of a blob; nobody else has it until the end.

        Remembers nothing when another process is sending the same blob, or when the directory cannot be written.
        """
        name = sha256(f"{repository.name}@{digest}".encode()).hexdigest()[:40]
        directory = self._directory / name
        with suppress(OSError):
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._sweep()
            directory.mkdir(mode=0o700, exist_ok=True)
        with _held(directory) as mine:
            yield Entry(directory, _location(directory / _FILE)) if mine else Entry()

    def _sweep(self) -> None:
        """Remove what is too old for any registry to continue."""
        for directory in self._directory.iterdir():
            if self._clock() - directory.stat().st_mtime > _LIFE:
                with _held(directory) as mine:
                    if mine:
                        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _held(directory: Path) -> Iterator[bool]:
    """Whether the lock on ``directory`` could be had; it is held until the end."""
    with ExitStack() as stack:
        mine = False
        with suppress(OSError):
            stack.enter_context(locked(directory, wait=False))
            mine = True
        yield mine


def _location(file: Path) -> str:
    """The address in an entry's file; empty when it is absent or damaged."""
    try:
        found = json.loads(file.read_bytes())["location"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return found if isinstance(found, str) else ""
