from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace

import pytest

from rayimage.builders.docker.load import archive, load
from rayimage.errors import ContentError
from rayimage.model.digest import Digest
from tests.support.listener import Listener
from tests.unit.builders.test_publish import built


def members(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {info.name: tar.extractfile(info).read() for info in tar}


def test_the_archive_is_what_docker_load_reads() -> None:
    image = built("head", b"layer")
    files = members(b"".join(archive(image, "repo/x:v1-head")))
    [entry] = json.loads(files["manifest.json"])
    assert entry["RepoTags"] == ["repo/x:v1-head"]
    assert files[entry["Config"]] == image.image.config.raw
    assert [files[name] for name in entry["Layers"]] == [b"base", b"layer"]


def test_the_archive_is_the_same_every_time() -> None:
    image = built("head", b"layer")
    assert b"".join(archive(image, "x:1")) == b"".join(archive(image, "x:1"))


def test_a_layer_that_occurs_twice_is_sent_once() -> None:
    image = built("head", b"base")
    data = b"".join(archive(image, "x:1"))
    [entry] = json.loads(members(data)["manifest.json"])
    assert len(entry["Layers"]) == 2
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert len(tar.getnames()) == len(set(tar.getnames()))


class _Images:
    """An Engine's images, which keep the last archive."""

    def __init__(self) -> None:
        self.received = b""
        self.loads = 0

    def load(self, blocks: Iterator[bytes]) -> None:
        self.loads += 1
        self.received = b"".join(blocks)

    def get(self, _name: str) -> SimpleNamespace:
        [entry] = json.loads(members(self.received)["manifest.json"])
        return SimpleNamespace(id=f"sha256:{entry['Config'].removesuffix('.json')}")


@pytest.mark.parametrize("can_be_mended", [True, False])
def test_a_layer_that_is_damaged_is_made_again(can_be_mended: bool) -> None:
    image, content = built("head", b"layer"), [b"LAYER"]

    def mend() -> bool:
        content[0] = b"layer"
        return can_be_mended

    layer = next(blob for blob in image.blobs if blob.descriptor.digest == Digest.of(b"layer"))
    damaged = replace(layer, open=lambda: io.BytesIO(content[0]), mend=mend)
    image = replace(image, blobs=tuple(damaged if blob is layer else blob for blob in image.blobs))
    images, listener = _Images(), Listener()
    client = SimpleNamespace(images=images)
    if not can_be_mended:
        with pytest.raises(ContentError, match="is not what it should be"):
            load(image, "x:1", client, listener)
        return
    assert load(image, "x:1", client, listener) == image.image.manifest.config.digest
    assert images.loads == 2
    assert b"layer" in members(images.received).values()
    assert [f"layer {Digest.of(b'layer').short} was damaged in the cache, and has been made again"] == listener.warnings
