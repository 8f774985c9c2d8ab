"""A listener that keeps what stages say."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from rayimage.model.progress import SILENT, Task

__all__ = ["Listener"]


class Listener:
    """Notes and warnings, in order."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.warnings: list[str] = []

    def stage(self, name: str) -> AbstractContextManager[None]:
        """Nothing to keep."""
        return nullcontext()

    def task(self, label: str, total: int | None = None) -> Task:
        """Nothing to keep."""
        return SILENT.task(label, total)

    def note(self, text: str) -> None:
        """Keep it."""
        self.notes.append(text)

    def warn(self, text: str) -> None:
        """Keep it."""
        self.warnings.append(text)
