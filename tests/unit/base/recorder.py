"""A progress listener that remembers what it was told."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext


class Recorder:
    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.notes: list[str] = []
        self.totals: list[int | None] = []
        self.advanced = 0

    def stage(self, name: str) -> AbstractContextManager[None]:
        return nullcontext()

    def task(self, label: str, total: int | None = None) -> Recorder:
        self.totals.append(total)
        return self

    def note(self, text: str) -> None:
        self.notes.append(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def advance(self, count: int) -> None:
        self.advanced += count

    def done(self, note: str = "") -> None:
        """Nothing to remember."""
