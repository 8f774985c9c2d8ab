"""System packages and steps through the command line; what would run in an Engine is written by a stand-in."""

from __future__ import annotations

import gzip
import json
import shutil
from functools import partial
from pathlib import Path

import pytest
import tomli

from rayimage.builders.docker import execute as engine_steps
from rayimage.builders.system_base import StepResult
from rayimage.errors import EngineError
from rayimage.image.layout import OciLayout
from rayimage.model.content import Blob
from rayimage.model.digest import Digest
from rayimage.model.reference import Reference
from rayimage.registry import open_repository
from tests.integration.test_specs import files_of
from tests.support.images import make_tar
from tests.support.project import Project, make_project
from tests.support.services import Registry

NOWHERE = "registry.example.com/team/small"


@pytest.fixture
def executed(monkeypatch) -> list[str]:
    """The titles of what was executed."""
    done: list[str] = []

    def execute(self, base, below, step, key, target):
        done.append(step.title)
        tar = make_tar({"etc/step": step.title, "usr/bin/tree": "tree"})
        target.write_bytes(gzip.compress(tar, mtime=0))
        return StepResult(diff_id=Digest.of(tar), packages=(("tree", "2.1.0-1"),))

    monkeypatch.setattr(engine_steps.EngineSteps, "__call__", execute)
    return done


def without_engine(monkeypatch) -> None:
    def execute(*_):
        raise EngineError("this has to run in the base, and no Docker Engine answers", fix="start Docker")

    monkeypatch.setattr(engine_steps.EngineSteps, "__call__", execute)


def with_packages(project: Project, *packages: str) -> None:
    names = ", ".join(f'"{name}"' for name in packages)
    text = (project.root / "rayimage.toml").read_text()
    text = text.replace("[images.worker]\n", f"[images.worker]\nsystem-packages = [{names}]\n", 1)
    (project.root / "rayimage.toml").write_text(text)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = make_project(tmp_path, NOWHERE)
    with_packages(project, "tree")
    return project


def system_lock(project: Project) -> dict:
    return tomli.loads((project.root / "lockfiles/system.worker-amd64.toml").read_text())


def config_of(project: Project, role: str) -> dict:
    layout = OciLayout(project.root / "image")
    entries = json.loads((layout.path / "index.json").read_bytes())["manifests"]
    names = {each["annotations"]["org.opencontainers.image.ref.name"]: each["digest"] for each in entries}
    [digest] = {digest for name, digest in names.items() if name.endswith(f"-{role}")}
    manifest = json.loads((layout.path / "blobs" / digest.replace(":", "/")).read_bytes())
    return json.loads((layout.path / "blobs" / manifest["config"]["digest"].replace(":", "/")).read_bytes())


def test_apt_runs_when_the_list_changes(project: Project, executed: list[str]) -> None:
    ran = project.run("lock")
    assert ran.code == 0, ran.err
    assert executed == ["system packages tree"]
    [step] = system_lock(project)["steps"]
    assert step["packages"] == [{"name": "tree", "version": "2.1.0-1"}]
    lock = tomli.loads((project.root / "lockfiles/pylock.worker-amd64.toml").read_text())
    assert lock["tool"]["rayimage"]["base"]["digest"] == system_lock(project)["digest"]
    assert not (project.root / "lockfiles/system.head-amd64.toml").exists()

    (project.root / "app/main.py").write_text("print('edited')\n")
    assert project.run("lock", "--check").code == 0
    built = project.run("build", "--output", "oci:image")
    assert built.code == 0, built.err
    assert files_of(project)["usr/bin/tree"] == b"tree"
    assert "usr/bin/tree" not in files_of(project, "head")
    assert executed == ["system packages tree"]

    text = (project.root / "rayimage.toml").read_text()
    (project.root / "rayimage.toml").write_text(text.replace('["tree"]', '["tree", "ffmpeg"]'))
    stale = project.run("lock", "--check")
    assert stale.code == 12
    assert "system.worker-amd64.toml was made for another base, or for other steps" in stale.err
    assert project.run("build", "--output", "oci:image").code == 5
    assert project.run("lock").code == 0
    assert executed == ["system packages tree", "system packages ffmpeg, tree"]


def test_a_first_build_locks_it_and_a_plan_does_not(project: Project, executed: list[str]) -> None:
    assert project.run("plan").code == 0
    assert not (project.root / "lockfiles").exists()
    assert project.run("build", "--output", "oci:image").code == 0
    assert system_lock(project)["steps"]
    assert len(executed) == 1


def test_a_missing_lock_is_one_for_check(project: Project, executed: list[str]) -> None:
    assert project.run("lock").code == 0
    (project.root / "lockfiles/system.worker-amd64.toml").unlink()
    ran = project.run("lock", "--check")
    assert ran.code == 12
    assert "system.worker-amd64.toml is missing" in ran.err


def test_a_damaged_lock(project: Project, executed: list[str]) -> None:
    assert project.run("lock").code == 0
    (project.root / "lockfiles/system.worker-amd64.toml").write_text("format = 1\n")
    ran = project.run("build", "--output", "oci:image")
    assert ran.code == 5
    assert "system.worker-amd64.toml is damaged" in ran.err
    locked = project.run("lock")
    assert locked.code == 0, locked.err
    assert "system.worker-amd64.toml is damaged: base is missing; it is made anew" in locked.err
    assert system_lock(project)["steps"]


def test_steps_of_the_users(project: Project, executed: list[str]) -> None:
    file = project.root / "rayimage.toml"
    file.write_text(file.read_text() + '\n[[images.worker.run]]\nshell = "cat app/main.py"\ninputs = ["app"]\n')
    assert project.run("lock").code == 0
    assert project.run("lock").code == 0
    assert executed == ["system packages tree", "run cat app/main.py"]
    (project.root / "app/main.py").write_text("print('edited')\n")
    assert project.run("build", "--output", "oci:image").code == 5
    assert project.run("lock").code == 0
    assert executed == ["system packages tree", "run cat app/main.py", "run cat app/main.py"]
    assert len(system_lock(project)["steps"]) == 2


def test_without_an_engine(project: Project, monkeypatch) -> None:
    without_engine(monkeypatch)
    ran = project.run("lock")
    assert ran.code == 10
    assert "no Docker Engine answers" in ran.err
    assert not (project.root / "lockfiles").exists()


def test_the_label_names_the_image_that_the_base_is(project: Project, executed: list[str]) -> None:
    built = project.run("build", "--output", "oci:image")
    assert built.code == 0, built.err
    labels = {role: config_of(project, role)["config"]["Labels"] for role in ("head", "worker")}
    digests = {role: label["org.opencontainers.image.base.digest"] for role, label in labels.items()}
    assert digests["head"] == digests["worker"] == system_lock(project)["base-digest"]


def on_a_registry(tmp_path: Path, registry: Registry, name: str) -> Project:
    """A project whose base is an image of the registry."""
    base = f"{registry.host}/team/{name}-base:2.55.1"
    project = make_project(tmp_path, f"{registry.host}/team/{name}", base=base)
    layout = OciLayout(tmp_path / "base")
    manifest = layout.get_manifest("2.55.1")
    with open_repository(Reference.parse(base).name) as repository:
        for descriptor in (*manifest.layers, manifest.config):
            repository.put_blob(Blob(descriptor=descriptor, open=partial(layout.open_blob, descriptor)))
        repository.put_manifest(manifest, "2.55.1")
    return project


@pytest.mark.registry
def test_the_base_stays_that_of_the_lock(tmp_path: Path, executed: list[str], registry: Registry) -> None:
    project = on_a_registry(tmp_path, registry, "pinned")
    plain = (project.root / "rayimage.toml").read_text()
    with_packages(project, "tree")
    for arguments in (["lock"], ["lock"], ["lock", "--check"], ["build", "--no-emit"]):
        ran = project.run(*arguments)
        assert ran.code == 0, ran.err
    assert executed == ["system packages tree"]
    (project.root / "lockfiles/system.worker-amd64.toml").unlink()
    again = project.run("lock")
    assert again.code == 0, again.err
    assert system_lock(project)["steps"]
    (project.root / "rayimage.toml").write_text(plain)
    without = project.run("lock")
    assert without.code == 0, without.err
    assert "removed" in without.err
    assert not (project.root / "lockfiles/system.worker-amd64.toml").exists()
    assert project.run("build", "--no-emit").code == 0


@pytest.mark.registry
def test_ci_needs_no_engine(tmp_path: Path, executed: list[str], registry: Registry, monkeypatch) -> None:
    project = make_project(tmp_path, f"{registry.host}/team/system")
    with_packages(project, "tree")
    ran = project.run("lock")
    assert ran.code == 0, ran.err
    shutil.rmtree(project.cache)
    without_engine(monkeypatch)
    built = project.run("build", "--no-emit")
    assert built.code == 0, built.err
    again = project.run("build", "--no-emit")
    assert "everything is there already" in again.err
