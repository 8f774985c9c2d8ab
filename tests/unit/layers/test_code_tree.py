from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rayimage.errors import UsageError
from rayimage.layers import collect_code


def make(root: Path, *paths: str, **texts: str) -> Path:
    for path in paths:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x")
    for path, text in texts.items():
        (root / {"docker": ".dockerignore", "git": ".gitignore"}[path]).write_text(text)
    return root


def code(root: Path, *exclude: str) -> list[str]:
    files = list(collect_code(root, exclude=exclude).files)
    return [file for file in files if file not in (".dockerignore", ".gitignore")]


def test_files_are_sorted_and_measured(tmp_path: Path) -> None:
    make(tmp_path, "b.py", "a/z.py", "a.py", "a-b.py", "ü.txt")
    (tmp_path / "empty").mkdir()
    tree = collect_code(tmp_path)
    assert tree.files == ("a-b.py", "a.py", "a/z.py", "b.py", "ü.txt")
    assert (tree.root, tree.size) == (tmp_path, 5)


def test_what_is_never_code(tmp_path: Path) -> None:
    make(
        tmp_path,
        "app.py",
        ".git/HEAD",
        "__pycache__/app.pyc",
        "a/app.pyc",
        ".ray.yaml.x.rayimage-tmp",
        ".venv/bin/python",
        ".mypy_cache/x",
    )
    make(
        tmp_path,
        ".ruff_cache/x",
        ".pytest_cache/x",
        "venv/pyvenv.cfg",
        "venv/lib/x.py",
        "env/pyvenv.cfg",
        "a/venv/x.py",
    )
    make(tmp_path, "sub/.git", ".DS_Store", docker="!**/*.pyc\n!.git")
    assert code(tmp_path, "!.venv", "!**/pyvenv.cfg") == ["a/venv/x.py", "app.py"]


def test_a_project_that_is_itself_an_environment(tmp_path: Path) -> None:
    assert code(make(tmp_path, "pyvenv.cfg", "app.py")) == ["app.py", "pyvenv.cfg"]


def test_links_to_environments_elsewhere_are_left_out(tmp_path: Path) -> None:
    make(tmp_path, "elsewhere/pyvenv.cfg", "project/app.py")
    for name in ("venv", ".venv"):
        (tmp_path / "project" / name).symlink_to(tmp_path / "elsewhere")
    assert code(tmp_path / "project") == ["app.py"]


def test_dockerignore(tmp_path: Path) -> None:
    make(tmp_path, "a.md", "README.md", "src/a.py", "src/b.txt", "x/src/c.py", docker="*\n!src/**/*.py\n!README.md")
    assert code(tmp_path) == ["README.md", "src/a.py"]


def test_both_files_count(tmp_path: Path) -> None:
    make(tmp_path, "a.log", "b.tmp", "c.py", docker="*.tmp\n!*.log", git="*.log\n!*.tmp")
    assert code(tmp_path) == ["c.py"]


def test_exclude_comes_last_and_may_bring_back(tmp_path: Path) -> None:
    make(tmp_path, "gen/a.py", "gen/b.txt", "c.py", "d.py", "e.tmp", docker="*.tmp", git="gen/")
    assert code(tmp_path, "d.py") == ["c.py"]
    assert code(tmp_path, "!gen/*.py", "!e.tmp", "c.py") == ["d.py", "e.tmp", "gen/a.py"]


def test_nested_gitignore(tmp_path: Path) -> None:
    make(tmp_path, "a.log", "keep/a.log", "keep/deep/a.log", "other/x/y", "other/z/y", "x", git="*.log\n/x\n")
    make(tmp_path / "keep", git="!a.log")
    make(tmp_path / "other", git="/x\n")
    (tmp_path / "keep/deep/.gitignore").write_text("*")
    assert code(tmp_path) == ["keep/.gitignore", "keep/a.log", "other/.gitignore", "other/z/y"]


def test_gitignore_of_the_repository_around(tmp_path: Path) -> None:
    make(tmp_path, ".git/HEAD", "project/a.log", "project/out/b", "project/c.py", git="*.log\n/project/out\n")
    assert code(tmp_path / "project") == ["c.py"]
    (tmp_path / ".gitignore").write_text("*.log\n/project/\n")
    assert code(tmp_path / "project") == ["c.py", "out/b"]  # named on purpose, although ignored
    shutil.rmtree(tmp_path / ".git")
    (tmp_path / ".gitignore").write_text("*.log\n")
    assert "a.log" in code(tmp_path / "project")


IGNORES = [
    "*.py\n", "*\n!*/\n!*.py\n", "build/\n!build/keep.py\n", "build/*\n!build/keep.py\n", "/a\n**/b\n", "a/**/c.py\n",
    "*.py\n!/a/x.py\n", "# comment\n\\#x\n\\!y\n trailing \n", "b\n!b\n", "[ab]\n", "a/*\n!a/b\n", "c.py\n!a/b/c.py\n",
    "build\n!build/\n", "/*\n!/a\n", "b/\n!a/\n", "b\n!a\n", "a/**\n!a/b/\n", "a/**\n!a/**/\n!*.py", "**\n!a\n", "a//b\n/\n",
    "**/\n", "a/b/\n", "/a/b\n", "a**/x.py\n", "a/**b\n", "**/y/**\n", "x.py \n", "x.py\\ \n", "x.py\r\n", "[!a]\n", "[^x].py\n",
    "[[:alpha:]]/\n", "[a-c]/y\n", "[]x].py\n", "[\\x].py\n", "[x.py\n", "x.py\\\n", "\\x.py\n", "?\n", "***/b\n", "a\\/b\n", "a?b\n", "[[:nope:]]*\n",
]  # fmt: skip
PIECES = st.sampled_from(
    ["a", "b", "c", "x", "y", "*", "**", "?", "/", "/", ".py", "[ab]", "[!a]", "!", "\\", "build", "#"]
)
LINES = st.lists(st.lists(PIECES, min_size=1, max_size=6).map("".join), max_size=5).map("\n".join)
TREE = ("x.py", "a/x.py", "a/b/c.py", "a/b/x", "a/y/z/c.py", "b", "build/keep.py", "build/a/out", "#x", "!y", "c/b/d")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("repository")
    make(root, *TREE)
    git(root, "init", "-q", ".")
    return root


def git(root: Path, *command: str) -> str:
    env = {"PATH": os.environ["PATH"], "HOME": str(root / "home"), "GIT_CONFIG_NOSYSTEM": "1"}
    return subprocess.run(["git", *command], cwd=root, env=env, check=True, capture_output=True).stdout.decode()


def same_as_git(root: Path, top: str, nested: str) -> None:
    (root / ".gitignore").write_text(top)
    (root / "a/.gitignore").write_text(nested)
    listed = git(root, "ls-files", "-z", "--others", "--exclude-standard").split("\0")
    assert list(collect_code(root).files) == sorted(filter(None, listed)), (top, nested)


@pytest.mark.skipif(not shutil.which("git"), reason="needs git")
@pytest.mark.parametrize("text", IGNORES)
def test_the_same_files_as_git_lists(repository: Path, text: str) -> None:
    for nested in ("", "!x.py\n", "*\n", "/b/\nc.py\n"):
        same_as_git(repository, text, nested)
    same_as_git(repository, "", text)


@pytest.mark.skipif(not shutil.which("git"), reason="needs git")
@settings(max_examples=60, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(LINES, LINES)
def test_the_same_files_as_git_lists_for_any_patterns(repository: Path, top: str, nested: str) -> None:
    same_as_git(repository, top, nested)


def test_ignored_directories_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "a/b/x", "data/x/y", "cache/z", "src/a.py", docker="data\n*/b\n!src/deep/keep", git="cache/")
    read = []
    scandir = os.scandir

    def recording(path) -> Iterable:
        read.append(Path(path).relative_to(tmp_path).as_posix())
        return scandir(path)

    monkeypatch.setattr(os, "scandir", recording)
    collect_code(tmp_path)
    assert sorted(read) == [".", "a", "src"]


def test_links_within_the_tree_are_kept(tmp_path: Path) -> None:
    make(tmp_path, "a/x.py", "b/y.py")
    (tmp_path / "link.py").symlink_to("a/x.py")
    (tmp_path / "b/up").symlink_to("../a")
    (tmp_path / "dangling").symlink_to("a/generated.py")
    assert code(tmp_path) == ["a/x.py", "b/up", "b/y.py", "dangling", "link.py"]


@pytest.mark.parametrize("target", ["/etc/passwd", "..", "../sibling", "a/../../sibling", "down/../../outside"])
def test_links_out_of_the_tree_are_refused(tmp_path: Path, target: str) -> None:
    make(tmp_path / "project", "a/x.py")
    make(tmp_path, "sibling/x")
    (tmp_path / "project/bad").symlink_to(target)
    with pytest.raises(UsageError, match=r"'bad': a link out of the tree, to ") as caught:
        collect_code(tmp_path / "project")
    assert ".dockerignore" in caught.value.fix
    assert code(tmp_path / "project", "bad") == ["a/x.py"]


def test_a_link_that_leaves_through_another_one(tmp_path: Path) -> None:
    make(tmp_path / "project", "a/b/x.py")
    (tmp_path / "project/a/b/here").symlink_to("../..")
    (tmp_path / "project/deep").symlink_to("a/b/here/../outside")
    (tmp_path / "outside").write_text("x")
    with pytest.raises(UsageError, match="'deep': a link out of the tree"):
        collect_code(tmp_path / "project")


def test_all_faults_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "a.py", ".wh.x", "back\\slash")
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        (tmp_path / "link").symlink_to("/")
        with pytest.raises(UsageError) as caught:
            collect_code(tmp_path)
    for name in ("'.wh.x'", r"'back\\slash'", "'pipe'", "'socket'", "'link'"):
        assert name in caught.value.why
    assert code(tmp_path, ".wh.*", "back*", "pipe", "socket", "link") == ["a.py"]


def test_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    try:
        (tmp_path / os.fsdecode(b"caf\xe9.py")).write_text("")
    except OSError:
        pytest.skip("the file system refuses the name")
    with pytest.raises(UsageError, match="not UTF-8"):
        collect_code(tmp_path)


def test_no_directory(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a directory"):
        collect_code(tmp_path / "none")
    make(tmp_path, "file")
    with pytest.raises(UsageError, match="not a directory"):
        collect_code(tmp_path / "file")


def test_an_ignore_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / ".dockerignore").mkdir()
    with pytest.raises(UsageError, match=r"cannot read .*dockerignore"):
        collect_code(tmp_path)


def test_an_oci_layout_is_never_code(tmp_path: Path) -> None:
    make(tmp_path, "out/oci-layout", "out/blobs/sha256/ab", "out2/app.py", "app.py")
    assert code(tmp_path) == ["app.py", "out2/app.py"]


def test_no_depth_is_too_deep(tmp_path: Path) -> None:
    deep = "/".join("d" * 700)
    (tmp_path / deep).mkdir(parents=True)
    (tmp_path / deep / "x.py").touch()
    assert collect_code(tmp_path).files == (f"{deep}/x.py",)
