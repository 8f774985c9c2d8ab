"""The live display of a stage: itself on top with its total, below a bar for each thing that takes long."""

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

_BYTES, _SPEED, _TIMES = 16, 9, 18
"""Columns of ``99.9 of 99.9 MB``, ``99.9 MB/s`` and ``99 s, 99 s left``."""
_BAR, _SHORT_BAR = 24, 8
_WIDE, _NARROW, _TINY = 90, 60, 40
"""Terminals of at least so many columns get the long bar and the times, the short bar, the speed."""
_ECHO = 3
"""Columns kept free: a terminal's ``^C`` at the end of the last line must not make a line more than is taken away."""
_LABEL, _LEAST_LABEL = 28, 8
"""Columns of a label, whatever its length: rows come and go, and the others stay where they are."""


class Bars:
    """A rich display that exists only while its stage runs, and leaves nothing behind."""

    def __init__(self, console: Console, stage: str) -> None:
        width = console.width
        bar = _BAR if width >= _WIDE else _SHORT_BAR if width >= _NARROW else 0
        times = _TIMES + 1 if width >= _WIDE else 0
        speed = _SPEED + 1 if width >= _TINY else 0
        room = width - 2 - (bar + 1 if bar else 0) - (_BYTES + 1) - speed - times - _ECHO
        label = Column(no_wrap=True, overflow="ellipsis", width=min(max(room, _LEAST_LABEL), _LABEL))
        columns = [SpinnerColumn(), TextColumn("{task.description}", table_column=label)]
        columns += [_BarColumn(bar)] if bar else []
        columns += [_Bytes(_column(_BYTES))]
        columns += [_Speed(_column(_SPEED))] if speed else []
        columns += [_Times(_column(_TIMES))] if times else []
        # stdout stays what it is: data, and maybe a pipe.
        self._progress = Progress(
            *columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False
        )
        self._heading = self._progress.add_task(f"[bold]{escape(stage)}[/]", total=None, stage=True)
        self._flow = self._progress.add_task("", total=None, visible=False)
        """What moves; the heading also has what did not need to."""

    def __enter__(self) -> None:
        self._progress.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def rename(self, stage: str) -> None:
        """Call the stage something else."""
        self._progress.update(self._heading, description=f"[bold]{escape(stage)}[/]")

    def expect(self, size: int) -> None:
        """``size`` bytes belong to the stage, too."""
        if size:
            total = next(task.total for task in self._progress.tasks if task.id == self._heading) or 0
            self._progress.update(self._heading, total=total + size)

    def add(self, label: str, total: int) -> Bar:
        """Another bar; to be closed."""
        return Bar(self._progress, self._progress.add_task(escape(label), total=total))

    def moved(self, count: int) -> None:
        """``count`` bytes passed."""
        self._progress.advance(self._flow, count)
        flow = next(task for task in self._progress.tasks if task.id == self._flow)
        self._progress.update(self._heading, advance=count, speed=flow.speed or 0)

    def settled(self, count: int) -> None:
        """``count`` bytes need not pass."""
        self._progress.advance(self._heading, count)


class Bar:
    """One line of the display."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def advance(self, count: int) -> None:
        """``count`` more bytes are done."""
        self._progress.advance(self._task, count)

    def close(self) -> None:
        """Remove the line."""
        self._progress.remove_task(self._task)


def _column(width: int) -> Column:
    return Column(no_wrap=True, justify="right", width=width)


class _BarColumn(BarColumn):
    """A bar, but not for a stage whose end is not known."""

    def __call__(self, task: Task) -> RenderableType:
        return super().__call__(task) if task.total is not None else Text()


class _Bytes(ProgressColumn):
    """``12.3 of 90.7 MB``; of a stage that has no end what has passed so far."""

    def __init__(self, column: Column) -> None:
        super().__init__(column)

    def render(self, task: Task) -> Text:
        style = "bold" if task.fields.get("stage") else ""
        if task.total is None:
            return Text(human_bytes(task.completed) if task.completed else "", style=style)
        total, unit = human_bytes(task.total).split()
        done = min(task.completed, task.total) / _UNITS[unit]
        return Text(f"{done:.{_places(total)}f} of {total} {unit}", style=style)


class _Speed(ProgressColumn):
    """Bytes per second."""

    def __init__(self, column: Column) -> None:
        super().__init__(column)

    def render(self, task: Task) -> Text:
        speed = _speed(task)
        return Text(f"{human_bytes(speed)}/s" if speed >= 1 else "", style="dim")


class _Times(ProgressColumn):
    """Of the stage: its seconds, and about how many are left."""

    def __init__(self, column: Column) -> None:
        super().__init__(column)

    def render(self, task: Task) -> Text:
        if not task.fields.get("stage"):
            return Text()
        spent, speed = f"{task.elapsed or 0:.0f} s", _speed(task)
        left = (task.total - task.completed) / speed if task.total and speed >= 1 else 0
        return Text(f"{spent}, {left:.0f} s left" if left >= 1 else spent, style="dim")


def _speed(task: Task) -> float:
    return float(task.fields.get("speed", task.speed or 0))


_UNITS = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}


def _places(number: str) -> int:
    """The digits behind the point, so that both numbers have the same."""
    return len(number.partition(".")[2])
