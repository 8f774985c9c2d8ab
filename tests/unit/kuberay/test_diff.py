from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from rayimage.kuberay import Images, diff, emit_bytes, emit_files

RELEASE = Images({"head": "x/new:2"})
Head = Callable[[str], str]


def test_a_plain_diff(head: Head) -> None:
    text = diff(emit_bytes(head("image: a/b:1").encode(), RELEASE, file=Path("deploy/c.yaml")))
    assert text == (
        "--- a/deploy/c.yaml\n+++ b/deploy/c.yaml\n@@ -8,4 +8,4 @@\n       spec:\n         containers:\n"
        "         - name: ray-head\n-          image: a/b:1\n+          image: x/new:2\n"
    )


def test_no_change_is_no_diff(head: Head) -> None:
    assert diff(emit_bytes(head("image: x/new:2").encode(), RELEASE, file=Path("c.yaml"))) == ""


def test_names_are_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: Head) -> None:
    data = head("image: a/b:1").encode()
    monkeypatch.chdir(tmp_path)
    assert diff(emit_bytes(data, RELEASE, file=tmp_path / "d" / "c.yaml")).startswith(
        "--- a/d/c.yaml\n+++ b/d/c.yaml\n"
    )
    assert diff(emit_bytes(data, RELEASE, file=Path("/elsewhere/c.yaml"))).startswith("--- a/elsewhere/c.yaml\n")


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
@pytest.mark.parametrize("end", ["\n", ""])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_git_applies_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: Head, newline: str, end: str) -> None:
    file = tmp_path / "c.yaml"
    text = (
        "\ufeff# a next line \x85# and a separator \u2028# end no line of a file\n"
        + head("image: a/b:1").rstrip("\n")
        + end
    )
    file.write_bytes(text.replace("\n", newline).encode())
    monkeypatch.chdir(tmp_path)
    (emission,) = emit_files([Path("c.yaml")], RELEASE)
    subprocess.run(["git", "apply", "-"], input=diff(emission).encode(), check=True, capture_output=True)
    assert file.read_bytes() == emission.after != emission.before
