"""Exporters of other tools, played by small programs on PATH."""

from __future__ import annotations

from pathlib import Path

import pytest

from rayimage.errors import ConfigError
from rayimage.specs import collect_specs

LOCK = '[[package]]\nname = "own-reader"\nversion = "1.0"\ngroups = ["main"]\nfiles = []\n\n[metadata]\nlock-version = "2.1"\n'
PDM_LOCK = '[[package]]\nname = "own-reader"\nversion = "1.0"\ngroups = ["default"]\n\n[metadata]\nlock_version = "4.5"\ngroups = ["default"]\n'
SHA = "a" * 64


@pytest.fixture
def tool(tmp_path: Path, monkeypatch):
    """Put a program on an otherwise empty PATH; it notes how it was called."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    def make(name: str, body: str) -> Path:
        program, calls = tmp_path / "bin" / name, tmp_path / "calls"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\necho "$@" >> {calls}\n{body}\n')
        program.chmod(0o755)
        return calls

    return make


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "project").mkdir()
    (tmp_path / "project/poetry.lock").write_text(LOCK)
    (tmp_path / "project/pdm.lock").write_text(PDM_LOCK)
    return tmp_path / "project"


def names(root: Path, lock: str, **select) -> list[str]:
    return [str(requirement) for requirement in collect_specs(root=root, from_lock=Path(lock), **select).requirements]


def test_poetry_has_the_word_where_it_is_installed(tool, root, tmp_path):
    calls = tool(
        "poetry",
        f"echo 'six==1.17.0 ; python_version >= \"3\" --hash=sha256:{SHA}'\necho '--index-url https://me:pw@index.example.com'",
    )
    specs = collect_specs(
        root=root,
        from_lock=Path("poetry.lock"),
        extras=["gpu"],
        dependency_groups=["serve"],
        cache_dir=tmp_path / "cache",
    )
    assert (
        calls.read_text()
        == "export --no-interaction --no-ansi --format requirements.txt --only main,serve --extras=gpu\n"
    )
    assert [str(requirement) for requirement in specs.requirements] == ['six==1.17.0; python_version >= "3"']
    assert specs.origins == {'six==1.17.0; python_version >= "3"': "poetry.lock"}
    assert specs.hashes == {"six": {SHA}}
    assert specs.indexes == ("https://me:pw@index.example.com",)
    assert "pw" not in repr(specs)


def test_its_answer_is_kept_until_the_lock_changes(tool, root, tmp_path):
    calls = tool("poetry", "echo six==1.17.0")
    select = {"cache_dir": tmp_path / "cache"}
    assert names(root, "poetry.lock", **select) == names(root, "poetry.lock", **select) == ["six==1.17.0"]
    assert len(calls.read_text().splitlines()) == 1
    (root / "poetry.lock").write_text(LOCK + "# changed\n")
    names(root, "poetry.lock", **select)
    (root / "pyproject.toml").write_text("[tool.poetry]\n")
    names(root, "poetry.lock", **select)
    assert len(calls.read_text().splitlines()) == 3


def test_without_the_plugin_the_file_is_read(tool, root, tmp_path):
    tool("poetry", "echo 'The requested command export does not exist.' >&2; exit 1")
    assert names(root, "poetry.lock", cache_dir=tmp_path / "cache") == ["own-reader==1.0"]
    assert not (tmp_path / "cache/exports").exists()


def test_without_poetry_the_file_is_read(root, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    assert names(root, "poetry.lock") == ["own-reader==1.0"]


def test_pdm(tool, root):
    calls = tool("pdm", f"echo 'six==1.17.0'; echo 'common @ file://{root}/wheels/common-1.0-py3-none-any.whl'")
    assert names(root, "pdm.lock", dependency_groups=["serve"]) == [
        "six==1.17.0",
        "common @ file:wheels/common-1.0-py3-none-any.whl",
    ]
    assert calls.read_text() == "export --format requirements --lockfile pdm.lock --no-default --group=serve\n"


def test_the_digest_does_not_depend_on_who_reads(tool, root, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    without = collect_specs(root=root, from_lock=Path("poetry.lock")).digest
    monkeypatch.undo()
    tool("poetry", "echo six==1.17.0")
    assert collect_specs(root=root, from_lock=Path("poetry.lock")).digest == without


def test_uv_says_what_is_wrong(root, tmp_path):
    (root / "pyproject.toml").write_text('[project]\nname = "x"\nversion = "1"\n')
    (root / "uv.lock").write_text('version = 1\nrequires-python = ">=3.10"\n')
    with pytest.raises(ConfigError, match="uv cannot read the lock") as caught:
        names(root, "uv.lock")
    assert caught.value.why
    assert caught.value.fix
