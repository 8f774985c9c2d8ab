from __future__ import annotations

import io

import pytest
from rich.console import Console

from rayimage.report.progress import ConsoleProgress, human_bytes


@pytest.mark.parametrize(
    ("count", "text"),
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
def test_human_bytes(count: int, text: str) -> None:
    assert human_bytes(count) == text


def progress(**options: bool) -> tuple[ConsoleProgress, io.StringIO]:
    out = io.StringIO()
    return ConsoleProgress(Console(file=out, width=100), **options), out


def test_stages_are_timed_and_shown() -> None:
    listener, out = progress()
    with listener.stage("push"):
        pass
    assert "✓ push" in out.getvalue()
    assert listener.times["push"] >= 0


def test_a_failed_stage_has_no_line() -> None:
    listener, out = progress()
    with pytest.raises(ValueError, match="x"), listener.stage("push"):
        raise ValueError("x")
    assert out.getvalue() == ""


def test_quiet_keeps_warnings_only() -> None:
    listener, out = progress(quiet=True)
    with listener.stage("push"):
        listener.note("a note")
        listener.warn("a [bold] warning")
    assert out.getvalue() == "! a [bold] warning\n"


def test_tasks_speak_only_when_verbose() -> None:
    for verbose in (False, True):
        listener, out = progress(verbose=verbose)
        task = listener.task("numpy", 10)
        task.advance(10)
        task.done("mounted")
        assert ("numpy: mounted" in out.getvalue()) is verbose


def test_bars_on_a_terminal_leave_nothing_behind() -> None:
    out = io.StringIO()
    listener = ConsoleProgress(Console(file=out, width=100, force_terminal=True))
    with listener.stage("push"):
        task = listener.task("torch", 10_000_000)
        task.advance(5_000_000)
        task.done()
    assert "push" in out.getvalue()
    assert listener.times.keys() == {"push"}
