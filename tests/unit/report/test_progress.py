from __future__ import annotations

import io
import re
from collections.abc import Callable

import pytest
from rich.console import Console

from rayimage.report.progress import Aside, ConsoleProgress
from rayimage.report.wording import count, human_bytes, shorten


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (12_345, "12.3 kB"),
        (279_000_000, "279 MB"),
        (2_700_000_000, "2.7 GB"),
        (5_000_000_000_000, "5000 GB"),
    ],
)
def test_human_bytes(number: int, text: str) -> None:
    assert human_bytes(number) == text


def test_counts_have_a_plural() -> None:
    assert [count(number, "layer") for number in (0, 1, 2)] == ["0 layers", "1 layer", "2 layers"]


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("numpy 2.0", "numpy 2.0"),
        ("a, b, c, d", "a, b, c, d"),
        ("a, b, c, d, e", "a, b, c and 2 more"),
        ("a very long instruction", "a very lo…"),
    ],
)
def test_shorten(text: str, short: str) -> None:
    assert shorten(text, 10 if " very " in text else 40) == short


class Clock:
    """A time that passes when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def progress(clock: Callable[[], float] | None = None, **options: bool) -> tuple[ConsoleProgress, io.StringIO]:
    out = io.StringIO()
    listener = ConsoleProgress(Console(file=out, width=100), **options, **({"clock": clock} if clock else {}))
    return listener, out


def test_stages_are_timed_and_shown() -> None:
    clock = Clock()
    listener, out = progress(clock)
    for _ in range(2):
        with listener.stage("push"):
            clock.now += 1.5
    assert out.getvalue() == "✓ push 1.5 s\n" * 2
    assert listener.times == {"push": 3.0}


def test_a_stage_says_what_passed_and_what_did_not_have_to() -> None:
    clock = Clock()
    listener, out = progress(clock)
    with listener.stage("push"):
        listener.task("numpy", 20_000_000).done("exists")
        listener.task("base", 700_000_000).done("mounted")
        sent = listener.task("torch", 90_000_000)
        sent.advance(90_000_000)
        clock.now += 3
        sent.done("uploaded")
    with listener.stage("push"):
        listener.task("code", 800).advance(800)
    assert out.getvalue() == "✓ push 3.0 s, 90.0 MB at 30.0 MB/s, 2 reused (720 MB)\n✓ push 0.0 s, 800 B\n"


def test_a_timed_step_has_no_line() -> None:
    clock = Clock()
    listener, out = progress(clock)
    with listener.timed("emit"):
        clock.now += 0.5
    assert out.getvalue() == ""
    assert listener.times == {"emit": 0.5}


def test_lines_have_no_control_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    listener, out = progress(verbose=True)
    with listener.stage("push"):
        task = listener.task("torch", 90_000_000)
        task.advance(90_000_000)
        task.done("uploaded")
        listener.warn("careful")
    assert out.getvalue().isprintable() or set(filter(lambda c: not c.isprintable(), out.getvalue())) == {"\n"}


def test_a_failed_stage_has_no_line() -> None:
    listener, out = progress()
    with pytest.raises(ValueError, match="x"), listener.stage("push"):
        raise ValueError("x")
    assert out.getvalue() == ""
    assert listener.times == {}


def test_quiet_keeps_warnings_only() -> None:
    listener, out = progress(quiet=True, verbose=True)
    with listener.stage("push"):
        listener.note("a note")
        listener.hint("a hint")
        listener.detail("a detail")
        listener.warn("a [bold] warning")
    assert out.getvalue() == "! a [bold] warning\n"


def test_hints_and_notes_are_no_markup() -> None:
    listener, out = progress()
    listener.note("app[extra]")
    listener.hint("app[extra]")
    assert out.getvalue() == "  app[extra]\nnext: app[extra]\n"


@pytest.mark.parametrize("verbose", [False, True])
def test_tasks_and_details_speak_only_when_verbose(verbose: bool) -> None:
    listener, out = progress(verbose=verbose)
    listener.call({"0123": "numpy 2.0"})
    task = listener.task("0123", 10)
    task.advance(10)
    task.done("mounted")
    Aside(listener).note("by the way")
    assert out.getvalue() == ("  numpy 2.0: mounted\n  by the way\n" if verbose else "")


def test_what_is_aside_still_warns() -> None:
    listener, out = progress()
    aside = Aside(listener)
    with aside.stage("lock"):
        aside.warn("careful")
    assert out.getvalue().startswith("! careful\n✓ lock")


class TestSignsOfLife:
    """Where there are no bars."""

    def pushed(self, listener: ConsoleProgress, clock: Clock) -> None:
        with listener.stage("push"):
            task = listener.task("blob", 100_000_000)
            for _ in range(4):
                clock.now += 5
                task.advance(10_000_000)
            task.done()

    def test_every_fifteen_seconds(self) -> None:
        clock = Clock()
        listener, out = progress(clock)
        self.pushed(listener, clock)
        assert out.getvalue() == "  push: 30.0 MB so far, 2.0 MB/s\n✓ push 20.0 s, 40.0 MB at 2.0 MB/s\n"

    def test_not_when_quiet(self) -> None:
        clock = Clock()
        listener, out = progress(clock, quiet=True)
        self.pushed(listener, clock)
        assert out.getvalue() == ""

    def test_not_between_stages(self) -> None:
        clock = Clock()
        listener, out = progress(clock)
        clock.now = 100
        listener.task("blob", 10).advance(10)
        assert out.getvalue() == ""


def test_once_stopped_every_task_ends_at_its_next_block() -> None:
    for quiet in (False, True):
        listener, _ = progress(quiet=quiet)
        task = listener.task("blob", 10)
        task.advance(1)
        listener.stop()
        with pytest.raises(KeyboardInterrupt):
            task.advance(1)


class TestBars:
    def live(self, monkeypatch: pytest.MonkeyPatch, width: int = 100) -> tuple[ConsoleProgress, io.StringIO]:
        monkeypatch.setenv("TERM", "xterm")
        out = io.StringIO()
        console = Console(file=out, width=width, force_terminal=True, force_interactive=True, color_system=None)
        return ConsoleProgress(console), out

    @pytest.mark.parametrize("width", [30, 60, 100, 200])
    def test_a_stage_with_a_bar(self, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
        listener, out = self.live(monkeypatch, width)
        with listener.stage("push"):
            task = listener.task("[torch] 2.9", 10_000_000)
            task.advance(5_000_000)
            listener._bars._progress.refresh()
            shown = out.getvalue()
            task.done()
        assert "push" in shown
        assert "5.0 of 10.0 MB" in shown
        assert ("━" in shown) is (width >= 60)
        assert ("[torch] 2.9" in shown) is (width > 30)
        assert "✓ push 0." in out.getvalue().splitlines()[-1]
        assert "\x1b[?25h" in out.getvalue()  # the cursor is shown again

    @pytest.mark.parametrize("width", [30, 44, 61, 90, 140])
    def test_no_row_is_so_long_that_an_echoed_interrupt_wraps(
        self, monkeypatch: pytest.MonkeyPatch, width: int
    ) -> None:
        listener, out = self.live(monkeypatch, width)
        with listener.stage("push"):
            for name in ("torch 2.9.0+cu128 " * 3, "a"):
                listener.task(name, 999_000_000).advance(888_000_000)
            listener._bars._progress.refresh()
        rows = [re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", "", row) for row in re.split(r"[\r\n]", out.getvalue())]
        assert max(len(row) for row in rows[:-2]) <= width - 2

    def test_the_stage_has_the_total_of_its_tasks_and_counts_what_is_there(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        listener, out = self.live(monkeypatch, 140)
        with listener.stage("push"):
            tasks = [listener.task(f"blob{n}", 100_000_000) for n in range(4)]
            tasks[0].done("exists")
            tasks[1].done("mounted")
            tasks[2].advance(50_000_000)
            listener._bars._progress.refresh()
            shown = out.getvalue().rpartition("push")[2]
            tasks[2].done("uploaded")
            tasks[2].done("again")
        assert "250 of 400 MB" in shown
        assert "blob2" in shown
        assert "blob0" not in out.getvalue()
        assert "blob3" not in out.getvalue(), "it has not begun"
        assert out.getvalue().endswith("2 reused (200 MB)\n")

    def test_small_things_have_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        listener, out = self.live(monkeypatch)
        with listener.stage("push"):
            task = listener.task("config", 1000)
            task.advance(1000)
            task.done()
        assert "config" not in out.getvalue()

    def test_the_display_ends_with_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        listener, out = self.live(monkeypatch)

        def interrupted() -> None:
            with listener.stage("push"):
                listener.stop()
                listener._bars._progress.refresh()
                listener.task("blob", 10_000_000).advance(1)

        with pytest.raises(KeyboardInterrupt):
            interrupted()
        assert "stopping (^C: now)" in out.getvalue()
        assert "✓" not in out.getvalue()
        assert listener._bars is None

    def test_a_terminal_that_cannot_move_gets_lines(self, monkeypatch: pytest.MonkeyPatch) -> None:
        out = io.StringIO()
        listener = ConsoleProgress(Console(file=out, force_terminal=True, force_interactive=False, color_system=None))
        with listener.stage("push"):
            pass
        assert out.getvalue() == "✓ push 0.0 s\n"
