from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from rayimage.cachedir import CacheDir, prune
from rayimage.errors import ContentError, RayimageError, WheelError
from rayimage.layers import FileInLayer, Layer, LayerCache
from rayimage.layers.encode import Entry
from rayimage.layers.tar import TarEntry
from rayimage.layers.writer import write_layer
from rayimage.model.digest import Digest

KEY = Digest.of(b"key")


def write(target: Path, content: bytes = b"content") -> Layer:
    entry = Entry(TarEntry(path="/a/ü", size=len(content), uid=1, gid=2), [(b"", content)])
    return write_layer(target, [entry], [FileInLayer("/a/ü", "sha256=x"), FileInLayer("/a/link")])


def test_what_was_built_is_found(tmp_path: Path) -> None:
    cache = LayerCache(tmp_path / "new" / "cache")
    assert cache.get(KEY) is None
    built = cache.build(KEY, write)
    assert built.path == tmp_path / "new/cache/blobs/sha256" / built.descriptor.digest.hex
    assert Digest.of(built.path.read_bytes()) == built.descriptor.digest
    assert LayerCache(tmp_path / "new" / "cache").get(KEY) == built
    assert cache.build(KEY, lambda _: pytest.fail("written twice")) == built


def test_two_keys_may_share_a_blob(tmp_path: Path) -> None:
    cache = LayerCache(tmp_path)
    assert cache.build(KEY, write) == cache.build(Digest.of(b"other"), write)
    assert len(list((tmp_path / "blobs/sha256").iterdir())) == 1


@pytest.mark.parametrize("damage", ["gone", "short", "long", "not json", "no size", "list", "bad digest", "bad files"])
def test_damage_means_absent_and_is_repaired(tmp_path: Path, damage: str) -> None:
    cache = LayerCache(tmp_path)
    built = cache.build(KEY, write)
    record = tmp_path / "layers" / KEY.hex
    data = json.loads(record.read_bytes().partition(b"\n")[2])
    blob = built.path.read_bytes()
    if damage in ("gone", "short", "long"):
        built.path.unlink()
        if damage != "gone":
            built.path.write_bytes(blob[:-1] if damage == "short" else blob + b"x")
    else:
        broken = {
            "no size": {k: v for k, v in data.items() if k != "unpackedSize"},
            "list": [data],
            "bad digest": data | {"diffID": "sha256:1"},
            "bad files": data | {"files": [["only-path"]]},
        }
        text = "{" if damage == "not json" else json.dumps(broken[damage])
        CacheDir(tmp_path).write_sealed(record, text.encode())
    assert cache.get(KEY) is None
    assert cache.build(KEY, write) == built == cache.get(KEY)


def test_a_failed_or_killed_write_is_not_believed(tmp_path: Path) -> None:
    cache = LayerCache(tmp_path)

    def fail(target: Path) -> Layer:
        target.write_bytes(b"half")
        raise WheelError("no")

    with pytest.raises(WheelError):
        cache.build(KEY, fail)
    assert not list((tmp_path / "scratch").iterdir())
    code = (
        "import os, sys; from pathlib import Path; from rayimage.layers import LayerCache; "
        "from rayimage.model.digest import Digest\n"
        "def die(target): target.write_bytes(b'half'); os._exit(9)\n"
        "LayerCache(Path(sys.argv[1])).build(Digest.of(b'key'), die)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == 9
    assert [path.read_bytes() for path in (tmp_path / "scratch").glob("*/layer")] == [b"half"]
    assert cache.get(KEY) is None
    assert cache.build(KEY, write) == cache.get(KEY)
    assert len(list((tmp_path / "scratch").iterdir())) == 1
    prune(tmp_path, before=float("inf"))
    assert not list((tmp_path / "scratch").iterdir())


def test_threads_at_once_write_once(tmp_path: Path) -> None:
    writes, start, layers = [], threading.Barrier(6), []

    def slow(target: Path) -> Layer:
        writes.append(target)
        return write(target, b"x" * 200_000)

    def build() -> None:
        start.wait()
        layers.append(LayerCache(tmp_path).build(KEY, slow))

    threads = [threading.Thread(target=build) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(writes) == 1
    assert len(layers) == 6
    assert all(layer == layers[0] for layer in layers)


def test_processes_at_once_write_once(tmp_path: Path) -> None:
    code = (
        "import os, sys, time; from pathlib import Path; from rayimage.layers import LayerCache; "
        "from rayimage.layers.writer import write_layer; from rayimage.model.digest import Digest\n"
        "def write(target):\n"
        "    open(sys.argv[1] + '/writes', 'a').write('x'); time.sleep(0.2)\n"
        "    return write_layer(target, ())\n"
        "print(LayerCache(Path(sys.argv[1])).build(Digest.of(b'key'), write).descriptor.digest)"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path)]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert len({run.communicate()[0] for run in runs}) == 1
    assert [run.returncode for run in runs] == [0, 0]
    assert (tmp_path / "writes").read_text() == "x"


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RayimageError, match="cannot write a layer") as caught:
        LayerCache(tmp_path / "file").build(KEY, write)
    assert caught.value.why
    assert caught.value.fix
    assert os.listdir(tmp_path) == ["file"]  # noqa: PTH208


def read(cache: LayerCache, layer: Layer, *, complain: bool) -> bytes:
    with cache.open(layer) as stream:
        data = stream.read()
        if complain:
            raise ContentError("not what its digest says")
    return data


def test_a_layer_that_was_damaged_leaves_the_cache_when_it_is_sent(tmp_path: Path) -> None:
    cache = LayerCache(tmp_path)
    built = cache.build(KEY, write)
    data = built.path.read_bytes()
    assert read(cache, built, complain=False) == data
    built.path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    assert cache.get(KEY) is not None
    with pytest.raises(ContentError, match="was damaged in the cache") as caught:
        read(cache, built, complain=True)
    assert "run the same command again" in caught.value.fix
    assert cache.get(KEY) is None
    assert cache.build(KEY, write).path.read_bytes() == data


def test_a_layer_stays_when_its_reader_is_wrong(tmp_path: Path) -> None:
    cache = LayerCache(tmp_path)
    built = cache.build(KEY, write)
    with pytest.raises(ContentError, match="not what its digest says"):
        read(cache, built, complain=True)
    assert cache.get(KEY) == built
