from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from rayimage.errors import UsageError
from rayimage.layers import CodeTree, FileInLayer, code_layer_key, collect_code, write_code_layer
from rayimage.layers.tar import MTIME
from rayimage.layers.zip_member import record_hash
from tests.support.wheelmaker import LAYOUT, contents, entries

WORKDIR = "/home/ray/app"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    (root / "pkg").mkdir(parents=True)
    (root / "main.py").write_text("import pkg\n")
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "pkg/__init__.py").write_text("")
    (root / "pkg/data.txt").write_text("x" * 3000)
    (root / "pkg/link").symlink_to("../main.py")
    for file, mode in {"main.py": 0o640, "run.sh": 0o744, "pkg/__init__.py": 0o666, "pkg/data.txt": 0o411}.items():
        (root / file).chmod(mode)
    return root


def write(project: Path, target: Path, workdir: str = WORKDIR):
    return write_tree(collect_code(project), target, workdir)


def write_tree(tree: CodeTree, target: Path, workdir: str = WORKDIR):
    return write_code_layer(tree, workdir, LAYOUT, code_layer_key(tree, workdir, LAYOUT), target)


def test_entries(project: Path, tmp_path: Path) -> None:
    layer = write(project, tmp_path / "layer")
    found = entries(layer)
    assert {name: entry.mode for name, entry in found.items()} == {
        "home/ray/app": 0o755,
        "home/ray/app/main.py": 0o644,
        "home/ray/app/pkg": 0o755,
        "home/ray/app/pkg/__init__.py": 0o644,
        "home/ray/app/pkg/data.txt": 0o644,
        "home/ray/app/pkg/link": 0o777,
        "home/ray/app/run.sh": 0o755,
    }
    assert list(found) == sorted(found)
    assert {(e.uid, e.gid, e.mtime, e.uname) for e in found.values()} == {(1000, 100, MTIME, "")}
    assert found["home/ray/app/pkg/link"].linkname == "../main.py"
    expected = {
        **{path: record_hash(hashlib.sha256(data).digest()) for path, data in contents(layer).items()},
        f"{WORKDIR}/pkg/link": "",
    }
    assert layer.files == tuple(FileInLayer(*item) for item in sorted(expected.items()))
    assert contents(layer)[f"{WORKDIR}/main.py"] == b"import pkg\n"


def test_golden(project: Path, tmp_path: Path) -> None:
    layer = write(project, tmp_path / "layer")
    assert str(layer.diff_id) == "sha256:b54fb8daccb265241d89819d30f5a45aa18c8d512e468c8f2da0a607985b6202"
    assert str(layer.descriptor.digest) == "sha256:50c59a815084cb3ed30b49c9cb16465b015513e42df42896c98bfebcfde36cff"
    assert (
        str(code_layer_key(collect_code(project), WORKDIR, LAYOUT))
        == "sha256:59c605e5782e48a03744f36d919124071ca035b1e504c798d0f4e695a726e546"
    )


def test_only_names_contents_and_executable_bits_count(project: Path, tmp_path: Path) -> None:
    one = write(project, tmp_path / "1")
    key = code_layer_key(collect_code(project), WORKDIR, LAYOUT)
    umask = os.umask(0o077)
    try:
        copy = tmp_path / "elsewhere" / "copy"
        copy.parent.mkdir()
        subprocess.run(["cp", "-R", project, copy], check=True)
        two = write(copy, tmp_path / "2")
    finally:
        os.umask(umask)
    os.utime(copy / "main.py", (1, 1))
    (copy / "main.py").chmod(0o444)
    assert two.descriptor == one.descriptor
    assert code_layer_key(collect_code(copy), WORKDIR, LAYOUT) == key


def rename(root: Path) -> None:
    (root / "main.py").rename(root / "other.py")


def edit(root: Path) -> None:
    (root / "run.sh").write_text("#!/bin/ash")


def allow(root: Path) -> None:
    (root / "main.py").chmod(0o755)


def relink(root: Path) -> None:
    (root / "pkg/link").unlink()
    (root / "pkg/link").symlink_to("../run.sh")


def copy_link(root: Path) -> None:
    (root / "pkg/link").unlink()
    (root / "pkg/link").write_text("../main.py")


@pytest.mark.parametrize("change", [rename, edit, allow, relink, copy_link])
def test_every_one_of_those_changes_key_and_layer(project: Path, tmp_path: Path, change) -> None:
    before = write(project, tmp_path / "1"), code_layer_key(collect_code(project), WORKDIR, LAYOUT)
    change(project)
    after = write(project, tmp_path / "2"), code_layer_key(collect_code(project), WORKDIR, LAYOUT)
    assert before[0].diff_id != after[0].diff_id
    assert before[1] != after[1]


def test_the_key_is_of_directory_and_owner_and_of_no_other_path(project: Path) -> None:
    tree = collect_code(project)
    key = code_layer_key(tree, WORKDIR, LAYOUT)
    assert code_layer_key(tree, "/app", LAYOUT) != key
    assert code_layer_key(tree, WORKDIR, replace(LAYOUT, uid=0)) != key
    assert code_layer_key(tree, WORKDIR, replace(LAYOUT, gid=0)) != key
    assert code_layer_key(tree, WORKDIR, replace(LAYOUT, purelib="/x")) == key


def test_no_code_still_makes_the_directory(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert list(entries(write(tmp_path / "empty", tmp_path / "layer", "/srv"))) == ["srv"]


@pytest.mark.parametrize("workdir", ["", "/", "app", "/home/../etc", "/home/ray/", "//app", "/a\\b", "/a/.wh.b"])
def test_workdirs_that_are_none(project: Path, tmp_path: Path, workdir: str) -> None:
    with pytest.raises(UsageError, match="cannot copy code to"):
        write(project, tmp_path / "layer", workdir)
    with pytest.raises(UsageError, match="cannot copy code to"):
        code_layer_key(collect_code(project), workdir, LAYOUT)
    assert not (tmp_path / "layer").exists()


@pytest.mark.parametrize("size", [0, 2, 5_000_000])
def test_a_file_that_changes_while_it_is_read(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    tree = collect_code(project)
    key = code_layer_key(tree, WORKDIR, LAYOUT)
    real = Path.open

    def changing(path: Path, *args, **kwargs):
        if path.name == "data.txt":
            with real(path, "wb") as stream:
                stream.write(bytes(size))
        return real(path, *args, **kwargs)

    (project / "pkg/data.txt").chmod(0o644)
    monkeypatch.setattr(Path, "open", changing)
    with pytest.raises(UsageError, match=r"data.txt changed while it was read"):
        write_code_layer(tree, WORKDIR, LAYOUT, key, tmp_path / "layer")
    assert not (tmp_path / "layer").exists()


def replace_content(project: Path) -> None:
    (project / "main.py").write_text("import sys\n")


def make_executable(project: Path) -> None:
    (project / "main.py").chmod(0o755)


def point_elsewhere(project: Path) -> None:
    (project / "pkg/link").unlink()
    (project / "pkg/link").symlink_to("../run.sh")


@pytest.mark.parametrize("change", [replace_content, make_executable, point_elsewhere])
def test_a_tree_that_changed_since_its_key_was_made(project: Path, tmp_path: Path, change: Callable) -> None:
    """Plan and build lie minutes apart; under the old key the cache would give the new code for the old for ever."""
    tree = collect_code(project)
    key = code_layer_key(tree, WORKDIR, LAYOUT)
    change(project)
    with pytest.raises(UsageError, match="project changed while it was read"):
        write_code_layer(tree, WORKDIR, LAYOUT, key, tmp_path / "layer")
    assert not (tmp_path / "layer").exists()


def test_a_file_that_is_gone_or_no_file_any_more(project: Path, tmp_path: Path) -> None:
    tree = collect_code(project)
    (project / "main.py").unlink()
    with pytest.raises(UsageError, match=r"cannot read .*main.py: No such file"):
        code_layer_key(tree, WORKDIR, LAYOUT)
    (project / "main.py").mkdir()
    with pytest.raises(UsageError, match="changed"):
        write_tree(tree, tmp_path / "layer")


def test_a_file_that_may_not_be_read(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *args, **kwargs):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(UsageError, match="Permission denied") as caught:
        code_layer_key(CodeTree(root=project, files=("main.py",)), WORKDIR, LAYOUT)
    assert "readable" in caught.value.fix
