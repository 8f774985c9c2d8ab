from __future__ import annotations

import json
from dataclasses import replace

import pytest

from rayimage.errors import BaseImageError
from rayimage.image.assemble import MAX_LAYERS, AddedLayer, assemble, assemble_index
from rayimage.image.plan import ConfigChange
from rayimage.model import media
from rayimage.model.descriptor import Descriptor
from rayimage.model.digest import Digest
from rayimage.model.image_config import ImageConfig
from rayimage.model.manifest import Manifest, canonical_json
from rayimage.model.platform import Platform

CHANGE = ConfigChange(
    created="2026-01-02T03:04:05Z", workdir="/home/ray/app", env={"B": "new", "C": "3"}, labels={"l": "mine"}
)


def layer(name: str, media_type: str = media.DOCKER_LAYER) -> Descriptor:
    return Descriptor(media_type=media_type, digest=Digest.of(name.encode()), size=len(name))


def base(count: int = 2, **changes: object) -> tuple[Manifest, ImageConfig]:
    data = {
        "os": "linux",
        "architecture": "amd64",
        "created": "2020-01-01T00:00:00Z",
        "container": "left by docker commit",
        "config": {"Env": ["A=1", "B=2"], "User": "1000", "Cmd": ["/bin/bash"], "Labels": {"l": "base", "k": "base"}},
        "history": [{"created_by": f"step {n}"} for n in range(count)] + [{"created_by": "ENV", "empty_layer": True}],
        "rootfs": {"type": "layers", "diff_ids": [str(Digest.of(f"d{n}".encode())) for n in range(count)]},
        "variant": "v2",
    } | changes
    config = ImageConfig.parse(canonical_json(data))
    manifest = Manifest.build(
        config=layer("config", media.DOCKER_CONFIG), layers=tuple(layer(f"b{n}") for n in range(count)), annotations={}
    )
    return manifest, config


ADDED = AddedLayer(descriptor=layer("new", media.OCI_LAYER_GZIP), diff_id=Digest.of(b"new"), created_by="rayimage x")


def test_base_layers_keep_bytes_and_get_oci_names() -> None:
    manifest, config = base()
    image = assemble(manifest, config, [ADDED], CHANGE)
    assert [item.digest for item in image.manifest.layers] == [item.digest for item in manifest.layers] + [
        ADDED.descriptor.digest
    ]
    assert {item.media_type for item in image.manifest.layers} == {media.OCI_LAYER_GZIP}
    assert image.manifest.config.media_type == media.OCI_CONFIG


def test_config_keeps_the_base_and_adds() -> None:
    image = assemble(*base(), [ADDED], CHANGE)
    data = json.loads(image.config.raw)
    assert data["created"] == CHANGE.created
    assert data["config"]["Env"] == ["A=1", "B=new", "C=3"]
    assert data["config"]["User"] == "1000"
    assert data["config"]["Cmd"] == ["/bin/bash"]
    assert data["config"]["WorkingDir"] == "/home/ray/app"
    assert data["config"]["Labels"] == {"l": "mine", "k": "base"}
    assert data["variant"] == "v2"
    assert "container" not in data
    assert data["rootfs"]["diff_ids"][-1] == str(ADDED.diff_id)
    assert [entry for entry in data["history"] if not entry.get("empty_layer")][-1]["created_by"] == "rayimage x"


def test_a_base_history_that_does_not_fit_its_layers_is_dropped() -> None:
    image = assemble(*base(history=[{"created_by": "only one"}]), [ADDED], CHANGE)
    assert "history" not in json.loads(image.config.raw)


def test_the_manifest_describes_the_config() -> None:
    image = assemble(*base(), [ADDED], CHANGE)
    assert image.manifest.config.digest == Digest.of(image.config.raw)
    assert image.manifest.config.size == len(image.config.raw)
    assert image.manifest.annotations["org.opencontainers.image.created"] == CHANGE.created


def test_the_same_arguments_give_the_same_digest() -> None:
    again = replace(CHANGE, env=dict(CHANGE.env), labels=dict(reversed(CHANGE.labels.items())))
    assert assemble(*base(), [ADDED], CHANGE).manifest.digest == assemble(*base(), [ADDED], again).manifest.digest


def test_a_base_that_contradicts_itself() -> None:
    manifest, _ = base(2)
    _, config = base(3)
    with pytest.raises(BaseImageError, match="2 layers, its config 3"):
        assemble(manifest, config, [], CHANGE)


def test_too_many_layers() -> None:
    assemble(*base(MAX_LAYERS - 1), [ADDED], CHANGE)
    with pytest.raises(BaseImageError, match="128 layers"):
        assemble(*base(MAX_LAYERS), [ADDED], CHANGE)


def test_index_is_ordered_and_carries_what_all_share() -> None:
    amd = assemble(*base(), [ADDED], CHANGE)
    arm = assemble(*base(architecture="arm64"), [ADDED], replace(CHANGE, labels={"l": "other"}))
    platforms = Platform.parse("linux/arm64"), Platform.parse("linux/amd64")
    index = assemble_index([(platforms[0], arm), (platforms[1], amd)])
    assert [str(child.platform) for child in index.manifests] == ["linux/amd64", "linux/arm64"]
    assert index.annotations == {"org.opencontainers.image.created": CHANGE.created}
    assert index.select(platforms[0]).digest == arm.manifest.digest
