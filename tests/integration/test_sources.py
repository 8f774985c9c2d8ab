"""Packages that exist as source only, through the command line: sdists, archives, commits; built once, shared by a registry."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import tomli

from rayimage.model.digest import Digest
from tests.integration.test_specs import files_of
from tests.support.cli import rayimage
from tests.support.index import PackageIndex, running_index, wheel
from tests.support.project import Project, make_project
from tests.support.services import Registry
from tests.support.source import make_sdist, source_files
from tests.support.values import SITE

COMPILED = "cp311-cp311-linux_x86_64"


@pytest.fixture
def index(monkeypatch, tmp_path) -> Iterator[PackageIndex]:
    files = [
        make_sdist("onlysource", "1.0", "helper>=1"),
        wheel("helper-1.0-py3-none-any.whl"),
        wheel("older-1.0-py3-none-any.whl"),
        make_sdist("older", "2.0"),
        make_sdist("native", "1.0", tag=COMPILED),
    ]
    for name in ("UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    with running_index(*files) as running:
        monkeypatch.setenv("UV_DEFAULT_INDEX", running.url)
        monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
        yield running


def project_with(tmp_path: Path, *requirements: str, repository: str = "registry.example.com/team/small") -> Project:
    project = make_project(tmp_path, repository)
    (project.root / "requirements.in").write_text("".join(f"{line}\n" for line in requirements))
    (project.root / "requirements-worker.in").write_text("")
    return project


def packages_of(project: Project) -> dict:
    lock = tomli.loads((project.root / "lockfiles/pylock.worker-amd64.toml").read_text())
    return {package["name"]: package for package in lock["packages"]}


def git_package(directory: Path) -> str:
    directory.mkdir()
    for path, data in source_files("fromgit", "3.0").items():
        (directory / path).parent.mkdir(exist_ok=True)
        (directory / path).write_bytes(data)
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "one"]):
        subprocess.run(["git", *identity, "-C", directory, *command], check=True)
    return subprocess.run(
        ["git", "-C", directory, "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_an_sdist_a_commit_and_an_archive(tmp_path: Path, index: PackageIndex) -> None:
    commit = git_package(tmp_path / "repository")
    filename, data = make_sdist("byurl", "4.0")
    index.files[filename] = data
    url = f"{index.url.removesuffix('/simple')}/files/{filename}"
    project = project_with(
        tmp_path, "onlysource", "older", f"fromgit @ git+file://{tmp_path}/repository", f"byurl @ {url}"
    )
    ran = project.run("lock")
    assert ran.code == 0, ran.err
    found = packages_of(project)
    assert found["onlysource"]["sdist"]["hashes"]["sha256"] == Digest.of(index.files["onlysource-1.0.tar.gz"]).hex
    assert found["fromgit"]["vcs"]["commit-id"] == commit
    assert found["byurl"]["archive"]["url"] == url
    assert found["byurl"]["archive"]["hashes"] == {"sha256": Digest.of(data).hex}
    # What has a wheel is not built, even where there is a newer source.
    assert found["older"]["version"] == "1.0"
    assert found["helper"]["wheels"]

    assert project.run("lock", "--check").code == 0
    again = project.run("lock")
    assert "nothing changed" in again.err
    assert "building" not in again.err
    built = project.run("build", "--output", "oci:image")
    assert built.code == 0, built.err
    files = files_of(project)
    for name in ("onlysource", "fromgit", "byurl"):
        assert files[f"{SITE}/{name}/__init__.py".lstrip("/")] == b"VALUE = 1\n"


def test_another_machine_builds_the_same_wheel(tmp_path: Path, index: PackageIndex) -> None:
    project = project_with(tmp_path, "onlysource")
    assert project.run("lock").code == 0
    first = project.run("build", "--output", "oci:image")
    shutil.rmtree(project.cache)
    second = project.run("build", "--output", "oci:again")
    assert "building onlysource 1.0" in second.err
    assert first.out.rpartition(":")[2] == second.out.rpartition(":")[2]


def test_a_source_that_changed_in_the_index(tmp_path: Path, index: PackageIndex) -> None:
    project = project_with(tmp_path, "onlysource")
    assert project.run("lock").code == 0
    shutil.rmtree(project.cache)
    index.files["onlysource-1.0.tar.gz"] = make_sdist("onlysource", "1.0", more={"evil.py": b""})[1]
    ran = project.run("build", "--output", "oci:image")
    assert ran.code == 6
    assert "onlysource-1.0.tar.gz" in ran.err


def test_what_compiles_without_an_engine(tmp_path: Path, index: PackageIndex) -> None:
    project = project_with(tmp_path, "native")
    env = {"DOCKER_HOST": f"unix://{tmp_path}/no.sock"}
    ran = rayimage(project.root, "lock", cache=project.cache, env=env)
    assert ran.returncode == 10
    assert "native 1.0 has to be built in the base, and no Docker Engine answers" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not (project.root / "lockfiles").exists()


def test_a_url_without_a_name(tmp_path: Path, index: PackageIndex) -> None:
    commit = git_package(tmp_path / "repository")
    project = project_with(tmp_path, f"git+file://{tmp_path}/repository")
    assert project.run("lock").code == 0
    assert packages_of(project)["fromgit"]["vcs"]["commit-id"] == commit


def test_who_wants_no_builds_gets_none(tmp_path: Path, index: PackageIndex) -> None:
    project = project_with(tmp_path, "onlysource")
    ran = project.run("lock", env={"UV_NO_BUILD": "1"})
    assert ran.code == 5
    assert "building onlysource" not in ran.err


@pytest.mark.registry
def test_a_wheel_is_pushed_when_it_is_built(tmp_path: Path, index: PackageIndex, registry: Registry) -> None:
    project = project_with(tmp_path, "onlysource", repository=f"{registry.host}/team/sources")
    ran = project.run("lock")
    assert ran.code == 0, ran.err
    assert "pushed onlysource-1.0-py3-none-any.whl" in ran.err
    shutil.rmtree(project.cache)
    index.files.pop("onlysource-1.0.tar.gz")
    built = project.run("build", "--no-emit")
    assert built.code == 0, built.err
    assert "building" not in built.err


@pytest.mark.index
def test_a_real_sdist(tmp_path: Path, package_index: None) -> None:
    project = project_with(tmp_path, "docopt==0.6.2")
    ran = project.run("lock")
    assert ran.code == 0, ran.err
    sha256 = "49b3a825280bd66b3aa83585ef59c4a8c82f2c8a522dbe754a8bc8d08c85c491"
    assert packages_of(project)["docopt"]["sdist"]["hashes"]["sha256"] == sha256
    assert project.run("build", "--output", "oci:image").code == 0
    assert files_of(project)[f"{SITE}/docopt.py".lstrip("/")]
