from __future__ import annotations

import io
import tarfile
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayimage.layers.tar import DIRECTORY, END, MTIME, SYMLINK, TarEntry, encode_header, padding


def entry(path: str = "/a/b", **fields) -> TarEntry:
    return TarEntry(**{"path": path, "uid": 1000, "gid": 100, **fields})


def read(*made: TarEntry) -> list[tarfile.TarInfo]:
    data = b"".join(encode_header(one) for one in made) + END
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return archive.getmembers()


def test_a_plain_entry_is_one_ustar_block_with_nothing_of_the_host() -> None:
    (info,) = read(entry("/home/ray/x.py"))
    assert len(encode_header(entry("/home/ray/x.py"))) == 512
    assert (info.name, info.mode, info.uid, info.gid, info.uname, info.gname, info.mtime, info.type) == (
        "home/ray/x.py", 0o644, 1000, 100, "", "", MTIME, tarfile.REGTYPE,
    )  # fmt: skip


def test_the_time_is_no_earlier_than_1980_in_the_time_zone_of_ray_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/Los_Angeles")
    time.tzset()
    assert time.localtime(MTIME).tm_year == 1980
    monkeypatch.undo()
    time.tzset()
    assert time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(MTIME)) == "1980-01-02T00:00:00Z"


def test_modes() -> None:
    program, directory, link = read(entry(executable=True), entry(kind=DIRECTORY), entry(kind=SYMLINK, link="c"))
    assert (program.mode, directory.mode, link.mode) == (0o755, 0o755, 0o777)
    assert directory.isdir()
    assert directory.name == "a/b"
    assert (link.issym(), link.linkname) == (True, "c")


@pytest.mark.parametrize("length", [99, 100, 101, 155, 200, 255, 256, 257, 300, 2000])
def test_long_paths_come_back_whole(length: int) -> None:
    path = "/" + ("d" * 40 + "/") * (length // 41) + "f" * (length % 41 or 1)
    for kind in (b"0", DIRECTORY):
        (info,) = read(entry(path, kind=kind))
        assert f"/{info.name}" == path


def test_ustar_is_used_where_a_path_can_be_split() -> None:
    assert len(encode_header(entry("/" + "d" * 155 + "/" + "f" * 100))) == 512
    assert len(encode_header(entry("/" + "d" * 156 + "/" + "f" * 100))) > 512
    assert len(encode_header(entry("/" + "d" * 155 + "/" + "f" * 101))) > 512


def test_sizes_and_ids_beyond_ustar() -> None:
    (info,) = read(entry(uid=1000650000, gid=3000000))  # OpenShift hands out such uids
    assert (info.uid, info.gid) == (1000650000, 3000000)
    with tarfile.open(fileobj=io.BytesIO(encode_header(entry(size=9 << 30)))) as archive:
        assert archive.next().size == 9 << 30
    assert len(encode_header(entry(size=(8 << 30) - 1))) == 512


def test_long_and_foreign_link_targets() -> None:
    targets = ["x" * 100, "x" * 101, "ünï/côde"]
    assert [info.linkname for info in read(*(entry(kind=SYMLINK, link=target) for target in targets))] == targets


@given(st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/"), min_size=1, max_size=120)
    .filter(lambda name: name not in (".", "..")), min_size=1, max_size=6))  # fmt: skip
def test_any_name_comes_back(names: list[str]) -> None:
    (info,) = read(entry("/" + "/".join(names)))
    assert info.name == "/".join(names)


@pytest.mark.parametrize(("size", "zeros"), [(0, 0), (1, 511), (512, 0), (513, 511)])
def test_padding(size: int, zeros: int) -> None:
    assert padding(size) == bytes(zeros)
