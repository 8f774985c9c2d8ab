"""``build`` holds what it installs against the wheels' own metadata, and refuses before anything is sent."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rayimage.lock import lock_path, read_lock, write_lock
from rayimage.model.lock import RoleLock
from tests.support.fake_registry import FakeRegistry
from tests.support.project import Project, make_project
from tests.support.values import AMD64
from tests.support.wheelmaker import make_wheel, on_disk, wheel_files, zipped


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as running:
        yield running


@pytest.fixture
def project(tmp_path: Path, registry: FakeRegistry) -> Project:
    """Its ``extra`` requires ``common``, and all is locked."""
    made = make_project(tmp_path, f"{registry.host}/team/small")
    make_wheel(tmp_path / "wheels", {"extra.py": b"1"}, "extra", "1.0", ["Requires-Dist: common>=1"])
    assert made.run("lock").code == 0
    return made


def edited(project: Project, change: Callable[[RoleLock], RoleLock], role: str = "worker") -> None:
    """The lock changed, and sealed again: what a merge tool, or a bug of ours, could leave behind."""
    file = lock_path(project.root / "lockfiles", role, AMD64)
    assert write_lock(change(read_lock(file)), file)


def without(lock: RoleLock, *names: str) -> RoleLock:
    return replace(lock, wheels=tuple(wheel for wheel in lock.wheels if wheel.name not in names))


def refused(project: Project, registry: FakeRegistry, *words: str) -> None:
    ran = project.run("build", "--tag", "v1")
    assert ran.code == 5, ran.err
    assert "the locked packages do not fit together" in ran.err
    said = " ".join(ran.err.split())
    for word in words:
        assert word in said
    assert not registry.tags["team/small"]
    assert not registry.manifests["team/small"]
    assert not registry.blobs


def test_a_wheel_that_is_needed_is_not_locked(project: Project, registry: FakeRegistry) -> None:
    edited(project, lambda lock: without(lock, "common"))
    line = "extra 1.0 requires common>=1, but it is not installed; require common>=1 (role worker on linux/amd64)"
    asked = "requirements.in:3 requires common, but it would not be installed (role worker on linux/amd64)"
    refused(project, registry, line, asked, "run `rayimage lock`", 'allow-unmet = ["common"]')
    # The second time the layers are in the cache, and no wheel is at hand.
    shutil.rmtree(project.root.parent / "wheels")
    refused(project, registry, line, asked)


def test_the_way_out(project: Project, registry: FakeRegistry) -> None:
    edited(project, lambda lock: without(lock, "common"))
    config = project.root / "rayimage.toml"
    config.write_text(config.read_text().replace("base   ", 'allow-unmet = ["Common"]\nbase   ', 1))
    ran = project.run("build", "--tag", "v1")
    assert ran.code == 0, ran.err
    assert "extra 1.0 requires common>=1, but it is not installed" in " ".join(ran.err.split())
    assert set(registry.tags["team/small"]) == {"v1-head", "v1-worker", "rayimage-cache"}
    # A machine that has neither layers nor wheels is told the same, and refuses the same.
    shutil.rmtree(project.root.parent / "wheels")
    shutil.rmtree(project.cache)
    ran = project.run("build", "--tag", "v1")
    assert ran.code == 0, ran.err
    assert "extra 1.0 requires common>=1, but it is not installed" in " ".join(ran.err.split())
    config.write_text(config.read_text().replace('["Common"]', "[]"))
    shutil.rmtree(project.cache)
    ran = project.run("build", "--tag", "v1")
    assert ran.code == 5, ran.err
    assert "extra 1.0 requires common>=1" in " ".join(ran.err.split())


def test_a_version_that_does_not_fit(project: Project, registry: FakeRegistry) -> None:
    wheel = make_wheel(project.root.parent / "wheels", {"common.py": b"0"}, "common", "0.9")

    def older(lock: RoleLock) -> RoleLock:
        [common] = (each for each in lock.wheels if each.name == "common")
        other = replace(
            common,
            version=common.version.__class__("0.9"),
            filename=wheel.filename,
            digest=wheel.digest,
            size=wheel.path.stat().st_size,
            url=wheel.path.as_uri(),
        )
        return replace(lock, wheels=(other, *without(lock, "common").wheels))

    edited(project, older)
    refused(project, registry, "extra 1.0 requires common>=1, but 0.9 is installed; require common>=1, which suits all")


def test_a_wheel_is_not_what_the_lock_says(project: Project, registry: FakeRegistry) -> None:
    files = wheel_files({"common.py": b"1"}, "common", "1.0")
    files["common-1.0.dist-info/METADATA"] = files["common-1.0.dist-info/METADATA"].replace(b"1.0", b"1.1")
    wheel = on_disk(project.root.parent / "other", zipped(files), "common-1.0-py3-none-any.whl")

    def another(lock: RoleLock) -> RoleLock:
        file = {"digest": wheel.digest, "size": wheel.path.stat().st_size, "url": wheel.path.as_uri()}
        return replace(lock, wheels=tuple(replace(w, **file) if w.name == "common" else w for w in lock.wheels))

    edited(project, another, "head")
    line = "common-1.0-py3-none-any.whl is locked as common 1.0, but its METADATA says that it is common 1.1"
    refused(project, registry, f"{line}; use another build of it (role head on linux/amd64)")


def test_a_removal_without_a_wheel(project: Project, registry: FakeRegistry) -> None:
    edited(project, lambda lock: without(lock, "old"))
    refused(project, registry, "the base's old 1.0 is removed, but the lock has no wheel in its place")


def test_a_foreign_lock_that_contradicts_itself(project: Project, registry: FakeRegistry) -> None:
    """The versions of ``from-lock`` are taken as they are, so they are refused when they do not fit each other."""
    wheels = project.root.parent / "wheels"
    extra = make_wheel(wheels, {"extra.py": b"1"}, "extra", "1.0", ["Requires-Dist: common>=1"])
    common = make_wheel(wheels, {"common.py": b"0"}, "common", "0.9")
    packages = "".join(
        f"""
[[packages]]
name = "{wheel.filename.partition("-")[0]}"
version = "{wheel.filename.split("-")[1]}"
wheels = [{{ path = "../wheels/{wheel.filename}", hashes = {{ sha256 = "{wheel.digest.hex}" }} }}]
"""
        for wheel in (extra, common)
    )
    (project.root / "pylock.toml").write_text(f'lock-version = "1.0"\ncreated-by = "somebody"\n{packages}')
    config = project.root / "rayimage.toml"
    lines = [line for line in config.read_text().splitlines() if not line.startswith("requirements")]
    config.write_text("\n".join(['from-lock = "pylock.toml"', *lines]))
    shutil.rmtree(project.root / "lockfiles")
    ran = project.run("build", "--tag", "v1", env={"UV_NO_INDEX": "1", "UV_FIND_LINKS": str(wheels)})
    assert ran.code == 5, ran.err
    said = " ".join(ran.err.split())
    assert "all versions of extra depend on common>=1" in said
    assert "you require common==0.9" in said
    assert not registry.tags["team/small"]


def test_a_lock_of_a_newer_format_is_not_to_be_locked_anew(project: Project, registry: FakeRegistry) -> None:
    file = lock_path(project.root / "lockfiles", "worker", AMD64)
    file.write_text(re.sub("^format = .*", "format = 99", file.read_text(), flags=re.MULTILINE))
    for command in (["build"], ["lock"], ["lock", "--check"]):
        ran = project.run(*command)
        assert ran.code == 5
        assert "install the rayimage that wrote it" in ran.err
        assert "rayimage lock" not in ran.err
    assert not registry.manifests["team/small"]
