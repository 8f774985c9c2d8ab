"""``rayimage cache``."""

from __future__ import annotations

import json
import os
import time

import pytest


@pytest.fixture
def filled(tmp_path):
    for name, size, age in (
        ("blobs/sha256/aa", 4_000_000, 3 * 86400),
        ("inventory/bb", 1000, 7200),
        ("layers/cc", 5, 9),
    ):
        file = tmp_path / "cache" / name
        file.parent.mkdir(parents=True)
        file.write_bytes(bytes(size))
        os.utime(file, (time.time() - age,) * 2)
    return tmp_path / "cache"


def test_it_shows_kinds_sizes_and_use(run, filled):
    shown = run("cache")
    assert shown.code == 0
    assert shown.out.splitlines()[0] == f"{filled}: 4.0 MB of 20.0 GB"
    rows = [line.split("  ") for line in shown.out.splitlines()[1:]]
    assert [[cell.strip() for cell in row if cell.strip()] for row in rows] == [
        ["kind", "entries", "size", "last used", "oldest"],
        ["image layers", "1", "4.0 MB", "3 days", "3 days"],
        ["records of layers", "1", "5 B", "now", "now"],
        ["inventories of base images", "1", "1.0 kB", "2 h", "2 h"],
    ]


def test_it_answers_programs(run, filled, monkeypatch):
    monkeypatch.setenv("RAYIMAGE_CACHE_SIZE", "1GB")
    data = json.loads(run("--json", "cache").out)
    assert (data["directory"], data["size"], data["limit"]) == (str(filled), 4_001_005, 10**9)
    assert data["kinds"]["blobs"]["entries"] == 1
    assert data["kinds"]["inventories"]["lastUsed"] < time.time() - 7000


def test_a_cache_that_is_not_there(run, tmp_path):
    assert run("cache").out == f"{tmp_path}/cache: 0 B of 20.0 GB\n"
    assert "nothing to remove" in run("cache", "prune").err
    assert not (tmp_path / "cache").exists(), "looking makes nothing"


@pytest.mark.parametrize(
    ("arguments", "said", "left"),
    [
        ((), "nothing to remove; 4.0 MB in the cache", 3),
        (("--max-size", "2MB"), "1 entry removed, 4.0 MB; 1.0 kB left", 2),
        (("--older-than", "1h"), "2 entries removed, 4.0 MB; 5 B left", 1),
        (("--all",), "3 entries removed, 4.0 MB; 0 B left", 0),
        (("--all", "--dry-run"), "3 entries would be removed, 4.0 MB; 0 B left", 3),
    ],
)
def test_pruning(run, filled, arguments, said, left):
    pruned = run("cache", "prune", *arguments)
    assert pruned.code == 0
    assert pruned.err.strip() == said
    assert len([f for kind in ("blobs/sha256", "inventory", "layers") for f in (filled / kind).iterdir()]) == left


def test_pruning_for_programs(run, filled):
    data = json.loads(run("cache", "prune", "--all", "--json").out)
    assert data["removed"] == 3
    assert data["removedSize"] == 4_001_005
    assert data["kinds"] == {"blobs": 1, "layers": 1, "inventories": 1}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--max-size", "much"), "'much' is not a size"),
        (("--older-than", "long"), "'long' is not an age"),
        (("--all", "--max-size", "1GB"), "--all goes with neither"),
    ],
)
def test_wishes_that_make_no_sense(run, filled, arguments, said):
    refused = run("cache", "prune", *arguments)
    assert refused.code == 2
    assert said in refused.err
    assert (filled / "layers/cc").exists()
