from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace

import pytest
from docker.errors import APIError

from rayimage.builders.docker.load import archive, known_layers, load
from rayimage.errors import ContentError, EngineError
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
    client = SimpleNamespace(images=images, api=SimpleNamespace(images=lambda quiet: []), info=dict)
    if not can_be_mended:
        with pytest.raises(ContentError, match="is not what it should be"):
            load(image, "x:1", client, listener)
        return
    assert load(image, "x:1", client, listener) == image.image.manifest.config.digest
    assert images.loads == 2
    assert b"layer" in members(images.received).values()
    assert [f"layer {Digest.of(b'layer').short} was damaged in the cache, and has been made again"] == listener.warnings


class Images:
    """An Engine that has some images, given by their layers, and may not take short archives.

    One with the containerd image store calls what it loads as it likes; ``loads`` are then the layers that it has.
    """

    def __init__(self, *held: list[str], whole: bool = False, loads: list[str] | None = None) -> None:
        self.loads = loads
        status = [["driver-type", "io.containerd.snapshotter.v1"]] if loads is not None else [["Backing", "extfs"]]
        self.info = lambda: {"DriverStatus": status}
        self.held = {f"sha256:{number}": layers for number, layers in enumerate(held)}
        self.whole = whole
        self.loaded: list[dict[str, bytes]] = []
        self.api = SimpleNamespace(images=lambda quiet: list(self.held))
        self.images = SimpleNamespace(get=self.get, load=self.load)

    def get(self, name: str) -> SimpleNamespace:
        if name in self.held:
            return SimpleNamespace(id=name, attrs={"RootFS": {"Layers": self.held[name]}})
        if self.loads is not None:
            return SimpleNamespace(id="sha256:manifest", attrs={"RootFS": {"Layers": self.loads}})
        config = next(n for n in self.loaded[-1] if n.endswith(".json") and n != "manifest.json")
        return SimpleNamespace(id=f"sha256:{config.removesuffix('.json')}")

    def load(self, blocks) -> None:
        files = members(b"".join(blocks))
        self.loaded.append(files)
        if self.whole and len(files) < 4:
            raise APIError("open /tmp/x.tar.gz: no such file or directory")


def diff_ids(image) -> list[str]:
    return [str(diff_id) for diff_id in image.image.config.diff_ids]


def test_layers_that_the_engine_has_are_not_sent() -> None:
    image = built("head", b"layer")
    base, layer = diff_ids(image)
    engine = Images([base, "sha256:other"], ["sha256:x", layer])
    assert known_layers(engine, image.image.config.diff_ids) == 1
    assert load(image, "x:1", engine) == image.image.manifest.config.digest
    [files] = engine.loaded
    [entry] = json.loads(files["manifest.json"])
    assert len(entry["Layers"]) == 2
    assert [name in files for name in entry["Layers"]] == [False, True]


def test_an_engine_that_wants_the_whole_archive_gets_it() -> None:
    image = built("head", b"layer")
    engine = Images(diff_ids(image), whole=True)
    load(image, "x:1", engine)
    assert [len(files) for files in engine.loaded] == [2, 4]


def test_an_engine_without_the_base_gets_everything() -> None:
    image = built("head", b"layer")
    engine = Images(["sha256:x", *diff_ids(image)], [])
    load(image, "x:1", engine)
    assert [len(files) for files in engine.loaded] == [4]


def test_an_engine_that_refuses_is_an_error() -> None:
    image = built("head", b"layer")
    engine = Images()
    engine.images.load = lambda blocks: (_ for _ in ()).throw(APIError("no space left on device"))
    with pytest.raises(EngineError, match="no space left"):
        load(image, "x:1", engine)


def test_the_containerd_image_store_gets_everything_and_has_ids_of_its_own() -> None:
    image = built("head", b"layer")
    engine = Images(diff_ids(image), loads=diff_ids(image))
    assert load(image, "x:1", engine) == image.image.manifest.config.digest
    assert [len(files) for files in engine.loaded] == [4]


def test_another_image_under_the_name_is_an_error() -> None:
    image = built("head", b"layer")
    with pytest.raises(EngineError, match="as another image"):
        load(image, "x:1", Images(loads=["sha256:other"]))
