"""``--output docker``: images straight into a real Engine, and running there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.cli import rayimage, rayimage_json
from tests.support.example import copy_example
from tests.support.services import Engine

pytestmark = [pytest.mark.engine, pytest.mark.base, pytest.mark.index]

NAME = "127.0.0.1/team/loaded"


def test_images_are_loaded_and_run(tmp_path: Path, engine: Engine, ray_base: str, package_index: None) -> None:
    project = copy_example(tmp_path, repository=NAME, base=ray_base)
    before = (project / "deploy/dev/raycluster.yaml").read_bytes()
    env = {"DOCKER_HOST": engine.docker_host}
    built = rayimage_json(project, "build", "--output", "docker", "--tag", "v1", cache=tmp_path / "cache", env=env)
    for role, data in built["roles"].items():
        [inspected] = json.loads(engine.run("image", "inspect", f"{NAME}:v1-{role}"))
        assert inspected["Id"] == data["platforms"]["linux/amd64"]["config"]
        assert inspected["Config"]["WorkingDir"] == "/home/ray/app"
        assert inspected["Config"]["Labels"]["io.rayimage.role"] == role
    code = "import fraud, pandas, sklearn; print(fraud.__file__, pandas.__version__.split('.')[0])"
    assert engine.run("run", "--rm", f"{NAME}:v1-worker", "python", "-c", code) == "/home/ray/app/fraud/__init__.py 2\n"
    assert (project / "deploy/dev/raycluster.yaml").read_bytes() == before

    # What lies below the first layer that changed is not sent again.
    (project / "fraud/__init__.py").write_text("CHANGED = True\n")
    arguments = ("-v", "build", "--output", "docker", "--tag", "v2")
    ran = rayimage(project, *arguments, cache=tmp_path / "cache", env=env)
    assert ran.returncode == 0, ran.stderr
    for role, data in built["roles"].items():
        layers = len(data["platforms"]["linux/amd64"]["layers"])
        assert f"{NAME}:v2-{role}: loaded, {layers - 2} layers were there" in ran.stderr
    code = "import fraud; print(fraud.CHANGED)"
    assert engine.run("run", "--rm", f"{NAME}:v2-head", "python", "-c", code) == "True\n"


def test_an_engine_that_is_not_there(tmp_path: Path, ray_base: str, package_index: None) -> None:
    project = copy_example(tmp_path, repository=NAME, base=ray_base)
    env = {"DOCKER_HOST": f"unix://{tmp_path}/no.sock"}
    ran = rayimage(project, "build", "--output", "docker", cache=tmp_path / "cache", env=env)
    assert ran.returncode == 10
    assert "no Docker Engine answers" in ran.stderr
    assert "Traceback" not in ran.stderr
