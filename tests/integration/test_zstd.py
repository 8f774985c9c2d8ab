"""zstd layers: the same archives as gzip, whole for our own check and for readers that are not ours."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import pytest

from rayimage.image.layout import OciLayout
from rayimage.image.validate import validate
from rayimage.model.digest import Digest
from rayimage.model.image_config import ImageConfig
from rayimage.model.manifest import Manifest
from tests.support.project import Project, make_project
from tests.support.wheelmaker import make_wheel

ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
NOISE = random.Random(3).randbytes(5 << 20)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = make_project(tmp_path, "registry.example.com/team/small")
    make_wheel(tmp_path / "wheels", {"extra/big.bin": NOISE}, "extra", "1.0")
    return project


def compress(project: Project, compression: str) -> None:
    config = project.root / "rayimage.toml"
    lines = [line for line in config.read_text().splitlines() if not line.startswith("compression")]
    config.write_text("\n".join([f'compression = "{compression}"', *lines, ""]))


def built(project: Project, output: Path) -> tuple[OciLayout, Manifest, ImageConfig]:
    ran = project.run("build", "--tag", "v1", "--output", f"oci:{output}")
    assert ran.code == 0, ran.err
    layout = OciLayout(output)
    manifest = layout.get_manifest("v1-worker")
    assert isinstance(manifest, Manifest)
    with layout.open_blob(manifest.config) as stream:
        return layout, manifest, ImageConfig.parse(stream.read(-1))


def test_only_the_compression_differs(project: Project, tmp_path: Path) -> None:
    compress(project, "gzip")
    _, usual, usual_config = built(project, tmp_path / "gzip")
    compress(project, "zstd")
    layout, manifest, config = built(project, tmp_path / "zstd")
    assert validate(layout, "v1-worker") == ()
    assert [layer.media_type for layer in manifest.layers] == [GZIP, *[ZSTD] * (len(usual.layers) - 1)]
    # The code layer has the configuration in it.
    assert [one == other for one, other in zip(config.diff_ids, usual_config.diff_ids, strict=True)].count(False) == 1
    assert manifest.layers[0] == usual.layers[0]
    assert not {layer.digest for layer in manifest.layers[1:]} & {layer.digest for layer in usual.layers}
    compress(project, "gzip")
    assert built(project, tmp_path / "again")[1].raw == usual.raw


def test_damage_is_found(project: Project, tmp_path: Path) -> None:
    compress(project, "zstd")
    layout, manifest, _ = built(project, tmp_path / "zstd")
    big = max(manifest.layers, key=lambda layer: layer.size)
    path = tmp_path / "zstd/blobs/sha256" / big.digest.hex
    data = bytearray(path.read_bytes())
    data[: 1 << 10] = bytes(1 << 10)
    path.chmod(0o644)
    path.write_bytes(data)
    assert any(str(big.digest) in problem for problem in validate(layout, "v1-worker"))


@pytest.mark.skipif(not shutil.which("skopeo"), reason="skopeo is not installed")
def test_skopeo_unpacks_it(project: Project, tmp_path: Path) -> None:
    compress(project, "zstd")
    _, _, config = built(project, tmp_path / "zstd")
    command = [
        "skopeo",
        "copy",
        "--quiet",
        "--dest-decompress",
        f"oci:{tmp_path}/zstd:v1-worker",
        f"dir:{tmp_path}/plain",
    ]
    subprocess.run(command, check=True)
    found = {Digest.of(file.read_bytes()) for file in (tmp_path / "plain").iterdir()}
    assert set(config.diff_ids) <= found


@pytest.mark.skipif(not shutil.which("zstd"), reason="the zstd program is not installed")
def test_the_zstd_program_and_tar_unpack_it(project: Project, tmp_path: Path) -> None:
    compress(project, "zstd")
    _, manifest, _ = built(project, tmp_path / "zstd")
    big = max(manifest.layers, key=lambda layer: layer.size)
    blob = tmp_path / "zstd/blobs/sha256" / big.digest.hex
    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    subprocess.run(["tar", "--zstd", "-xf", blob, "-C", unpacked, "--no-same-owner"], check=True)
    [found] = unpacked.rglob("extra/big.bin")
    assert found.read_bytes() == NOISE


def test_an_engine_is_not_given_zstd(project: Project) -> None:
    compress(project, "zstd")
    ran = project.run("build", "--output", "docker")
    assert ran.code == 2
    assert "zstd layers cannot be loaded into an Engine" in ran.err
    assert 'set compression = "gzip"' in ran.err
