from __future__ import annotations

import json
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from packaging.utils import canonicalize_name

from rayimage.builders.docker import smoke as module
from rayimage.builders.docker.smoke import SmokeTest, unmet

GOOD = """\
rayimage smoke version
ray, version 2.55.1
rayimage smoke programs
rayimage smoke pip
No broken requirements found.
rayimage smoke imports
rayimage importing x
rayimage imported {}
ended 0
"""


@pytest.fixture
def trying(monkeypatch):
    def trying(output, health=(1, "RpcError: Unavailable"), known=frozenset()):
        removed = []

        @contextmanager
        def run_step(client, step):
            code, text = health if step.memory else (0, output)
            yield SimpleNamespace(code=code, output=text)

        monkeypatch.setattr(module, "run_step", run_step)
        monkeypatch.setattr(module, "load", lambda *_: None)
        client = SimpleNamespace(images=SimpleNamespace(remove=lambda name, force: removed.append(name)))
        image = SimpleNamespace(manifest=SimpleNamespace(digest=SimpleNamespace(short="abc")))
        monkeypatch.setattr(module, "connect", lambda: client)
        faults = SmokeTest().faults(image, interpreter="/python", ray="2.55.1", modules=["x"], known=known)
        assert removed == ["rayimage-smoke:abc"]
        return faults

    return trying


def test_what_works(trying):
    assert trying(GOOD) == ()


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("version 2.55.1", "version 2.9.0", "ray --version: ray, version 2.9.0; expected 2.55.1"),
        ("ray, version 2.55.1\n", "", "ray --version: says nothing; expected 2.55.1"),
        ("programs\n", "programs\nwget\n", "wget is not there: KubeRay's probes use it"),
        ("programs\n", "programs\nbash\n", "bash is not there: KubeRay starts Ray through it"),
        (
            "imported {}",
            "imported " + json.dumps({"x": "ImportError: libGL.so.1"}),
            "import x: ImportError: libGL.so.1",
        ),
        ("rayimage imported {}\nended 0", "ended 139", "import x: Python ended: rayimage importing x\nended 139"),
        (
            "No broken requirements found.",
            "a 1 has requirement b>=2, but you have b 1.",
            "pip check: a does not find b as it requires it",
        ),
    ],
)
def test_what_does_not(old, new, fault, trying):
    assert trying(GOOD.replace(old, new, 1)) == (fault,)


def test_a_driver_comes_with_the_node(trying):
    said = json.dumps({"x": "ImportError: libcuda.so.1: cannot open shared object file"})
    assert trying(GOOD.replace("imported {}", f"imported {said}")) == ()


def test_what_the_base_does_not_meet_itself(trying):
    known = frozenset({(canonicalize_name("a"), canonicalize_name("b"))})
    text = GOOD.replace("No broken requirements found.", "A 1 requires B, which is not installed.")
    assert trying(text, known=known) == ()


@pytest.mark.parametrize(
    ("health", "fault"),
    [
        ((137, ""), "ray health-check: killed in 256 MiB, in which KubeRay's init container runs it"),
        ((1, "Traceback\nModuleNotFoundError: x"), "ray health-check: Traceback\nModuleNotFoundError: x"),
    ],
)
def test_health_check(health, fault, trying):
    assert trying(GOOD, health) == (fault,)


def test_unmet():
    text = "a 1 requires b, which is not installed.\nC_d 2.0 has requirement e.f<1; x, but you have e.f 2.\nNoise.\n"
    assert unmet(text) == {("a", "b"), ("c-d", "e-f")}
