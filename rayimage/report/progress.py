"""Progress on stderr: live bars on a terminal, plain lines elsewhere, nothing when quiet.

Both listeners implement ``rayimage.model.progress.Progress`` and are thread-safe. Stage times are kept for the summary.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from rayimage.model.progress import Task

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["ConsoleProgress", "human_bytes"]

_MIN_BAR_BYTES = 1 << 20


def human_bytes(count: float) -> str:
    """``count`` bytes for people, in decimal units as registries count: ``12.3 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError("unreachable")


class ConsoleProgress:
    """A listener that writes to ``console``: with bars when it is a terminal, one line per stage when it is not."""

    def __init__(self, console: Console, *, quiet: bool = False, verbose: bool = False) -> None:
        self._console = console
        self._quiet = quiet
        self._verbose = verbose
        self._lock = threading.Lock()
        self._bars = _Bars(console) if console.is_terminal and not quiet else None
        self.times: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a step; its line appears when it ends without an error."""
        started = time.perf_counter()
        with self._bars.shown(name) if self._bars else _nothing():
            yield
        elapsed = time.perf_counter() - started
        with self._lock:
            self.times[name] = self.times.get(name, 0.0) + elapsed
        self._line(f"[green]✓[/] {name} [dim]{elapsed:.1f} s[/]")

    def task(self, label: str, total: int | None = None) -> Task:
        """A bar on a terminal (when it is worth one); a line at its end when verbose."""
        bar = self._bars.add(label, total) if self._bars and (total or 0) >= _MIN_BAR_BYTES else None
        return _ConsoleTask(self, label, bar)

    def note(self, text: str) -> None:
        """A line, unless quiet."""
        self._line(f"  {_escape(text)}")

    def warn(self, text: str) -> None:
        """A line even when quiet."""
        with self._lock:
            self._console.print(f"[yellow]![/] {_escape(text)}", highlight=False, soft_wrap=True)

    def _line(self, markup: str) -> None:
        if not self._quiet:
            with self._lock:
                self._console.print(markup, highlight=False, soft_wrap=True)

    def task_done(self, label: str, note: str) -> None:
        """Called by tasks at their end."""
        if self._verbose:
            self._line(f"  [dim]{_escape(label)}: {_escape(note or 'done')}[/]")


class _ConsoleTask:
    def __init__(self, owner: ConsoleProgress, label: str, bar: _Bar | None) -> None:
        self._owner = owner
        self._label = label
        self._bar = bar

    def advance(self, count: int) -> None:
        if self._bar:
            self._bar.advance(count)

    def done(self, note: str = "") -> None:
        if self._bar:
            self._bar.close()
        self._owner.task_done(self._label, note)


class _Bars:
    """A rich progress display that exists only while a stage runs."""

    def __init__(self, console: Console) -> None:
        from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TextColumn, TransferSpeedColumn

        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            DownloadColumn(),
            TransferSpeedColumn(),
        )
        self._progress = Progress(*columns, console=console, transient=True)

    def shown(self, name: str) -> AbstractContextManager[None]:
        return self._shown(name)

    @contextmanager
    def _shown(self, name: str) -> Iterator[None]:
        with self._progress:
            heading = self._progress.add_task(f"[bold]{name}[/]", total=None)
            try:
                yield
            finally:
                self._progress.remove_task(heading)

    def add(self, label: str, total: int | None) -> _Bar:
        return _Bar(self, int(self._progress.add_task(_escape(label), total=total)))

    def advance(self, task: int, count: int) -> None:
        from rich.progress import TaskID

        self._progress.advance(TaskID(task), count)

    def remove(self, task: int) -> None:
        from rich.progress import TaskID

        self._progress.remove_task(TaskID(task))


class _Bar:
    def __init__(self, bars: _Bars, task: int) -> None:
        self._bars = bars
        self._task = task

    def advance(self, count: int) -> None:
        self._bars.advance(self._task, count)

    def close(self) -> None:
        self._bars.remove(self._task)


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)
