from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from docker.errors import APIError, ImageNotFound

from rayimage.builders.docker.export import EngineImage, export_layers, inspect_image
from rayimage.errors import EngineError
from rayimage.layers import LayerCache
from rayimage.model.digest import Digest

SITE = "opt/lib/python3.11/site-packages"
METADATA = b"Metadata-Version: 2.1\nName: Two_Words\nVersion: 1.0\nRequires-Dist: other>1\n\nName: not-this\n"


def archive(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


BASE = archive({"etc/base": b"base" * 5000})
ADDED = archive({f"{SITE}/two_words-1.0.dist-info/METADATA": METADATA, f"{SITE}/two/METADATA": b"", "a": b"x" * 30000})
TWICE = archive({"twice": b""})
IMAGE = EngineImage(id="sha256:abc", diff_ids=tuple(map(Digest.of, (BASE, ADDED, TWICE, TWICE))), config={})


def saved(layers: dict[str, bytes]) -> bytes:
    """What the Engine's save API gives: the manifest comes last."""
    return archive({**layers, "manifest.json": json.dumps([]).encode()})


class Engine:
    """An Engine that saves one archive."""

    def __init__(self, data: bytes) -> None:
        self.data, self.saved = data, 0
        self.api = SimpleNamespace(get_image=self.save)

    def save(self, image: str, chunk_size: int):
        assert image == "sha256:abc"
        self.saved += 1
        yield from (self.data[at : at + 1000] for at in range(0, len(self.data), 1000))


CLASSIC = saved({"1/layer.tar": ADDED, "1/json": b"{}", "2/layer.tar": BASE, "3/layer.tar": TWICE})
NEWER = saved({f"blobs/sha256/{Digest.of(data).hex}": data for data in (BASE, b"{}", TWICE, ADDED)})

PACKED = saved({f"blobs/sha256/{n}": gzip.compress(data) for n, data in enumerate((BASE, TWICE, ADDED))})


@pytest.mark.parametrize("data", [CLASSIC, NEWER, PACKED], ids=["classic", "since 25", "containerd"])
def test_the_layers_above_the_base_come_out(tmp_path: Path, data: bytes) -> None:
    engine, cache = Engine(data), LayerCache(tmp_path)
    layers = export_layers(engine, IMAGE, IMAGE.diff_ids[1:], cache)
    assert layers.keys() == {Digest.of(ADDED), Digest.of(TWICE)}
    for content in (ADDED, TWICE):
        layer = layers[Digest.of(content)]
        blob = layer.path.read_bytes()
        assert gzip.decompress(blob) == content
        assert (layer.descriptor.digest, layer.descriptor.size) == (Digest.of(blob), len(blob))
        assert (layer.diff_id, layer.unpacked_size) == (Digest.of(content), len(content))
    [package] = layers[Digest.of(ADDED)].packages
    assert (package.name, str(package.version), package.requires) == ("two-words", "1.0", ("other>1",))
    assert package.filename == "two_words-1.0.dist-info"
    assert not list((tmp_path / "scratch").iterdir())


def test_what_came_out_once_is_not_asked_for_again(tmp_path: Path) -> None:
    engine = Engine(CLASSIC)
    first = export_layers(engine, IMAGE, IMAGE.diff_ids[1:], LayerCache(tmp_path))
    assert export_layers(engine, IMAGE, IMAGE.diff_ids[1:], LayerCache(tmp_path)) == first
    assert engine.saved == 1


def test_an_engine_that_does_not_give_a_layer(tmp_path: Path) -> None:
    engine = Engine(saved({"1/layer.tar": ADDED}))
    with pytest.raises(EngineError, match="did not give all"):
        export_layers(engine, IMAGE, IMAGE.diff_ids[1:], LayerCache(tmp_path))


@pytest.mark.parametrize("data", [CLASSIC[:30000], b"not an archive" * 100])
def test_an_archive_that_is_cut_or_none(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(EngineError):
        export_layers(Engine(data), IMAGE, IMAGE.diff_ids[1:], LayerCache(tmp_path))
    assert not list((tmp_path / "scratch").iterdir())


def test_an_engine_that_fails_meanwhile(tmp_path: Path) -> None:
    engine = Engine(b"")
    engine.api.get_image = lambda *_, **__: (_ for _ in ()).throw(APIError("no space left on device"))
    with pytest.raises(EngineError, match="no space left"):
        export_layers(engine, IMAGE, IMAGE.diff_ids[1:], LayerCache(tmp_path))


def test_an_image_is_described() -> None:
    attributes = {"Id": "sha256:1", "RootFS": {"Layers": [str(Digest.of(BASE))]}, "Config": {"User": "1000"}}
    client = SimpleNamespace(images=SimpleNamespace(get=lambda _: SimpleNamespace(attrs=attributes)))
    image = inspect_image(client, "sha256:1")
    assert (image.id, image.diff_ids, image.config) == ("sha256:1", (Digest.of(BASE),), {"User": "1000"})


def test_an_image_that_is_not_there() -> None:
    def get(name: str):
        raise ImageNotFound(name)

    with pytest.raises(EngineError, match="does not have"):
        inspect_image(SimpleNamespace(images=SimpleNamespace(get=get)), "x")
