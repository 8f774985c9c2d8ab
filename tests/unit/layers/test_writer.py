from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import pytest

from rayimage.layers import FileInLayer
from rayimage.layers.encode import Entry
from rayimage.layers.tar import TarEntry
from rayimage.layers.writer import write_layer


def test_a_layer_knows_its_digests_and_sizes(tmp_path: Path) -> None:
    entry = Entry(TarEntry(path="/a", size=3, uid=1, gid=2), [(b"", b"abc")])
    layer = write_layer(tmp_path / "layer", [entry], [FileInLayer("/b"), FileInLayer("/a")])
    blob = layer.path.read_bytes()
    tar = gzip.decompress(blob)
    assert layer.descriptor.media_type == "application/vnd.oci.image.layer.v1.tar+gzip"
    assert layer.descriptor.digest.hex == hashlib.sha256(blob).hexdigest()
    assert layer.descriptor.size == len(blob)
    assert layer.diff_id.hex == hashlib.sha256(tar).hexdigest()
    assert layer.unpacked_size == len(tar)
    assert [file.path for file in layer.files] == ["/a", "/b"]


def test_progress_is_what_was_read(tmp_path: Path) -> None:
    heard: list[int] = []
    write_layer(
        tmp_path / "layer", [Entry(TarEntry(path="/a", size=1, uid=1, gid=2), [(b"read", b"a")])], advance=heard.append
    )
    assert heard == [4]


def test_a_failure_leaves_no_file(tmp_path: Path) -> None:
    entry = Entry(TarEntry(path="/a", size=3, uid=1, gid=2), [(b"", "not bytes")])
    with pytest.raises(TypeError):
        write_layer(tmp_path / "layer", [entry])
    assert list(tmp_path.iterdir()) == []
