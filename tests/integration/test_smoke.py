"""``build --smoke`` where no Engine answers: what needs none is checked before anything is written."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.cli import rayimage
from tests.support.elf import make_elf
from tests.support.project import Project, make_project
from tests.support.services import Registry
from tests.support.wheelmaker import make_wheel

EXTENSION = "extra/_x.cpython-311-x86_64-linux-gnu.so"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path, "registry.example.com/team/small")


def build(project: Project):
    env = {"DOCKER_HOST": f"unix://{project.root}/no.sock", "DOCKER_CONFIG": str(project.root / "none")}
    return rayimage(project.root, "build", "--smoke", "--output", "oci:image", cache=project.cache, env=env)


def test_what_is_right_is_built(project: Project) -> None:
    ran = build(project)
    assert ran.returncode == 0, ran.stderr
    assert "the images are not run: no Docker Engine answers; their files are checked" in ran.stderr
    assert (project.root / "image/index.json").exists()


@pytest.mark.parametrize(
    ("library", "why"),
    [
        (make_elf(183), "is for aarch64, the base for x86_64"),
        (make_elf(62, "GLIBC_2.99"), "needs glibc 2.99, the base has 2.35"),
    ],
)
def test_a_library_that_does_not_load(project: Project, library: bytes, why: str) -> None:
    make_wheel(project.root.parent / "wheels", {"extra/__init__.py": b"", EXTENSION: library}, "extra", "1.0")
    ran = build(project)
    assert ran.returncode == 12
    assert "the images do not work" in ran.stderr
    assert f"{EXTENSION} {why}" in " ".join(ran.stderr.split())
    assert "head linux/amd64" not in ran.stderr
    assert not (project.root / "image").exists()


@pytest.mark.registry
def test_layers_that_the_registry_has_are_read_from_there(tmp_path: Path, registry: Registry) -> None:
    project = make_project(tmp_path, f"{registry.host}/team/smoke-files")
    assert project.run("build", "--no-emit").code == 0
    shutil.rmtree(project.cache)
    env = {"DOCKER_HOST": f"unix://{project.root}/no.sock", "DOCKER_CONFIG": str(project.root / "none")}
    ran = rayimage(project.root, "build", "--smoke", "--no-emit", cache=project.cache, env=env)
    assert ran.returncode == 0, ran.stderr
    assert "their files are checked" in ran.stderr
