from __future__ import annotations

import gzip
import hashlib
import io
import random
import struct
import zlib
from pathlib import Path

import pytest

from rayimage.layers.tar import END, TarEntry, encode_header, padding
from rayimage.layers.writer import LayerWriter, writing_layer

OWN_HEADER = bytes.fromhex("1f8b08000000000000ff")


class Stream:
    def __init__(self, data: bytes) -> None:
        deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
        self.data, self.raw = data, deflate.compress(data) + deflate.flush()
        self.size, self.crc = len(data), zlib.crc32(data)

    def inflate(self, raw):
        raw(self.raw)
        yield self.data


def members(blob: bytes) -> list[tuple[bytes, bytes]]:
    """(deflate stream, content) of each gzip member."""
    found = []
    while blob:
        assert blob.startswith(OWN_HEADER)
        inflate = zlib.decompressobj(-15)
        content = inflate.decompress(blob[10:]) + inflate.flush()
        rest = inflate.unused_data
        assert rest[:8] == struct.pack("<LL", zlib.crc32(content), len(content))
        found.append((blob[10 : len(blob) - len(rest)], content))
        blob = rest[8:]
    return found


def entry(path: str, size: int) -> TarEntry:
    return TarEntry(path=path, size=size, uid=1, gid=2)


def test_streams_pass_verbatim_between_members_of_our_own(tmp_path: Path) -> None:
    stream = Stream(b"some content " * 100)
    heard = []
    with writing_layer(tmp_path / "layer") as writer:
        writer.add(entry("/a", 3), [b"ab", b"c"])
        writer.splice(entry("/b", stream.size), stream, heard.append)
        layer = writer.finish(tmp_path / "layer", ())
    blob = layer.path.read_bytes()
    tar = gzip.decompress(blob)
    first, spliced, last = members(blob)
    assert first[1] == encode_header(entry("/a", 3)) + b"abc" + padding(3) + encode_header(entry("/b", stream.size))
    assert spliced == (stream.raw, stream.data)
    assert last[1] == padding(stream.size) + END
    assert heard == [len(stream.raw)]
    assert layer.descriptor.media_type == "application/vnd.oci.image.layer.v1.tar+gzip"
    assert layer.descriptor.digest.hex == hashlib.sha256(blob).hexdigest()
    assert layer.descriptor.size == len(blob)
    assert layer.diff_id.hex == hashlib.sha256(tar).hexdigest()
    assert layer.unpacked_size == len(tar)


def test_own_members_are_cut_every_mebibyte_however_content_arrives() -> None:
    data = random.Random(1).randbytes(1_500_000) + bytes(1_500_000)
    blobs = []
    for step in (len(data), 1 << 20, 4093):
        out = io.BytesIO()
        writer = LayerWriter(out)
        writer.add(entry("/a", len(data)), (data[at : at + step] for at in range(0, len(data), step)))
        writer.finish(Path("unused"), ())
        blobs.append(out.getvalue())
    assert blobs[0] == blobs[1] == blobs[2]
    assert [len(content) for _, content in members(blobs[0])[:-1]] == [1 << 20, 1 << 20]


def test_own_compression_is_the_same_with_every_zlib() -> None:
    """Text, zeros, noise: made once with zlib 1.2.13; zlib-ng 2.3.3 gives the same (new ones when LAYER_FORMAT is raised)."""
    noise = random.Random(2).randbytes(40_000)
    text = b"".join(b"def function_%d(argument):\n    return argument + %d\n\n" % (n, n * n) for n in range(2000))
    out = io.BytesIO()
    writer = LayerWriter(out)
    data = text + bytes(5000) + noise + text[::-1]
    writer.add(entry("/a", len(data)), [data])
    layer = writer.finish(Path("unused"), ())
    assert layer.diff_id.short == "2bbe837b619c"
    assert layer.descriptor.digest.hex == "516033ebc288396859dd00861cfc3f2eb6e36f2f38b3eb9a66c2e9fb9a2f7fca"


def test_a_failure_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(TypeError), writing_layer(tmp_path / "layer") as writer:
        writer.add(entry("/a", 3), ["not bytes"])
    assert list(tmp_path.iterdir()) == []
