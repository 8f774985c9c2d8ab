from __future__ import annotations

import urllib.request
import zipfile
from pathlib import Path
from urllib.error import HTTPError

import pytest

from benchmarks.index import running_index
from benchmarks.wheels import write_small_wheels
from rayimage.model.digest import Digest


def test_small_wheels_are_the_same_in_every_run(tmp_path: Path) -> None:
    assert write_small_wheels(tmp_path / "a", 4, bumped=2) == ["small-000", "small-001", "small-002", "small-003"]
    write_small_wheels(tmp_path / "b", 4, bumped=2)
    wheels = sorted((tmp_path / "a").iterdir())
    assert [wheel.name.split("-")[1] for wheel in wheels] == ["1.0.0", "1.0.0", "1.0.0", "1.0.1", "1.0.0"]
    assert [wheel.read_bytes() for wheel in wheels] == [(tmp_path / "b" / wheel.name).read_bytes() for wheel in wheels]


def test_small_wheels_are_python_that_deflate_shrinks_as_it_does_source(tmp_path: Path) -> None:
    write_small_wheels(tmp_path, 3, bumped=0)
    for path in tmp_path.iterdir():
        with zipfile.ZipFile(path) as wheel:
            members = [info for info in wheel.infolist() if info.filename.endswith(".py")]
            for info in members:
                compile(wheel.read(info), info.filename, "exec")
            share = sum(info.compress_size for info in members) / sum(info.file_size for info in members)
            assert 0.1 < share < 0.5


def test_the_index(tmp_path: Path) -> None:
    name = "demo_pkg-1.0+cpu-py3-none-any.whl"
    (tmp_path / name).write_bytes(b"wheel")
    with running_index() as index:
        url = index.add(tmp_path / name)
        with urllib.request.urlopen(url) as answer:
            assert answer.read() == b"wheel"
            assert "immutable" in answer.headers["Cache-Control"]
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD")) as answer:
            assert answer.headers["Content-Length"] == "5"
        with urllib.request.urlopen(f"{index.url}/demo-pkg/") as answer:
            assert f"#sha256={Digest.of(b'wheel').hex}".encode() in answer.read()
        for missing in (f"{index.url}/other/", url + "x"):
            with pytest.raises(HTTPError, match="404"):
                urllib.request.urlopen(missing)
