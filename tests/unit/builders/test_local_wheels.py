from __future__ import annotations

import os
import stat
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from rayimage.builders.local_wheels import build_local_wheels, with_local_wheels
from rayimage.errors import WheelError
from rayimage.model.digest import Digest
from rayimage.model.lock import LockedWheel
from rayimage.specs import LocalPackage

# What a backend may do: any order, its own name, today's time, odd modes, and a sibling by its path.
BACKEND = """\
import pathlib
import time
import zipfile


def build_wheel(target, config_settings=None, metadata_directory=None):
    name = pathlib.Path("NAME").read_text()
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(pathlib.Path(target) / f"{name}-1.0-py3-none-any.whl", "w") as archive:
        def add(path, text, mode=0o664):
            member = zipfile.ZipInfo(path, time.gmtime(time.time() + time.perf_counter())[:6])
            member.external_attr = (0o100000 | mode) << 16
            archive.writestr(member, text)

        add(f"{info}/WHEEL", f"Wheel-Version: 1.0\\nGenerator: backend ({time.time_ns()})\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        for file in sorted(pathlib.Path("src").rglob("*"), reverse=True):
            if file.is_file():
                add(str(file.relative_to("src")), file.read_bytes(), 0o775 if file.name == "run.sh" else 0o660)
        requires = "Requires-Dist: deep[x] @ file:///home/me/libs/deep ; os_name == 'posix'\\nRequires-Dist: six>=1\\n"
        add(f"{info}/METADATA", f"Metadata-Version: 2.1\\nName: {name}\\nVersion: 1.0\\n{requires}\\nUses deep @ file:///x\\n")
        add(f"{info}/RECORD", "nonsense")
    return f"{name}-1.0-py3-none-any.whl"
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "libs/common"
    (root / "src/common").mkdir(parents=True)
    (root / "src/common/__init__.py").write_text("VALUE = 1\n")
    (root / "src/common/run.sh").write_text("#!/bin/sh\n")
    (root / "NAME").write_text("common")
    (root / "backend.py").write_text(BACKEND)
    (root / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n[project]\nname = "common"\nversion = "1.0"\n'
    )
    return root


def build(source: Path, cache: Path, name: str = "common") -> LocalPackage:
    [built] = build_local_wheels([LocalPackage(name=canonicalize_name(name), directory=source)], cache)
    return built


def test_the_same_source_gives_the_same_bytes(source, tmp_path):
    first = build(source, tmp_path / "one")
    for file in source.rglob("*"):
        os.utime(file, (0, 0))
        file.chmod(file.stat().st_mode | stat.S_IWGRP)
    second = build(source, tmp_path / "two")
    assert first.digest == second.digest
    assert first.wheel.read_bytes() == second.wheel.read_bytes()
    assert first.wheel.parent.name == first.digest.hex


def test_the_wheel_is_whole_and_without_this_machine(source, tmp_path):
    with zipfile.ZipFile(build(source, tmp_path).wheel) as archive:
        names = archive.namelist()
        assert names == [
            "common/__init__.py",
            "common/run.sh",
            "common-1.0.dist-info/METADATA",
            "common-1.0.dist-info/WHEEL",
            "common-1.0.dist-info/RECORD",
        ]
        modes = {info.filename: info.external_attr >> 16 for info in archive.infolist()}
        assert [modes[name] for name in names[:2]] == [0o100644, 0o100755]
        metadata = archive.read(names[2]).decode()
        assert "Requires-Dist: deep[x]; os_name == 'posix'\nRequires-Dist: six>=1\n" in metadata
        assert "Uses deep @ file:///x" in metadata
        assert "Generator: rayimage\n" in archive.read(names[3]).decode()
        assert archive.read(names[4]).decode().splitlines()[-1] == "common-1.0.dist-info/RECORD,,"
    from installer.sources import WheelFile

    with WheelFile.open(build(source, tmp_path).wheel) as wheel:
        wheel.validate_record()


def test_a_source_is_built_once(source, tmp_path):
    first = build(source, tmp_path)
    (source / "backend.py").touch()
    os.utime(first.wheel, (7, 7))
    assert build(source, tmp_path).wheel.stat().st_mtime == 7
    (source / "src/common/__init__.py").write_text("VALUE = 2\n")
    assert build(source, tmp_path).digest != first.digest


def test_the_tree_is_left_as_it_is(source, tmp_path):
    before = sorted(source.rglob("*"))
    build(source, tmp_path)
    assert sorted(source.rglob("*")) == before


def test_ignored_files_are_neither_digested_nor_built(source, tmp_path):
    (source / ".gitignore").write_text("*.secret\n")
    first = build(source, tmp_path)
    (source / "src/common/key.secret").write_text("x")
    (source / "build/lib").mkdir(parents=True)
    (source / "build/lib/old.py").write_text("x")
    again = build(source, tmp_path / "new")
    assert again.digest == first.digest
    assert "common/key.secret" not in zipfile.ZipFile(again.wheel).namelist()


def test_a_wheel_of_another_name(source, tmp_path):
    with pytest.raises(WheelError, match="is not other: the wheel that it builds is one of common"):
        build(source, tmp_path, "other")


def test_a_failing_backend_leaves_nothing_behind(source, tmp_path):
    (source / "NAME").unlink()
    with pytest.raises(WheelError, match="could not be built") as caught:
        build(source, tmp_path / "cache")
    assert "NAME" in caught.value.why
    assert not list((tmp_path / "cache").glob("*/*"))


def test_locks_get_the_wheels_of_this_machine(source, tmp_path):
    from rayimage.model.lock import BaseIdentity, RoleLock
    from tests.unit.lock.samples import AMD64

    built = build(source, tmp_path)
    local = LockedWheel(
        name=canonicalize_name("common"),
        version=Version("1.0"),
        filename="x.whl",
        digest=Digest.of(b"other"),
        directory=source,
    )
    index = replace(local, name=canonicalize_name("six"), directory=None, url="https://example.com/x.whl")
    base = BaseIdentity(reference="b", digest=Digest.of(b"b"), ray=Version("2"), python=Version("3.11.1"))
    lock = RoleLock(
        role="head", platform=AMD64, base=base, inputs=Digest.of(b""), wheels=(local, index), provided=(), moves=()
    )
    here, same = with_local_wheels(lock, [built]).wheels
    assert same == index
    assert (here.url, here.digest) == (built.wheel.as_uri(), Digest.of(built.wheel.read_bytes()))
    assert here.filename == "common-1.0-py3-none-any.whl"
    assert with_local_wheels(lock, []) == lock
