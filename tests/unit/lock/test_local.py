"""Local packages on their way through a resolver's input and a lock."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import tomli
from packaging.pylock import Pylock
from packaging.utils import canonicalize_name

from rayimage.errors import LockError
from rayimage.lock import export_requirements, read_lock, write_lock
from rayimage.lock.uv import _sources, local_text
from rayimage.specs import Source
from tests.unit.lock.samples import role_lock

COMMON = canonicalize_name("common")


def test_lines_become_a_file(tmp_path):
    plain = Source(kind="requirements", path=Path("/project/requirements.in"))
    lines = Source(kind="lines", path=Path("/project/a.in"), lines=("--pre", "numpy", "common[x]"))
    assert list(_sources((plain, lines), tmp_path)) == [
        "/project/requirements.in",
        str(tmp_path / "source-1/requirements.in"),
    ]
    assert (tmp_path / "source-1/requirements.in").read_text() == "--pre\nnumpy\ncommon[x]\n"


def test_lines_with_tables_become_a_project(tmp_path):
    tables = '[tool]\nuv = { sources = { torch = { index = "cpu" } } }\n'
    marker = 'torch==2.7.1; sys_platform == "linux"'
    source = Source(kind="lines", path=Path("/project/uv.lock"), lines=(marker, "six==1.17.0"), tables=tables)
    assert list(_sources((source,), tmp_path)) == [str(tmp_path / "source-0/pyproject.toml")]
    data = tomli.loads((tmp_path / "source-0/pyproject.toml").read_text())
    assert data["project"]["dependencies"] == [marker, "six==1.17.0"]
    assert data["tool"]["uv"]["sources"] == {"torch": {"index": "cpu"}}


def test_local_packages_are_constraints_by_name():
    wheels = ((COMMON, Path("/cache/a b/common-1.0-py3-none-any.whl")),)
    one = Source(kind="requirements", path=Path("/a.in"), wheels=wheels)
    assert local_text((one, one)) == "common @ file:///cache/a%20b/common-1.0-py3-none-any.whl\n"
    assert local_text(()) == ""


def local_lock(tmp_path):
    wheel = replace(
        role_lock().wheels[0],
        name=COMMON,
        filename="common-1.0-py3-none-any.whl",
        url="file:///cache/common-1.0-py3-none-any.whl",
        directory=tmp_path / "libs/common",
    )
    return replace(role_lock(), wheels=(wheel,), moves=())


def test_a_lock_names_the_directory_and_not_the_wheels_place(tmp_path):
    file = tmp_path / "project/lockfiles/pylock.head-amd64.toml"
    lock = local_lock(tmp_path)
    write_lock(lock, file)
    text = file.read_text()
    assert "/cache" not in text
    [package] = Pylock.from_dict(tomli.loads(text)).packages
    assert package.directory.path == "../../libs/common"
    assert read_lock(file).wheels == (replace(lock.wheels[0], url=""),)


def test_a_lock_with_a_directory_but_no_wheel_is_damaged(tmp_path):
    file = tmp_path / "pylock.toml"
    write_lock(local_lock(tmp_path), file)
    file.write_text(file.read_text().replace("\nwheel = ", "\nwhel = "))
    with pytest.raises(LockError, match="wheel is missing"):
        read_lock(file)


def test_an_export_says_that_pip_cannot_have_it(tmp_path):
    lines = export_requirements(local_lock(tmp_path)).splitlines()
    assert [line for line in lines if "common" in line] == [
        "# common==2.3.3 is built from the project's own source: pip has no hash of it"
    ]
