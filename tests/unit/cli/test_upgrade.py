"""The base of a lock: kept while its tag moves, and what ``lock --upgrade-base`` says and does."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from rayimage.cli.upgrade import with_tag
from rayimage.errors import UsageError
from rayimage.image.layout import OciLayout
from rayimage.model.manifest import Manifest
from tests.support.fake_registry import FakeRegistry
from tests.support.images import dist_info, make_image, make_layer, ray_base
from tests.support.project import Project, make_project

NOWHERE = "registry.example.com/team/small"
REPOSITORY = "rayproject/ray"


def installed(*, ray: str = "2.55.1", old: str = "1.0", **more: str) -> dict[str, object]:
    found = {**ray_base(ray=ray)}
    for name, version in {"click": "8.1.7", "old": old, **more}.items():
        found |= dist_info(name, version, files={f"{name}/__init__.py": version})
    return found


def push(registry: FakeRegistry, directory: Path, tag: str, **what: str) -> str:
    """Make the tag an image with these packages; its digest."""
    layout: OciLayout = make_image(directory, [make_layer(installed(**what))], user="1000", tag="one")
    manifest = layout.get_manifest("one")
    assert isinstance(manifest, Manifest)
    for descriptor in (manifest.config, *manifest.layers):
        with layout.open_blob(descriptor) as stream:
            registry.put_blob(REPOSITORY, b"".join(iter(lambda s=stream: s.read(1 << 16), b"")))
    return str(registry.put_manifest(REPOSITORY, manifest, tag))


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as running:
        yield running


@pytest.fixture
def locked(registry: FakeRegistry, tmp_path: Path) -> Project:
    """A project on a base in a registry, locked."""
    push(registry, tmp_path / "first", "2.55.1-py311")
    project = make_project(tmp_path, NOWHERE, base=f"{registry.host}/{REPOSITORY}:2.55.1-py311")
    assert project.run("lock").code == 0
    return project


def state(project: Project) -> dict[str, str]:
    return {file.name: file.read_text() for file in (project.root / "lockfiles").iterdir()}


def lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def test_a_tag_that_moved_moves_no_lock(locked, registry, tmp_path):
    before = state(locked)
    push(registry, tmp_path / "second", "2.55.1-py311", old="1.5")
    ran = locked.run("lock")
    assert ran.code == 0, ran.err
    assert state(locked) == before
    assert "nothing changed" in ran.err
    told = [line for line in ran.err.splitlines() if "has moved since it was locked" in line]
    assert len(told) == 1
    assert "`rayimage lock --upgrade-base` shows what that would change" in told[0]
    (locked.root / "requirements-worker.in").write_text("")
    assert locked.run("lock").code == 0
    digest = [line for line in before["pylock.head-amd64.toml"].splitlines() if line.startswith('digest = "')]
    assert digest[0] in state(locked)["pylock.head-amd64.toml"]


def test_a_tag_that_did_not_move_is_not_spoken_of(locked):
    assert "has moved" not in locked.run("lock").err


def test_a_preview_writes_nothing(locked, registry, tmp_path):
    before = state(locked)
    push(registry, tmp_path / "second", "2.55.1-py311", old="2.0", brandnew="3")
    ran = locked.run("lock", "--upgrade-base")
    assert ran.code == 0, ran.err
    assert state(locked) == before
    heading, _, *rows = lines(ran.out)
    assert re.fullmatch(
        rf"head, worker on linux/amd64: {registry.host}/rayproject/ray:2.55.1-py311 \w{{12}} → \w{{12}}; 2 packages changed",
        heading,
    )
    assert "brandnew - 3 in the base" in rows
    assert "old 2.0 2.0 in the base" in rows
    assert "next: `rayimage lock --upgrade-base --yes` locks against these bases" in lines(ran.err)


def test_yes_takes_it(locked, registry, tmp_path):
    digest = push(registry, tmp_path / "second", "2.55.1-py311", old="2.0")
    ran = locked.run("lock", "--upgrade-base", "--yes")
    assert ran.code == 0, ran.err
    assert all(f'digest = "{digest}"' in text for text in state(locked).values())
    assert 'name = "old", version = "2.0"' in state(locked)["pylock.head-amd64.toml"]
    assert locked.run("lock", "--check").code == 0
    assert "has moved" not in locked.run("lock").err


def test_nothing_newer(locked):
    before = state(locked)
    for arguments in ([], ["--yes"]):
        ran = locked.run("lock", "--upgrade-base", *arguments)
        assert "the bases are those of the locks" in ran.err
        assert "no package changes" in ran.out
        assert state(locked) == before


def test_a_newer_ray(locked, registry, tmp_path):
    before = state(locked)
    push(registry, tmp_path / "second", "2.56.0-py311", ray="2.56.0")
    ran = locked.run("--json", "lock", "--upgrade-base", "2.56.0")
    assert ran.code == 0, ran.err
    head, worker = json.loads(ran.out)
    assert (head["role"], head["ray"]) == ("head", {"from": "2.55.1", "to": "2.56.0"})
    assert head["base"]["reference"].endswith("/rayproject/ray:2.56.0-py311")
    assert {
        "name": "ray",
        "from": {"version": "2.55.1", "in": "base"},
        "to": {"version": "2.56.0", "in": "base"},
    } in worker["packages"]
    assert state(locked) == before
    refused = locked.run("lock", "--upgrade-base", "2.56.0", "--yes")
    assert refused.code == UsageError.exit_code
    assert "rayproject/ray:2.56.0-py311" in refused.err
    assert state(locked) == before


def test_a_base_that_is_gone(locked, registry, tmp_path):
    digest = registry.tags[REPOSITORY]["2.55.1-py311"]
    push(registry, tmp_path / "second", "2.55.1-py311", old="2.0")
    del registry.manifests[REPOSITORY][digest]
    ran = locked.run("lock")
    assert ran.code != 0
    assert "it is the image that was locked" in ran.err
    assert "rayimage lock --upgrade-base" in ran.err
    preview = locked.run("lock", "--upgrade-base")
    assert preview.code == 0, preview.err
    assert "is gone: only its locked packages are compared" in preview.err
    assert "old 2.0 2.0 in the base" in lines(preview.out)


def test_a_project_that_was_never_locked(registry, tmp_path):
    push(registry, tmp_path / "first", "2.55.1-py311")
    project = make_project(tmp_path, NOWHERE, base=f"{registry.host}/{REPOSITORY}:2.55.1-py311")
    ran = project.run("lock", "--upgrade-base")
    assert ran.code == 0, ran.err
    assert "not locked before" in ran.out
    assert not (project.root / "lockfiles").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--yes"],
        ["--check", "--upgrade-base"],
        ["--upgrade", "--upgrade-base"],
        ["--engine=pip-tools", "--upgrade-base"],
    ],
)
def test_what_does_not_go_together(locked, arguments):
    assert locked.run("lock", *arguments).code == UsageError.exit_code


@pytest.mark.parametrize(
    ("base", "tag", "expected"),
    [
        ("rayproject/ray:2.55.1-py311-cu128", "2.56.0", "rayproject/ray:2.56.0-py311-cu128"),
        ("rayproject/ray:2.55.1-py311", "nightly-py312", "rayproject/ray:nightly-py312"),
        ("localhost:5000/ray:2.55.1", "2.56.0", "localhost:5000/ray:2.56.0"),
        ("oci:bases/ray:2.55.1-py311", "2.56.0", "oci:bases/ray:2.56.0-py311"),
    ],
)
def test_another_tag(base, tag, expected):
    assert with_tag(base, tag) == expected


@pytest.mark.parametrize(
    ("base", "tag"),
    [
        (f"rayproject/ray@sha256:{'0' * 64}", "2.56.0"),
        (f"rayproject/ray:2.55.1@sha256:{'0' * 64}", "2.56.0"),
        ("rayproject/ray", "2.56.0"),
        ("rayproject/ray:nightly", "2.56.0"),
        ("oci:bases", "2.56.0"),
    ],
)
def test_no_tag_to_change(base, tag):
    with pytest.raises(UsageError):
        with_tag(base, tag)
