"""Progress on stderr: live bars on a terminal, plain lines elsewhere, nothing when quiet.

The listener implements ``rayimage.model.progress.Progress`` and is thread-safe. Stage times are kept for the summary.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from rayimage.model.progress import Task
from rayimage.report.wording import human_bytes

if TYPE_CHECKING:
    from rich.console import Console

    from rayimage.report.bars import Bar, Bars

__all__ = ["Aside", "ConsoleProgress", "human_bytes"]

_MIN_BAR_BYTES = 1 << 20
_REUSED = frozenset({"cached", "exists", "mounted"})
"""What tasks say at their end when nothing had to be made or sent."""
_WORTH_A_RATE = 1_000_000, 0.1
"""Bytes and seconds; of less a rate says nothing."""
_PULSE_SECONDS = 15.0
"""Between signs of life where there are no bars: some CIs end a job that says nothing for minutes."""


class ConsoleProgress:
    """A listener that writes to ``console``: with bars when something can move there, else one line per stage.

    ``times`` are the seconds of each stage that ended; ``stopped`` says that tasks end at their next block of bytes.
    """

    def __init__(
        self,
        console: Console,
        *,
        quiet: bool = False,
        verbose: bool = False,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._console = console
        self._quiet = quiet
        self._verbose = verbose
        self._clock = clock
        self._lock = threading.RLock()  # a signal handler may speak while its thread does
        self._bars: Bars | None = None
        self._pulse: _Pulse | None = None
        self._labels: dict[str, str] = {}
        self._tally = _Tally()
        self.times: dict[str, float] = {}
        self.stopped = False

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a step; its line appears when it ends without an error."""
        started, self._tally = self._clock(), _Tally()
        with self._showing(name, started):
            yield
        elapsed = self._clock() - started
        self._add(name, elapsed)
        self._line(f"[green]✓[/] {name} [dim]{', '.join([f'{elapsed:.1f} s', *self._tally.words(elapsed)])}[/]")

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Time a step that is over at once: it is in the summary, and has no line."""
        started = self._clock()
        yield
        self._add(name, self._clock() - started)

    def task(self, label: str, total: int | None = None) -> Task:
        """A bar on a terminal from its first byte on, when it is worth one; a line at its end when verbose."""
        label = self._labels.get(label, label)
        if self._bars:
            self._bars.expect(total or 0)
        return _ConsoleTask(self, label, total or 0, self._bars)

    def note(self, text: str) -> None:
        """A line, unless quiet."""
        self._line(f"  {_escape(text)}")

    def detail(self, text: str) -> None:
        """A line when verbose."""
        if self._verbose:
            self._line(f"  [dim]{_escape(text)}[/]")

    def hint(self, text: str) -> None:
        """What to do next, unless quiet."""
        self._line(f"[dim]next:[/] {_escape(text)}")

    def warn(self, text: str) -> None:
        """A line even when quiet."""
        with self._lock:
            self._console.print(f"[yellow]![/] {_escape(text)}", highlight=False, soft_wrap=True)

    def call(self, labels: Mapping[str, str]) -> None:
        """Show tasks under other names: what a blob holds says more than its digest."""
        self._labels.update(labels)

    def stop(self) -> None:
        """Make every task end at its next block of bytes, with KeyboardInterrupt in its thread."""
        self.stopped = True
        if self._bars:
            self._bars.rename("stopping (^C: now)")

    def heard(self, count: int) -> None:
        """Called by tasks as ``count`` bytes pass; raises KeyboardInterrupt once stopped."""
        if self.stopped:
            raise KeyboardInterrupt
        with self._lock:
            self._tally.moved += count
            text = self._pulse.beat(count, self._clock()) if self._pulse else ""
        if text:
            self.note(text)

    def ended(self, label: str, size: int, note: str) -> None:
        """Called by tasks at their end."""
        if note in _REUSED:
            with self._lock:
                self._tally.reused += size
                self._tally.spared += 1
        self.detail(f"{label}: {note or 'done'}")

    def _showing(self, name: str, started: float) -> AbstractContextManager[None]:
        if self._quiet:
            return nullcontext()
        return self._bars_of(name) if self._console.is_interactive else self._pulse_of(name, started)

    @contextmanager
    def _bars_of(self, name: str) -> Iterator[None]:
        from rayimage.report.bars import Bars

        self._bars = Bars(self._console, name)
        try:
            with self._bars:
                yield
        finally:
            self._bars = None

    @contextmanager
    def _pulse_of(self, name: str, started: float) -> Iterator[None]:
        self._pulse = _Pulse(name, started)
        try:
            yield
        finally:
            self._pulse = None

    def _add(self, name: str, elapsed: float) -> None:
        with self._lock:
            self.times[name] = self.times.get(name, 0.0) + elapsed

    def _line(self, markup: str) -> None:
        if not self._quiet:
            with self._lock:
                self._console.print(markup, highlight=False, soft_wrap=True)


class Aside:
    """A listener for stages whose notes the command reports itself: they are shown when verbose only."""

    def __init__(self, progress: ConsoleProgress) -> None:
        self.stage = progress.stage
        self.task = progress.task
        self.warn = progress.warn
        self.note = progress.detail


class _ConsoleTask:
    def __init__(self, owner: ConsoleProgress, label: str, total: int, bars: Bars | None) -> None:
        self._owner = owner
        self._label = label
        self._total = total
        self._bars = bars
        self._bar: Bar | None = None
        self._done = 0
        self._over = False

    def advance(self, count: int) -> None:
        self._owner.heard(count)
        self._done += count
        if self._bars is None or self._over:
            return
        if self._bar is None and self._total >= _MIN_BAR_BYTES:
            self._bar = self._bars.add(self._label, self._total)
        self._bars.moved(count)
        if self._bar:
            self._bar.advance(count)

    def done(self, note: str = "") -> None:
        if self._over:
            return
        self._over = True
        if self._bar:
            self._bar.close()
        if self._bars:
            self._bars.settled(max(self._total - self._done, 0))
        self._owner.ended(self._label, self._total, note)


class _Tally:
    """What passed in a stage, and what did not have to."""

    def __init__(self) -> None:
        self.moved = 0
        self.reused = 0
        self.spared = 0

    def words(self, seconds: float) -> Iterator[str]:
        """``209 MB at 37.3 MB/s``, ``12 reused (209 MB)``."""
        if self.moved:
            size, least = _WORTH_A_RATE
            rate = f" at {human_bytes(self.moved / seconds)}/s" if self.moved >= size and seconds >= least else ""
            yield f"{human_bytes(self.moved)}{rate}"
        if self.spared:
            yield f"{self.spared} reused{f' ({human_bytes(self.reused)})' if self.reused else ''}"


class _Pulse:
    """A sign of life of a stage, now and then, made of the bytes that passed in it."""

    def __init__(self, stage: str, started: float) -> None:
        self._stage = stage
        self._started = self._last = started
        self._bytes = 0

    def beat(self, count: int, now: float) -> str:
        """``push: 120 MB so far, 8.1 MB/s`` when it is time for it, else nothing."""
        self._bytes += count
        if now - self._last < _PULSE_SECONDS:
            return ""
        self._last = now
        rate = human_bytes(self._bytes / (now - self._started))
        return f"{self._stage}: {human_bytes(self._bytes)} so far, {rate}/s"


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)
