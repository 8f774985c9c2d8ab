"""What stages tell whoever watches; ``report`` shows it, tests record it. Thread-safe by contract."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

__all__ = ["SILENT", "Progress", "Task"]


class Task(Protocol):
    """One thing that takes time."""

    def advance(self, count: int) -> None:
        """``count`` more bytes are done."""
        ...

    def done(self, note: str = "") -> None:
        """Finished; ``note`` says how, e.g. ``mounted``."""
        ...


class Progress(Protocol):
    """The listener of a command's stages."""

    def stage(self, name: str) -> AbstractContextManager[None]:
        """A step of the flow; its wall time is reported at the end."""
        ...

    def task(self, label: str, total: int | None = None) -> Task:
        """Something within a stage, ``total`` bytes long if known."""
        ...

    def note(self, text: str) -> None:
        """A line worth reading."""
        ...

    def warn(self, text: str) -> None:
        """A line that must not be missed."""
        ...


class _SilentTask:
    def advance(self, count: int) -> None:
        """Ignore."""

    def done(self, note: str = "") -> None:
        """Ignore."""


class _Silent:
    def stage(self, name: str) -> AbstractContextManager[None]:  # noqa: ARG002
        """Ignore."""
        return nullcontext()

    def task(self, label: str, total: int | None = None) -> Task:  # noqa: ARG002
        """Ignore."""
        return _SilentTask()

    def note(self, text: str) -> None:
        """Ignore."""

    def warn(self, text: str) -> None:
        """Ignore."""


SILENT: Progress = _Silent()
