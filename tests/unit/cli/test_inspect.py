from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from rayimage.image.layout import OciLayout
from rayimage.model.content import Blob
from rayimage.model.descriptor import Descriptor
from rayimage.model.digest import Digest
from rayimage.model.manifest import Manifest, canonical_json
from tests.support.images import make_index, make_layer, ray_base
from tests.support.project import Project
from tests.support.values import AMD64

ARM64 = AMD64.__class__("linux", "arm64")


def add_history(path: Path, tag: str, *lines: str) -> None:
    """Say what made the image's layers, and that an instruction without a layer came last."""
    layout = OciLayout(path)
    manifest = layout.get_manifest(tag)
    with layout.open_blob(manifest.config) as stream:
        data = json.loads(stream.read(-1))
    data["history"] = [*({"created_by": line} for line in lines), {"created_by": "USER ray", "empty_layer": True}]
    raw = canonical_json(data)
    config = Descriptor(media_type=manifest.config.media_type, digest=Digest.of(raw), size=len(raw))
    layout.put_blob(Blob(descriptor=config, open=lambda: io.BytesIO(raw)))
    layout.put_manifest(Manifest.build(config=config, layers=manifest.layers, annotations={}), tag)


@pytest.fixture
def built(project: Project) -> Project:
    add_history(project.root.parent / "base", "2.55.1", "RUN |1 A=b /bin/sh -c pip install   ray # buildkit")
    assert project.run("build", "--output", "oci:out", "--tag", "v1").code == 0
    return project


def test_an_image_of_ours(built: Project) -> None:
    ran = built.run("inspect", "oci:out:v1-worker")
    assert ran.code == 0, ran.err
    facts = {line[:10].strip(): line[10:] for line in ran.out.partition("\n\n")[0].splitlines()}
    assert facts["image"] == "oci:out:v1-worker"
    assert facts["role"] == "worker"
    assert facts["ray"] == "2.55.1"
    assert facts["base"] == "base:2.55.1"
    assert facts["user"].startswith("1000 (1000:")
    assert facts["workdir"] == "/home/ray/app"
    rows = [row.split()[0] for row in ran.out.partition("\n\n")[2].splitlines()]
    assert rows[:3] == ["layer", "base", "removal"]
    assert "code" in rows
    assert "pip install ray " in ran.out
    assert "common" not in ran.out.replace("common 1.0", "")  # named by its layer, not listed as a package


def test_packages(built: Project) -> None:
    ran = built.run("inspect", "oci:out:v1-worker", "--packages")
    packages = dict(row.split() for row in ran.out.split("\n\n")[2].splitlines()[1:])
    assert packages == {
        "click": "8.1.7",
        "common": "1.0",
        "extra": "1.0",
        "old": "2.0",
        "pip": "24.3.1",
        "ray": "2.55.1",
    }


def test_json_is_whole(built: Project) -> None:
    found = json.loads(built.run("inspect", "--json", "oci:out:v1-head").out)
    assert found["packages"]["old"] == "2.0"
    assert "extra" not in found["packages"]
    assert found["size"] > sum(layer["size"] for layer in found["layers"])
    assert {layer["kind"] for layer in found["layers"]} >= {"base", "removal", "wheels", "code"}
    assert found["lock"].startswith("sha256:")
    assert found["base"]["digest"] == json.loads(built.run("inspect", "--json", "oci:../base").out)["digest"]


def test_a_base_has_no_role(project: Project) -> None:
    ran = project.run("inspect", "oci:../base:2.55.1")
    assert ran.code == 0, ran.err
    assert "role" not in ran.out
    assert "base      " not in ran.out
    assert "layer" in ran.out  # without a history a layer is called by its digest
    assert ran.out.splitlines()[-1].startswith("sha256:")


class TestPlatform:
    @pytest.fixture(autouse=True)
    def index(self, project: Project) -> None:
        layer = make_layer(ray_base())
        make_index(project.root.parent / "both", {AMD64: [layer], ARM64: [layer]}, tag="x")
        make_index(project.root.parent / "arm", {ARM64: [layer]}, tag="x")

    @pytest.mark.parametrize(
        ("image", "option", "platform"),
        [
            ("both", (), "linux/amd64"),
            ("both", ("--platform", "linux/arm64"), "linux/arm64"),
            ("arm", (), "linux/arm64"),
        ],
    )
    def test_chosen(self, project: Project, image: str, option: tuple[str, ...], platform: str) -> None:
        ran = project.run("inspect", "--json", f"oci:../{image}", *option)
        assert json.loads(ran.out)["platform"] == platform

    def test_absent(self, project: Project) -> None:
        ran = project.run("inspect", "oci:../arm", "--platform", "linux/amd64")
        assert ran.code == 4
        assert "error: oci:../arm is not there for linux/amd64" in ran.err
        assert "linux/arm64" in ran.err
        assert "--platform" in ran.err

    def test_no_platform(self, project: Project) -> None:
        assert project.run("inspect", "oci:../arm", "--platform", "arm").code == 2


@pytest.mark.parametrize(("reference", "code"), [("oci:nowhere", 4), ("UPPER", 2), ("127.0.0.1:9/a/b:c", 7)])
def test_mistakes(project: Project, monkeypatch: pytest.MonkeyPatch, reference: str, code: int) -> None:
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    ran = project.run("inspect", reference)
    assert ran.code == code
    assert "next:" in ran.err
    assert not ran.err.startswith("error: base ")
