"""What the Dockerfiles say, whole: `UPDATE_GOLDEN=1 pytest` writes them anew after a change that is meant."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from dataclasses import fields, replace
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from rayimage.builders.docker import dockerfile as module
from rayimage.builders.docker.dockerfile import Recipe, base_image, recipe_of, render
from rayimage.errors import BaseImageError, ConfigError
from rayimage.model.reference import Reference
from tests.support.values import move, wheel
from tests.unit.builders.docker.recipes import PIP, UV, build_input

GOLDEN = Path(__file__).parent / "golden"
ROOT = Path(__file__).parents[4]
WHEELS = (wheel("common", "1.0"), wheel("old", "2.0"))
SETTINGS = {
    "env": {"PATHS": "/a:/b", "GREETING": 'it\'s "$HOME" \\ here', "EMPTY": ""},
    "labels": {"com.example.note": "two words"},
}


def golden(name: str, text: str) -> None:
    # The version of rayimage is part of the labels.
    text = re.sub(r"(io\.rayimage\.version=)\S+", r"\1VERSION", text)
    file = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    assert text == file.read_text()


def test_pip_and_buildkit(tmp_path: Path) -> None:
    golden("pip.Dockerfile", render(recipe_of(build_input(tmp_path, *WHEELS, **SETTINGS))))


def test_uv_and_a_base_in_a_registry(tmp_path: Path) -> None:
    item = build_input(tmp_path, *WHEELS, installed={**PIP, **UV})
    origin = Reference.parse("docker.io/rayproject/ray")
    item = replace(item, base=replace(item.base, origin=origin, name="docker.io/rayproject/ray:2.55.1-py311"))
    golden("uv.Dockerfile", render(recipe_of(item)))


def test_a_wheelhouse(tmp_path: Path) -> None:
    golden("wheelhouse.Dockerfile", render(recipe_of(build_input(tmp_path, *WHEELS), offline=True)))


def test_the_classic_builder_and_the_projects_wheel(tmp_path: Path) -> None:
    golden("classic.Dockerfile", render(recipe_of(build_input(tmp_path, *WHEELS, code="wheel"), buildkit=False)))


def test_nothing_to_install_and_no_code(tmp_path: Path) -> None:
    golden("empty.Dockerfile", render(recipe_of(build_input(tmp_path, code="none"))))


def test_head_and_worker_differ_in_what_they_are_given_only(tmp_path: Path) -> None:
    head = recipe_of(build_input(tmp_path, *WHEELS))
    worker = render(replace(head, role="worker"))
    assert worker.replace("worker", "head") == render(head)


@pytest.mark.parametrize("missing", [field.name for field in fields(Recipe)])
def test_a_value_that_the_template_is_not_given_is_an_error(missing: str, tmp_path: Path, monkeypatch) -> None:
    item = build_input(tmp_path, *WHEELS, installed=UV if missing in ("uv", "prefix") else PIP)
    if missing == "project":
        item = replace(item, tree=None)
    recipe = recipe_of(item, buildkit=missing != "user", offline=False)
    monkeypatch.setattr(module, "fields", lambda _: [field for field in fields(Recipe) if field.name != missing])
    with pytest.raises(UndefinedError, match=missing):
        render(recipe)


def test_from_names_tag_and_digest(tmp_path: Path) -> None:
    base = build_input(tmp_path).base
    assert base_image(base) == f"rayimage-base:{base.digest.short}"
    origin = Reference.parse("registry.example.com:5000/team/ray")
    tagged = replace(base, origin=origin, name="registry.example.com:5000/team/ray:v1")
    assert base_image(tagged) == f"registry.example.com:5000/team/ray:v1@{base.digest}"
    pinned = replace(base, origin=origin, name=f"registry.example.com:5000/team/ray@{base.digest}")
    assert base_image(pinned) == f"registry.example.com:5000/team/ray@{base.digest}"


def test_a_base_without_an_installer(tmp_path: Path) -> None:
    with pytest.raises(BaseImageError, match="no installer"):
        recipe_of(build_input(tmp_path, *WHEELS, installed={}))


def test_without_wheels_no_installer_is_needed(tmp_path: Path) -> None:
    assert recipe_of(build_input(tmp_path, installed={})).tool == "pip"


def test_what_installs_is_not_taken_away_first(tmp_path: Path) -> None:
    item = build_input(tmp_path, *WHEELS, wheel("pip", "26.0"))
    item = replace(item, lock=replace(item.lock, moves=(*item.lock.moves, move("pip", "24.3.1", "26.0"))))
    assert recipe_of(item).replaced == ("old",)


def test_root_stays_root(tmp_path: Path) -> None:
    item = build_input(tmp_path, *WHEELS)
    layout = replace(item.inventory.layout, uid=0, gid=0)
    item = replace(item, inventory=replace(item.inventory, user="root", layout=layout))
    text = render(recipe_of(item, buildkit=False))
    assert "rm -rf /tmp/rayimage" in text
    assert "USER" not in text


@pytest.mark.parametrize("value", ["two\nlines", "a\ttab", "\x1b[0m"])
def test_a_value_that_no_dockerfile_can_hold(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigError, match=r"env\.BAD"):
        recipe_of(build_input(tmp_path, env={"BAD": value}))


@pytest.mark.parametrize("name", ["A B", "A$B", 'A"', "A\\B"])
def test_a_name_that_no_dockerfile_can_hold(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError):
        recipe_of(build_input(tmp_path, labels={name: "x"}))


def test_a_workdir_that_no_dockerfile_can_hold(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot stand in a Dockerfile"):
        recipe_of(build_input(tmp_path, workdir="/home/ray/my app"))


def test_the_template_is_in_the_wheel(tmp_path: Path) -> None:
    """Built by the project's backend and read from there, not from the checkout."""
    command = [
        sys.executable,
        "-c",
        "import sys, hatchling.build as b; print(b.build_wheel(sys.argv[1]))",
        str(tmp_path),
    ]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()[-1]
    with zipfile.ZipFile(tmp_path / built) as archive:
        archive.extractall(tmp_path / "installed")
    code = "import rayimage.builders.docker.dockerfile as d; print(d.__file__); print(d._template())"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "installed")}
    told = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    file, _, text = told.stdout.partition("\n")
    assert file.startswith(str(tmp_path / "installed"))
    assert text.strip() == (ROOT / "dockerfiles/Dockerfile.j2").read_text().strip()
