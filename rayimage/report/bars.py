"""The live display of a stage: its name, time, bytes and rate on top, one bar below for each thing that takes long."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
)
from rich.table import Column
from rich.text import Text

from rayimage.report.wording import human_bytes

__all__ = ["Bar", "Bars"]

_BESIDE_LABEL = 34
"""Columns that spinner, bytes, rate and gaps take, without bar and label."""
_BAR, _SHORT_BAR = 24, 8
_WIDE, _NARROW = 90, 60
"""Terminals of at least so many columns get the long bar, the short one; others none."""
_LEAST_LABEL = 8


class Bars:
    """A rich display that exists only while its stage runs, and leaves nothing behind."""

    def __init__(self, console: Console, stage: str) -> None:
        width = console.width
        bar = _BAR if width >= _WIDE else _SHORT_BAR if width >= _NARROW else 0
        label = Column(no_wrap=True, overflow="ellipsis", max_width=max(width - _BESIDE_LABEL - bar, _LEAST_LABEL))
        columns = [SpinnerColumn(), TextColumn("{task.description}", table_column=label)]
        columns += [_BarColumn(bar)] if bar else []
        # stdout stays what it is: data, and maybe a pipe.
        self._progress = Progress(
            *columns, _Bytes(), _Speed(), console=console, transient=True, redirect_stdout=False, redirect_stderr=False
        )
        self._heading = self._progress.add_task(f"[bold]{escape(stage)}[/]", total=None)

    def __enter__(self) -> None:
        self._progress.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def rename(self, stage: str) -> None:
        """Call the stage something else."""
        self._progress.update(self._heading, description=f"[bold]{escape(stage)}[/]")

    def add(self, label: str, total: int | None) -> Bar:
        """Another bar; to be closed."""
        return Bar(self, self._progress.add_task(escape(label), total=total))

    def advance(self, task: TaskID, count: int) -> None:
        """``count`` more bytes, for the bar and for the stage."""
        self._progress.advance(task, count)
        self._progress.advance(self._heading, count)

    def remove(self, task: TaskID) -> None:
        """Take a bar away."""
        self._progress.remove_task(task)


class Bar:
    """One line of the display."""

    def __init__(self, bars: Bars, task: TaskID) -> None:
        self._bars = bars
        self._task = task

    def advance(self, count: int) -> None:
        """``count`` more bytes are done."""
        self._bars.advance(self._task, count)

    def close(self) -> None:
        """Remove the line."""
        self._bars.remove(self._task)


class _BarColumn(BarColumn):
    """A bar, but not for the stage, whose end is not known."""

    def __call__(self, task: Task) -> RenderableType:
        return super().__call__(task) if task.total is not None else Text()


class _Bytes(ProgressColumn):
    """``12.3 of 90.7 MB``; for the stage what has passed so far."""

    def render(self, task: Task) -> Text:
        if task.total is None:
            return Text(human_bytes(task.completed) if task.completed else "", justify="right", style="bold")
        total, unit = human_bytes(task.total).split()
        return Text(f"{task.completed / _UNITS[unit]:.{_places(total)}f} of {total} {unit}", justify="right")


class _Speed(ProgressColumn):
    """Bytes per second; for the stage its seconds as well."""

    def render(self, task: Task) -> Text:
        speed = f"{human_bytes(task.speed)}/s" if task.speed else ""
        seconds = f"{task.elapsed or 0:.0f} s" if task.total is None else ""
        return Text("  ".join(filter(None, (speed, seconds))), style="dim")


_UNITS = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}


def _places(number: str) -> int:
    """The digits behind the point, so that both numbers have the same."""
    return len(number.partition(".")[2])
