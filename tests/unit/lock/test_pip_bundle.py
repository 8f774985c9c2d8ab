from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version

import pytest
from packaging.version import Version

from rayimage.errors import LockError
from rayimage.lock import pip_bundle
from rayimage.lock.pip_bundle import copy_tools
from rayimage.lock.target import Target
from tests.unit.lock.samples import AMD64

TARGET = Target(python=Version("3.11.2"), platform=AMD64, glibc=Version("2.35"))


def test_the_copies_run_without_anything_else(tmp_path):
    tools = copy_tools(TARGET, tmp_path)
    code = f"import sys; sys.path[:] = [p for p in sys.path if 'site-packages' not in p] + [{str(tools)!r}]; import piptools.__main__ as m; m.cli(['compile', '--version'])"
    done = subprocess.run([sys.executable, "-I", "-S", "-B", "-c", code], capture_output=True, text=True, check=False)
    assert version("pip-tools") in done.stdout, done.stderr
    assert not list(tools.rglob("*.pyc"))
    assert tools.stat().st_mode & 0o777 == 0o755


def test_they_are_made_once(tmp_path):
    tools = copy_tools(TARGET, tmp_path)
    (tools / "mark").touch()
    assert copy_tools(TARGET, tmp_path) == tools
    assert list((tmp_path / "pip-tools").iterdir()) == [tools]
    assert not list((tmp_path / "scratch").iterdir())
    assert (tools / "mark").exists()


def test_a_python_that_they_are_not_for(tmp_path):
    old = Target(python=Version("3.6.1"), platform=AMD64, glibc=Version("2.35"))
    with pytest.raises(LockError, match=r"pip-tools cannot run in Python 3\.6"):
        copy_tools(old, tmp_path)


def test_a_part_that_is_not_installed_here(tmp_path, monkeypatch):
    real = pip_bundle.distribution

    def distribution(name):
        if name == "click":
            raise PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(pip_bundle, "distribution", distribution)
    with pytest.raises(LockError, match="where click is not installed") as caught:
        copy_tools(TARGET, tmp_path)
    assert caught.value.fix.startswith("pip install click")


def test_a_cache_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(LockError, match="cannot write"):
        copy_tools(TARGET, tmp_path / "file")
