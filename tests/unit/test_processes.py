from __future__ import annotations

import os
import sys

import pytest

from rayimage.processes import run_captured


def test_what_a_program_says_is_kept(tmp_path):
    code = (
        "import os, sys; sys.stdout.buffer.write(b'out \\xff'); sys.stderr.write(os.environ['WORD']);"
        "assert sys.stdin.read() == ''; open('made', 'w'); sys.exit(3)"
    )
    done = run_captured([sys.executable, "-c", code], env={**os.environ, "WORD": "err"}, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (3, "out \ufffd", "err")
    assert (tmp_path / "made").exists()


def test_a_program_that_is_not_there(tmp_path):
    with pytest.raises(OSError, match="none"):
        run_captured([str(tmp_path / "none")], env={})
