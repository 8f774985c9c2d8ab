"""What must not pass, or not break anything, from the configuration to the image: odd bases, damage, haste."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from rayimage.image.layout import OciLayout
from rayimage.image.validate import validate
from rayimage.model.manifest import Manifest
from tests.support.images import File, Symlink, dist_info, make_image, make_layer, ray_base
from tests.support.project import Project, make_project
from tests.support.values import SITE
from tests.support.wheelmaker import make_wheel

NOWHERE = "registry.example.com/team/small"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path, NOWHERE)


def with_base(project: Project, **more: File) -> None:
    """Give the project another base, with ``old`` 1.0 and ``click`` and what is in ``more``."""
    installed: dict[str, File] = {
        **ray_base(),
        **dist_info("click", "8.1.7", files={"click/__init__.py": ""}),
        **dist_info("old", "1.0", files={"old/__init__.py": "1"}),
        **more,
    }
    make_image(project.root.parent / "base", [make_layer(installed)], user="1000", tag="2.55.1")


def names(project: Project, tag: str) -> set[str]:
    """Every name in the layers on the base."""
    layout = OciLayout(project.root / "out")
    manifest = layout.get_manifest(tag)
    assert isinstance(manifest, Manifest)
    found: set[str] = set()
    for layer in manifest.layers[1:]:
        with tarfile.open(layout.path / "blobs/sha256" / layer.digest.hex) as archive:
            found |= set(archive.getnames())
    return found


def build(project: Project) -> str:
    ran = project.run("--json", "build", "--output", f"oci:{project.root}/out", "--tag", "v1")
    assert ran.code == 0, ran.err
    return str(json.loads(ran.out)["release"])


class TestBases:
    def test_a_record_that_names_what_is_not_the_packages(self, project: Project) -> None:
        record = "old/__init__.py,,\n/etc/passwd,,\n../../../../../../etc/group,,\n.,,\n../../../bin,,\nclick,,\n"
        with_base(project, **{f"{SITE.lstrip('/')}/old-1.0.dist-info/RECORD": record + "click/__init__.py,,\n"})
        build(project)
        gone = {name for name in names(project, "v1-head") if ".wh." in name}
        site = SITE.lstrip("/")
        assert gone == {f"{site}/.wh.old-1.0.dist-info", f"{site}/old/.wh.__init__.py"}

    def test_a_home_that_is_a_link(self, project: Project) -> None:
        with_base(project, **{"srv/app/keep": "x", "home/ray/app": Symlink("../../srv/app"), "srv": "", "srv/app": ""})
        ran = project.run("build", "--output", f"oci:{project.root}/out")
        assert ran.code == 2
        assert "/home/ray/app is a symbolic link to ../../srv/app in the base" in ran.err

    def test_a_file_in_place_of_a_package_of_the_base(self, project: Project) -> None:
        make_wheel(project.root.parent / "wheels", {"click": b"a file"}, "common", "1.0")
        ran = project.run("build", "--output", f"oci:{project.root}/out")
        assert ran.code == 6
        assert f"would replace {SITE}/click" in ran.err
        assert not (project.root / "out").exists()


class TestDamage:
    def test_a_damaged_layer_in_the_cache_is_made_anew(self, project: Project) -> None:
        release = build(project)
        blobs = list((project.cache / "blobs/sha256").iterdir())
        for blob in blobs:
            data = blob.read_bytes()
            blob.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
            (project.root / "out/blobs/sha256" / blob.name).unlink()
        for _ in blobs:
            ran = project.run("build", "--output", f"oci:{project.root}/out", "--tag", "v1")
            if ran.code == 0:
                break
            assert (ran.code, "run the same command again" in ran.err) == (11, True)
        assert build(project) == release
        assert validate(OciLayout(project.root / "out"), "v1-head") == ()


class TestAtOnce:
    def test_builds_with_one_cache_and_one_layout(self, project: Project) -> None:
        build(project)
        tags = [f"t{number}" for number in range(4)]
        command = [sys.executable, "-m", "rayimage", "-q", "-C", str(project.root), "build", "--no-emit"]
        environment = {**os.environ, "RAYIMAGE_CACHE_DIR": str(project.root.parent / "empty-cache")}
        output = ["--output", f"oci:{project.root}/many", "--tag"]
        builds = [
            subprocess.Popen([*command, *output, tag], env=environment, stdout=subprocess.DEVNULL) for tag in tags
        ]
        assert [process.wait() for process in builds] == [0] * len(tags)
        layout = OciLayout(project.root / "many")
        assert layout.tags == tuple(sorted(f"{tag}-{role}" for tag in tags for role in ("head", "worker")))
        assert {tag: validate(layout, tag) for tag in layout.tags} == dict.fromkeys(layout.tags, ())


def test_a_file_that_changes_between_plan_and_layer(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache must not give the new content for the old from then on."""
    from rayimage.builders.direct import DirectBuilder

    release = build(project)
    code, real = project.root / "app/main.py", DirectBuilder.build
    before = code.read_bytes()

    def hasty(self: DirectBuilder, inputs):  # type: ignore[no-untyped-def]
        code.write_bytes(before + b"# 3\n")
        return real(self, inputs)

    monkeypatch.setattr(DirectBuilder, "build", hasty)
    code.write_bytes(before + b"# 2\n")
    ran = project.run("build", "--output", f"oci:{project.root}/out")
    assert (ran.code, "changed while it was read" in ran.err) == (2, True)
    monkeypatch.undo()
    code.write_bytes(before)
    assert build(project) == release


def test_a_cache_in_the_project_changes_nothing(project: Project) -> None:
    """Where CI keeps caches between jobs; git must not call the tree changed either."""
    subprocess.run(["git", "-C", project.root, "init", "-q"], check=True)
    (project.root / ".gitignore").write_text("out\n")
    release = build(project)
    for _ in range(2):
        inside = project.run(
            *("--json", "build", "--output", f"oci:{project.root}/out"),
            env={"RAYIMAGE_CACHE_DIR": str(project.root / "ci-cache")},
        )
        assert json.loads(inside.out)["release"] == release
