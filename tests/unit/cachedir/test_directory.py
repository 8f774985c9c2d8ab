"""Locks, last use and sealed records."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayimage.cachedir import CacheDir, Kind


@given(data=st.binary(min_size=1, max_size=200), position=st.integers(min_value=0), bit=st.integers(0, 7))
def test_one_bit_of_a_sealed_record_is_noticed(tmp_path_factory, data, position, bit):
    cache = CacheDir(tmp_path_factory.mktemp("cache"))
    entry = cache.path(Kind.LAYERS, "x")
    cache.write_sealed(entry, data)
    assert cache.read_sealed(entry) == data
    raw = bytearray(entry.read_bytes())
    raw[position % len(raw)] ^= 1 << bit
    entry.write_bytes(raw)
    assert cache.read_sealed(entry) is None
    entry.write_bytes(raw[: position % len(raw)])
    assert cache.read_sealed(entry) is None
    entry.unlink()
    assert cache.read_sealed(entry) is None


def test_use_is_remembered_and_tells_what_is_there(tmp_path):
    cache = CacheDir(tmp_path)
    entry = cache.path(Kind.BLOBS, "a")
    assert not CacheDir(tmp_path / "none").use(entry)
    assert not cache.use(entry)
    entry.parent.mkdir(parents=True)
    entry.touch()
    os.utime(entry, (1, 1))
    assert cache.use(entry)
    assert entry.stat().st_mtime > 1
    assert not cache.use(entry, cache.path(Kind.BLOBS, "b"))


def test_a_lock_is_held_by_one_and_leaves_nothing(tmp_path):
    cache, inside, most = CacheDir(tmp_path), [0], [0]

    def work():
        for _ in range(40):
            with cache.lock("x"):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
    assert not list((tmp_path / "locks").iterdir())


def test_a_directory_is_made_at_once_or_not_at_all(tmp_path):
    cache = CacheDir(tmp_path)
    entry = cache.path(Kind.STUBS, "a")

    def fill(target: Path) -> None:
        (target / "file").write_text("1")
        assert not entry.exists()

    def fail(target: Path) -> None:
        (target / "file").write_text("2")
        raise OSError

    with pytest.raises(OSError):  # noqa: PT011
        cache.make(entry, fail)
    assert not entry.exists()
    cache.make(entry, fill)
    assert (entry / "file").read_text() == "1"
    cache.make(entry, fill if not entry.exists() else fail)  # somebody was faster
    assert (entry / "file").read_text() == "1"
    assert not list((tmp_path / "scratch").iterdir())
    cache.discard(entry)
    assert not list(entry.parent.iterdir())
    cache.discard(entry)


def test_a_lock_does_not_depend_on_a_file_that_a_killed_run_left(tmp_path):
    cache = CacheDir(tmp_path)
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks" / "x").touch()
    with cache.lock("x"):
        assert (tmp_path / "locks" / "x").exists()
    assert not (tmp_path / "locks" / "x").exists()
