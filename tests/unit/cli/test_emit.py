from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.project import YAML, Ran

Run = Callable[..., Ran]
HEAD, WORKER = "example.com/team/app:1-head", "example.com/team/app:1-worker"
BOTH = ("--image", f"head={HEAD}", "--image", f"worker={WORKER}")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "ray.yaml"
    path.write_text(YAML, encoding="utf-8")
    return path


def test_writes_and_says_so_and_then_has_nothing_to_do(run: Run, file: Path) -> None:
    ran = run("emit", *BOTH, "--ray-version", "2.55.1", "ray.yaml")
    assert (ran.code, ran.out, ran.err) == (0, "", "  ray.yaml: 3 changes\n")
    assert HEAD in file.read_text()
    ran = run("emit", *BOTH, "--ray-version", "2.55.1", "ray.yaml")
    assert (ran.code, ran.err) == (0, "  ray.yaml: nothing to change\n")


def test_diff(run: Run, file: Path) -> None:
    ran = run("emit", *BOTH, "--diff", "ray.yaml")
    assert ran.out.startswith("--- a/ray.yaml\n+++ b/ray.yaml\n")
    assert f"+            image: {HEAD}\n" in ran.out


def test_check_fails_and_writes_nothing(run: Run, file: Path) -> None:
    ran = run("emit", *BOTH, "--check", "ray.yaml")
    assert ran.code == 12
    assert "error: 1 file would change\n  why:  ray.yaml\n" in ran.err
    assert file.read_text() == YAML


def test_check_passes(run: Run, file: Path) -> None:
    run("emit", *BOTH, "ray.yaml")
    assert run("emit", *BOTH, "--check", "ray.yaml").code == 0


def test_check_with_json_is_the_data_and_the_code(run: Run, file: Path) -> None:
    ran = run("emit", *BOTH, "--check", "--json", "ray.yaml")
    assert ran.code == 12
    [entry] = json.loads(ran.out)
    assert [change["new"] for change in entry["changes"]] == [HEAD, WORKER]


@pytest.mark.parametrize("quiet", [(), ("-q",), ("--json",)])
def test_a_role_that_no_document_uses_is_told(run: Run, file: Path, quiet: tuple[str, ...]) -> None:
    ran = run("emit", *quiet, *BOTH, "--image", "gpu=example.com/team/app:1-gpu", "ray.yaml")
    assert ran.code == 0
    assert "! --image gpu=…: no document has a place for role gpu\n" in ran.err
    assert "role head\n" not in ran.err


def test_a_role_that_was_written_before_is_used(run: Run, file: Path) -> None:
    run("emit", *BOTH, "ray.yaml")
    assert "!" not in run("emit", *BOTH, "ray.yaml").err


def test_what_is_left_alone_is_noted_with_its_line(run: Run, file: Path) -> None:
    ran = run("emit", "--image", f"worker={WORKER}", "ray.yaml")
    assert "ray.yaml:11: spec.headGroupSpec.template.spec.containers[0].image: no image given for role head" in ran.err


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ((), 2, "no --image given"),
        (("--image", "head=a:1"), 2, "no file given"),
        (("--image", "=a:1", "ray.yaml"), 2, "is not ROLE=REF"),
        (("--image", "head=a:1", "."), 2, "is a directory"),
        (("--image", "head=a:1", "gone.yaml"), 9, "gone.yaml: cannot be read"),
        (("--image", "head=a:1", "--ray-version", "2 5", "ray.yaml"), 2, "not a Ray version"),
    ],
)
def test_mistakes(run: Run, file: Path, arguments: tuple[str, ...], code: int, text: str) -> None:
    ran = run("emit", *arguments)
    assert ran.code == code
    assert text in ran.err
    assert "next:" in ran.err
    assert file.read_text() == YAML
