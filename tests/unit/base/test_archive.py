from __future__ import annotations

import gzip
import io
import random
import struct
import sys
import tarfile
import threading
import tracemalloc

import pytest

from rayimage.base.archive import Kind, read_entries
from rayimage.errors import ContentError, RegistryError
from tests.support.images import Directory, HardLink, Symlink, make_layer, make_tar

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

FILES = {"a/b": "first", "a/empty": "", "c": "x" * 2000}


class Dribble:
    """A stream that answers less than it is asked for, as sockets do."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)
        self.at_end = False

    def read(self, size: int = -1, /) -> bytes:
        data = self._data.read(min(size, 100))
        self.at_end = not data
        return data


def contents(layer: bytes) -> dict[str, str]:
    entries = read_entries(io.BytesIO(layer), "layer", lambda _: None)
    return {entry.path: entry.read().decode() for entry in entries}


def in_members(tar: bytes, size: int) -> bytes:
    """A gzip member for every ``size`` bytes, as our own layers and eStargz have."""
    return b"".join(gzip.compress(tar[start : start + size]) for start in range(0, len(tar), size))


SKIPPABLE = struct.pack("<II", 0x184D2A50, 5) + b"hello"
TAR = make_tar(FILES)
ENCODINGS = {
    "plain": TAR,
    "gzip": gzip.compress(TAR),
    "gzip of many members": in_members(TAR, 300),
    "gzip with zeros after it": gzip.compress(TAR) + b"\0" * 100,
    "zstd": zstd.compress(TAR),
    "zstd of many frames": zstd.compress(TAR[:700]) + SKIPPABLE + zstd.compress(TAR[700:]) + SKIPPABLE,
}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_content_is_the_same_in_every_encoding(encoding: str) -> None:
    assert contents(ENCODINGS[encoding]) == {f"/{name}": text for name, text in FILES.items()}


def test_the_end_of_archive_blocks_may_be_absent() -> None:
    assert contents(TAR[:4096]) == {f"/{n}": t for n, t in FILES.items()}


@pytest.mark.parametrize("format_", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_and_foreign_names(format_: int) -> None:
    names = ["d/" * 100 + "long", "caf\N{LATIN SMALL LETTER E WITH ACUTE}", "n" * 150]
    assert contents(make_tar({name: name for name in names}, format=format_)) == {f"/{name}": name for name in names}


def test_names_are_normalised() -> None:
    names = ["./a", "/b", "d//e", "d/./f", "d/x/../g", "../../h"]
    assert list(contents(make_tar(dict.fromkeys(names, "")))) == ["/a", "/b", "/d/e", "/d/f", "/d/g", "/h"]


def test_kinds() -> None:
    fifo = tarfile.TarInfo("pipe")
    fifo.type = tarfile.FIFOTYPE
    tar = make_tar({"d/": Directory, "s": Symlink("../x"), "f": "", "h": HardLink("./f")})
    layer = tar[: 4 * 512] + fifo.tobuf() + b"\0" * 1024
    found = [(e.path, e.kind, e.target) for e in read_entries(io.BytesIO(layer), "layer", lambda _: None)]
    assert found == [
        ("/d", Kind.DIRECTORY, ""),
        ("/s", Kind.SYMLINK, "../x"),
        ("/f", Kind.FILE, ""),
        ("/h", Kind.HARD_LINK, "/f"),
        ("/pipe", Kind.OTHER, ""),
    ]


@pytest.mark.parametrize("encoding", ["plain", "gzip", "zstd"])
def test_the_stream_is_read_to_its_end(encoding: str) -> None:
    # What follows the archive is no use here, but a source verifies the digest at the end only.
    stream, counted = Dribble(ENCODINGS[encoding]), [0]
    assert len(list(read_entries(stream, "layer", counted.append))) == 3
    assert stream.at_end
    assert sum(counted) == len(ENCODINGS[encoding])


DAMAGED = {
    "empty": b"",
    "text": b"<html>not found</html>" * 100,
    "gzipped text": gzip.compress(b"<html>not found</html>" * 100),
    "cut gzip": ENCODINGS["gzip"][:-20],
    "cut in the second member": ENCODINGS["gzip of many members"][:400],
    "flipped byte in gzip": ENCODINGS["gzip"][:60] + b"\xff\xff\xff" + ENCODINGS["gzip"][63:],
    "wrong checksum": ENCODINGS["gzip"][:-8] + b"\0" * 8,
    "garbage after gzip": ENCODINGS["gzip"] + b"garbage",
    "cut zstd": ENCODINGS["zstd"][:-5],
    "broken zstd": ENCODINGS["zstd"][:6] + b"\xff" * 30,
    "cut in a header": TAR[:100],
    "cut in a later header": TAR[: 1024 + 100],
    "cut in content": TAR[: 4 * 512 + 100],
    "no header where one belongs": TAR[:1024] + b"rubbish" * 100,
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_layer_is_an_error_that_names_it(name: str) -> None:
    with pytest.raises(ContentError, match=r"^base layer 7 cannot be read: "):
        list(read_entries(io.BytesIO(DAMAGED[name]), "base layer 7", lambda _: None))


@pytest.mark.parametrize("cut", range(1, len(ENCODINGS["gzip"]), 7))
def test_no_cut_goes_unnoticed(cut: int) -> None:
    with pytest.raises(ContentError):
        contents(ENCODINGS["gzip"][:-cut])


def test_a_header_of_absurd_size_is_refused_before_it_is_read() -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 8 << 30
    with pytest.raises(ContentError, match="8589934592 bytes"):
        contents(info.tobuf(tarfile.GNU_FORMAT) + b"\0" * 10240)


def test_a_name_that_no_runtime_unpacks() -> None:
    with pytest.raises(ContentError, match="a name of 8191 characters"):
        contents(tarfile.TarInfo("a/" * 4096).tobuf(tarfile.PAX_FORMAT) + b"\0" * 1024)


def test_a_negative_size_is_refused() -> None:
    info = tarfile.TarInfo("x")
    info.size = -4096
    header = info.tobuf(tarfile.GNU_FORMAT)
    with pytest.raises(ContentError):
        contents(TAR[:1024] + header + b"\0" * 10240)


@pytest.mark.parametrize("encoding", ["plain", "gzip", "zstd"])
def test_errors_of_the_source_pass_as_they_are(encoding: str) -> None:
    class Failing(Dribble):
        def read(self, size: int = -1, /) -> bytes:
            data = super().read(size)
            if not data:
                raise RegistryError("connection lost")
            return data

    with pytest.raises(RegistryError, match="connection lost"):
        list(read_entries(Failing(ENCODINGS[encoding][:150]), "layer", lambda _: None))


def test_no_thread_is_left_behind() -> None:
    before = threading.active_count()
    entries = read_entries(io.BytesIO(make_layer({"a": random.Random(1).randbytes(20_000_000)})), "l", lambda _: None)
    next(entries)
    entries.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_memory_does_not_grow_with_the_number_of_entries() -> None:
    def peak(count: int) -> int:
        layer = zstd.compress(make_tar({f"d/{number}": "x" for number in range(count)}))
        tracemalloc.start()
        try:
            for _ in read_entries(io.BytesIO(layer), "layer", lambda _: None):
                pass
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    small = peak(100)
    assert peak(5000) < small + 300_000
