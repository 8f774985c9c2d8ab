from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from packaging.version import Version

from rayimage.errors import LockError
from rayimage.lock import pip_places
from rayimage.lock.pip_places import HostPython, Visible, in_base, manylinux_module, on_host
from rayimage.lock.target import Target
from tests.unit.lock.samples import AMD64, inventory

TARGET = Target(python=Version("3.11.2"), platform=AMD64, glibc=Version("2.35"))
LIKE_IT = HostPython(
    implementation="CPython", python=Version("3.11.7"), system="Linux", machine="x86_64", glibc=Version("2.35")
)


def test_this_interpreter():
    here = HostPython.here()
    assert here.implementation
    assert here.python.micro is not None


@pytest.mark.parametrize(
    "changes", [{}, {"python": Version("3.11.2")}, {"glibc": Version("2.41")}, {"python": Version("3.11.99")}]
)
def test_a_machine_like_the_base(changes):
    assert replace(LIKE_IT, **changes).mismatch(TARGET) == ""


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"python": Version("3.12.1")}, "rayimage runs in Python 3.12 here, the base has 3.11"),
        ({"machine": "aarch64"}, "this machine is Linux on aarch64, the base is Linux on x86_64"),
        ({"system": "Darwin", "glibc": None}, "this machine is Darwin"),
        ({"implementation": "PyPy"}, "rayimage runs in PyPy here"),
        ({"free_threaded": True}, "free-threaded CPython"),
        ({"glibc": Version("2.31")}, "this machine has glibc 2.31, the base glibc 2.35"),
        ({"glibc": Version("2.9")}, "glibc 2.9,"),
        ({"glibc": None}, "no glibc"),
    ],
)
def test_a_machine_unlike_the_base(changes, why):
    assert why in replace(LIKE_IT, **changes).mismatch(TARGET)


def test_only_what_the_bases_glibc_loads_is_compatible():
    names = {}
    exec(manylinux_module(TARGET), names)  # what pip does with a module named _manylinux
    compatible = names["manylinux_compatible"]
    assert compatible(2, 35, "x86_64")
    assert compatible(2, 5, "x86_64")
    assert not compatible(2, 36, "x86_64")


def test_running_here(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_TARGET", "/x")
    place = on_host(LIKE_IT, {"PIP_INDEX_URL": "https://example.com"}, tmp_path)
    code = "import os; print(os.getcwd(), os.environ['PIP_INDEX_URL'], os.environ.get('PIP_TARGET'))"
    done = place.run(["-c", code])
    assert done.stdout.split() == [str(tmp_path), "https://example.com", "None"]
    assert place.python == LIKE_IT.python
    assert place.run(["-c", "raise SystemExit(3)"]).returncode == 3


def test_an_interpreter_that_is_gone(monkeypatch, tmp_path):
    monkeypatch.setattr(pip_places.sys, "executable", str(tmp_path / "absent"))
    with pytest.raises(LockError, match="pip-tools cannot be started"):
        on_host(LIKE_IT, {}, None).run(["-c", ""])


def test_running_in_the_base(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith(("PIP_", "SSL_", "REQUESTS_", "CURL_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SECRET_TOKEN", "not for the container")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:3128")
    (tmp_path / "wheels").mkdir()
    commands = []

    def run(command):
        commands.append(command)
        return subprocess.CompletedProcess(command.arguments, 0, "out", "")

    base = inventory("click==8.1.7", python="3.11.2")
    visible = Visible(
        tools=Path("/cache/tools"),
        directory=Path("/project"),
        readable=(Path("/project"), Path("/work"), Path("/")),
        writable=(Path("/work"),),
    )
    place = in_base(base, run, {"PIP_FIND_LINKS": str(tmp_path / "wheels")}, visible)
    assert place.run(["script.py", "x"]).stdout == "out"
    (command,) = commands
    assert place.python == base.python
    assert command.image == base.image
    assert command.arguments == (base.layout.interpreter, "script.py", "x")
    assert command.directory == Path("/project")
    assert command.readable == tuple(sorted([Path("/cache/tools"), Path("/project"), tmp_path / "wheels"]))
    assert command.writable == (Path("/work"),)
    assert command.environment["PYTHONPATH"] == "/cache/tools"
    assert command.environment["https_proxy"] == "http://127.0.0.1:3128"
    assert "SECRET_TOKEN" not in command.environment
