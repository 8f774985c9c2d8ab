from __future__ import annotations

import hashlib
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rayimage.layers import (
    code_layer_key,
    collect_code,
    directories_layer_key,
    removal_layer_key,
    wheel_layer_key,
    write_code_layer,
    write_directories_layer,
    write_removal_layer,
    write_wheel_layer,
)
from rayimage.layers import zstd_frames as module
from rayimage.layers.encode import Piece
from rayimage.model.digest import Digest
from rayimage.model.inventory import DirectoryOwner
from tests.support.wheelmaker import LAYOUT, make_wheel

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

DATA = random.Random(1).randbytes(3 << 20) + bytes(2 << 20)
OWNERS = {"/tmp": DirectoryOwner(0o1777, 0, 0)}


def pieces(step: int) -> Iterator[Piece]:
    for at in range(0, len(DATA), step):
        yield Piece(DATA[at : at + step], b"", 1)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("step", [1 << 18, 5 << 20, 99_999])
def test_frames_are_the_same_however_the_archive_arrives(step: int, threads: int, monkeypatch) -> None:
    monkeypatch.setattr(module, "THREADS", threads)
    found = list(module.zstd_frames(pieces(step)))
    assert [len(piece.tar) for piece in found] == [1 << 20] * 5
    assert b"".join(piece.tar for piece in found) == DATA
    assert sum(piece.read for piece in found) == -(-len(DATA) // step)
    assert [piece.blob for piece in found] == [zstd.compress(piece.tar, 3) for piece in found]


def test_a_layer_has_the_same_archive_in_either_compression(tmp_path: Path) -> None:
    files = {"demo/big.bin": DATA, **{f"demo/{n}.py": b"import this\n" * n for n in range(200)}}
    wheel = make_wheel(tmp_path, files)
    usual = write_wheel_layer([wheel], LAYOUT, tmp_path / "gzip")
    layer = write_wheel_layer([wheel], LAYOUT, tmp_path / "zstd", compression="zstd")
    blob = layer.path.read_bytes()
    assert layer.descriptor.media_type == "application/vnd.oci.image.layer.v1.tar+zstd"
    assert (layer.descriptor.digest, layer.descriptor.size) == (Digest.of(blob), len(blob))
    assert (layer.diff_id, layer.unpacked_size, layer.files) == (usual.diff_id, usual.unpacked_size, usual.files)
    assert hashlib.sha256(zstd.decompress(blob)).hexdigest() == layer.diff_id.hex


def test_every_kind_of_layer_can_be_zstd(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code/main.py").write_text("print()")
    tree = collect_code(tmp_path / "code")
    key = code_layer_key(tree, "/app", LAYOUT, "zstd")
    layers = [
        write_code_layer(tree, "/app", LAYOUT, key, tmp_path / "1", "zstd"),
        write_removal_layer(["/a/b"], LAYOUT, tmp_path / "2", "zstd"),
        write_directories_layer(OWNERS, tmp_path / "3", "zstd"),
    ]
    for layer in layers:
        assert layer.descriptor.media_type.endswith("zstd")
        assert Digest.of(zstd.decompress(layer.path.read_bytes())) == layer.diff_id


def keys(tmp_path: Path, compression: str) -> set[Digest]:
    tree = collect_code(tmp_path)
    return {
        wheel_layer_key([("a", Digest.of(b""))], LAYOUT, compression),
        removal_layer_key(["/a/b"], LAYOUT, compression),
        directories_layer_key(OWNERS, compression),
        code_layer_key(tree, "/app", LAYOUT, compression),
    }


def test_the_key_names_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert module.zstd_identity() == [*zstd.zstd_version_info, 3, 1 << 20]
    before = keys(tmp_path, "zstd")
    assert not before & keys(tmp_path, "gzip")
    gzip = keys(tmp_path, "gzip")
    monkeypatch.setattr(zstd, "zstd_version_info", (9, 9, 9))
    assert not before & keys(tmp_path, "zstd")
    assert gzip == keys(tmp_path, "gzip")
