"""Locks and atomic writes."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rayimage.files import locked, make_ignored
from rayimage.layers import collect_code

HOLD = "import sys, time; from pathlib import Path; from rayimage.files import locked\n"
HOLD += "with locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"


def test_shared_and_exclusive(tmp_path: Path) -> None:
    with (
        locked(tmp_path, shared=True),
        locked(tmp_path, shared=True, wait=False),
        pytest.raises(BlockingIOError),
        locked(tmp_path, wait=False),
    ):
        raise AssertionError
    with locked(tmp_path, wait=False):
        pass


def test_a_killed_process_lets_go(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(BlockingIOError), locked(tmp_path, wait=False):
            raise AssertionError
        process.send_signal(signal.SIGKILL)
        process.wait()
    with locked(tmp_path, wait=False):
        pass


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_handle: int, _mode: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", refuse)
    with locked(tmp_path):
        pass
    with pytest.raises(BlockingIOError), locked(tmp_path, wait=False):
        raise AssertionError


def test_a_cache_in_a_project_is_no_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "app.py").touch()
    make_ignored(tmp_path / "some/cache")
    (tmp_path / "some/cache/blob").touch()
    assert collect_code(tmp_path).files == ("app.py",)
    make_ignored(tmp_path / "app.py" / "cache")  # cannot be made: whoever needs it says so
