from __future__ import annotations

import time

import pytest

from benchmarks import process
from benchmarks.process import BuildFailedError, run


def test_output_is_returned_and_settings_of_installers_do_not_reach_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("UV_INDEX", "PIP_INDEX_URL", "DOCKER_HOST", "KEPT"):
        monkeypatch.setenv(name, "here")
    assert run(["sh", "-c", "echo $UV_INDEX$PIP_INDEX_URL$DOCKER_HOST-$KEPT-$MORE"], {"MORE": "more"}) == "-here-more\n"


def test_a_failure_says_what_was_printed_last() -> None:
    with pytest.raises(BuildFailedError, match=r"sh -c .* → 3\nout\nerr"):
        run(["sh", "-c", "echo out; echo err >&2; exit 3"])


def test_what_takes_too_long_ends_with_all_that_it_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "TIMEOUT", 0.2)
    started = time.monotonic()
    with pytest.raises(BuildFailedError, match=r"took over 0\.2 s"):
        run(["sh", "-c", "sleep 30 & sleep 30"])
    assert time.monotonic() - started < 10
