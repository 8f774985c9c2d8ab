"""A small project for commands, and the command line in this process."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from rayimage.__main__ import main
from tests.support.fake_registry import FakeRegistry
from tests.support.project import Project, Ran, make_project

NOWHERE = "registry.example.com/team/small"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Head and worker on a small base, not locked yet; its repository leads nowhere."""
    return make_project(tmp_path, NOWHERE)


@pytest.fixture
def pushed(tmp_path: Path) -> Project:
    """The same with a registry behind its repository."""
    with FakeRegistry() as registry:
        yield make_project(tmp_path, f"{registry.host}/team/small")


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """``run("emit", …)``: a command in ``tmp_path``; the working directory is put back."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("RAYIMAGE_CACHE_DIR", str(tmp_path / "cache"))

    def call(*arguments: str) -> Ran:
        code, here = 0, Path.cwd()
        try:
            main(list(arguments))
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        finally:
            os.chdir(here)
        output = capsys.readouterr()
        return Ran(code, output.out, output.err)

    return call
