from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from rayimage.builders.source import read_source
from rayimage.errors import UsageError

FALLBACK = "1999-01-01T00:00:00Z"


@pytest.fixture(autouse=True)
def no_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)


def git(root: Path, *args: str, date: int = 1_000_000_000) -> str:
    env = {
        "GIT_AUTHOR_DATE": f"{date} +0000",
        "GIT_COMMITTER_DATE": f"{date} +0000",
        "HOME": str(root),
        "PATH": "/usr/local/bin:/usr/bin:/bin",
    }
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
    command = ["git", "-C", str(root), *identity, *args]
    run = subprocess.run(command, env=env, check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    (tmp_path / "app.py").write_text("1")
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy" / "ray.yaml").write_text("a: 1")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "first", date=1_000_000_000)
    return tmp_path


def test_commit_time_and_revision(repo: Path) -> None:
    source = read_source(repo, fallback=FALLBACK)
    assert source.created == "2001-09-09T01:46:40Z"
    assert source.revision == git(repo, "rev-parse", "HEAD")
    assert not source.shallow


def test_a_commit_that_touches_only_generated_files_changes_nothing(repo: Path) -> None:
    before = read_source(repo, exclude=["deploy/ray.yaml"], fallback=FALLBACK)
    (repo / "deploy" / "ray.yaml").write_text("a: 2")
    assert read_source(repo, exclude=["deploy/ray.yaml"], fallback=FALLBACK) == before
    git(repo, "commit", "-qam", "the digest", date=1_100_000_000)
    assert read_source(repo, exclude=["deploy/ray.yaml"], fallback=FALLBACK) == before


def test_what_a_killed_build_left_beside_the_yaml_changes_nothing(repo: Path) -> None:
    before = read_source(repo, fallback=FALLBACK)
    for directory in (repo, repo / "deploy"):
        (directory / ".ray.yaml.x1y2.rayimage-tmp").write_text("half of it")
    assert read_source(repo, fallback=FALLBACK) == before


def test_a_commit_outside_the_project_changes_nothing(repo: Path) -> None:
    (repo / "app").mkdir()
    (repo / "app" / "x.py").write_text("1")
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "app", date=1_050_000_000)
    before = read_source(repo / "app", fallback=FALLBACK)
    (repo / "app.py").write_text("2")
    git(repo, "commit", "-qam", "elsewhere", date=1_100_000_000)
    assert read_source(repo / "app", fallback=FALLBACK) == before


def test_a_changed_tree_has_no_revision(repo: Path) -> None:
    (repo / "new.py").write_text("1")
    source = read_source(repo, fallback=FALLBACK)
    assert source.revision == ""
    assert source.created == "2001-09-09T01:46:40Z"


def test_source_date_epoch_wins(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    assert read_source(repo, fallback=FALLBACK).created == "1970-01-01T00:00:00Z"


@pytest.mark.parametrize("text", ["yesterday", "1e3", str(10**30)])
def test_source_date_epoch_that_is_no_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", text)
    with pytest.raises(UsageError, match="SOURCE_DATE_EPOCH"):
        read_source(tmp_path, fallback=FALLBACK)


def test_outside_of_a_repository(tmp_path: Path) -> None:
    assert read_source(tmp_path, fallback=FALLBACK).created == FALLBACK


def test_a_shallow_clone_says_so(repo: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    (repo / "app.py").write_text("2")
    git(repo, "commit", "-qam", "second", date=1_100_000_000)
    clone = tmp_path_factory.mktemp("clone")
    git(clone, "clone", "-q", "--depth=1", f"file://{repo}", str(clone / "c"))
    assert read_source(clone / "c", fallback=FALLBACK).shallow


def test_before_the_first_commit(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    assert read_source(tmp_path, fallback=FALLBACK).created == FALLBACK


def test_a_hooks_variables_do_not_count(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = read_source(repo, fallback=FALLBACK)
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.setenv(name, "/nowhere")
    assert read_source(repo, fallback=FALLBACK) == before


def test_a_signed_commit(repo: Path) -> None:
    """With ``log.showSignature`` git prints what gpg says before what was asked for."""
    raw = git(repo, "cat-file", "commit", "HEAD").replace("\n\n", "\ngpgsig -----BEGIN PGP SIGNATURE-----\n x\n\n", 1)
    (repo / ".git/raw").write_text(raw + "\n")
    git(repo, "update-ref", "HEAD", git(repo, "hash-object", "-t", "commit", "-w", ".git/raw"))
    git(repo, "config", "log.showSignature", "true")
    git(repo, "config", "gpg.program", "echo")
    assert read_source(repo, fallback=FALLBACK).created == "2001-09-09T01:46:40Z"


def no_git(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(repo))


def damaged_index(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (repo / ".git/index").write_bytes(b"junk")


def lost_directory(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (repo / ".git").rename(repo / "gone")
    (repo / ".git").write_text("gitdir: /nowhere")


@pytest.mark.parametrize("damage", [no_git, damaged_index, lost_directory])
def test_a_repository_that_git_cannot_read(repo: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable) -> None:
    """Nothing is said instead: the digest would be another one than where git can, with no word about it."""
    damage(repo, monkeypatch)
    with pytest.raises(UsageError, match="cannot tell the commit of") as caught:
        read_source(repo, fallback=FALLBACK)
    assert caught.value.why
    assert "SOURCE_DATE_EPOCH" in caught.value.fix
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    assert read_source(repo, fallback=FALLBACK).created == "1970-01-01T00:00:00Z"
