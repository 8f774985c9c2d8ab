from __future__ import annotations

import gzip
import hashlib
import random
import struct
import zlib
from importlib.util import find_spec

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rayimage.layers import encode as module
from rayimage.layers.encode import Entry, encode
from rayimage.layers.tar import END, TarEntry, encode_header, padding

OWN_HEADER = bytes.fromhex("1f8b08000000000000ff")


def deflated(data: bytes) -> bytes:
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    return deflate.compress(data) + deflate.flush()


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


def header(path: str, size: int) -> TarEntry:
    return TarEntry(path=path, size=size, uid=1, gid=2)


def own(path: str, *blocks: bytes) -> Entry:
    return Entry(header(path, sum(map(len, blocks))), [(b"", block) for block in blocks])


def spliced(path: str, data: bytes) -> Entry:
    return Entry(header(path, len(data)), [(deflated(data), data)], zlib.crc32(data))


def whole(entries: list[Entry], **how: bool) -> tuple[bytes, bytes, int]:
    pieces = list(encode(entries, **how))
    return b"".join(p.tar for p in pieces), b"".join(p.blob for p in pieces), sum(p.read for p in pieces)


def test_streams_pass_verbatim_between_members_of_our_own() -> None:
    data = b"some content " * 100
    tar, blob, read = whole([own("/a", b"ab", b"c"), spliced("/b", data)])
    first, middle, last = members(blob)
    assert first[1] == encode_header(header("/a", 3)) + b"abc" + padding(3) + encode_header(header("/b", len(data)))
    assert middle == (deflated(data), data)
    assert last[1] == padding(len(data)) + END
    assert read == len(deflated(data))
    assert gzip.decompress(blob) == tar
    assert whole([own("/a", b"ab", b"c"), spliced("/b", data)], gzip=False) == (tar, b"", read)


def test_own_members_are_cut_every_mebibyte_however_content_arrives() -> None:
    data = random.Random(1).randbytes(1_500_000) + bytes(1_500_000)
    steps = (len(data), 1 << 20, 4093)
    blobs = [whole([own("/a", *(data[at : at + step] for at in range(0, len(data), step)))])[1] for step in steps]
    assert blobs[0] == blobs[1] == blobs[2]
    assert [len(content) for _, content in members(blobs[0])[:-1]] == [1 << 20, 1 << 20]


GOLDEN = "516033ebc288396859dd00861cfc3f2eb6e36f2f38b3eb9a66c2e9fb9a2f7fca"
"""Of text, zeros, noise; made once with zlib 1.2.13 (a new one when LAYER_FORMAT is raised)."""


def sample() -> bytes:
    noise = random.Random(2).randbytes(40_000)
    text = b"".join(b"def function_%d(argument):\n    return argument + %d\n\n" % (n, n * n) for n in range(2000))
    return text + bytes(5000) + noise + text[::-1]


def test_own_compression_is_the_one_it_has_always_been() -> None:
    tar, blob, _ = whole([own("/a", sample())])
    assert hashlib.sha256(tar).hexdigest()[:12] == "2bbe837b619c"
    assert hashlib.sha256(blob).hexdigest() == GOLDEN


@pytest.mark.skipif(find_spec("zlib_ng") is None, reason="needs the package zlib-ng")
@settings(deadline=None)
@given(st.binary(max_size=3000), st.sampled_from([b"", b"\0", b"path/of/a/file "]), st.integers(0, 300))
def test_another_zlib_gives_the_same_bytes(data: bytes, repeated: bytes, times: int) -> None:
    from zlib_ng import zlib_ng

    entries = [own("/a", data + repeated * times + data[::-1]), own("/b", sample()[: times * 500])]
    usual = whole(entries)[1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "zlib", zlib_ng)
        assert whole(entries)[1] == usual


@settings(deadline=None)
@given(
    st.binary(max_size=2048)
    | st.builds(lambda b, n: (b * n)[:2048], st.binary(min_size=1, max_size=9), st.integers(1, 2048))
)
def test_short_members_are_what_the_usual_parameters_give(data: bytes) -> None:
    found = module._deflated(data)
    usual = zlib.compressobj(6, zlib.DEFLATED, -15, 8, zlib.Z_RLE)
    assert found == usual.compress(data) + usual.flush()
