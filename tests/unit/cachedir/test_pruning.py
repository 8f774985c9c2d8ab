"""What goes, what stays, and what a running command protects."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from rayimage.cachedir import CacheDir, CommandCache, Kind, Session, prune, survey
from rayimage.cachedir.pruning import keep_below

PLENTY = 10**12


def add(root, kind, name, size, used):
    entry = CacheDir(root).path(kind, name)
    entry.parent.mkdir(parents=True, exist_ok=True)
    if kind is Kind.WHEELS:
        entry.mkdir()
        (entry / "a.whl").write_bytes(b"x" * size)
    else:
        entry.write_bytes(b"x" * size)
    os.utime(entry, (used, used))
    return entry


def test_a_survey_is_in_the_order_of_use(tmp_path):
    assert survey(tmp_path / "none") == ()
    add(tmp_path, Kind.BLOBS, "new", 5, 300)
    add(tmp_path, Kind.WHEELS, "old", 7, 100)
    add(tmp_path, Kind.INVENTORIES, "mid", 1, 200)
    assert [(e.kind, e.path.name, e.size, e.used) for e in survey(tmp_path)] == [
        (Kind.WHEELS, "old", 7, 100),
        (Kind.INVENTORIES, "mid", 1, 200),
        (Kind.BLOBS, "new", 5, 300),
    ]


@pytest.mark.parametrize(
    ("wishes", "gone"),
    [
        ({"most": 12}, {"a"}),
        ({"most": 11}, {"a", "b"}),
        ({"most": 30}, set()),
        ({"most": 0}, {"a", "b", "c"}),
        ({"before": 200}, {"a"}),
        ({"before": 201}, {"a", "b"}),
        ({"before": float("inf")}, {"a", "b", "c"}),
        ({"before": 150, "most": 5}, {"a", "b"}),
    ],
)
def test_the_least_recently_used_goes(tmp_path, wishes, gone):
    for name, size, used in (("a", 10, 100), ("b", 7, 200), ("c", 5, 300)):
        add(tmp_path, Kind.WHEELS if name == "b" else Kind.BLOBS, name, size, used)
    would = prune(tmp_path, dry_run=True, **wishes)
    assert {e.path.name for e in would.removed} == gone
    assert len(survey(tmp_path)) == 3
    did = prune(tmp_path, **wishes)
    assert did == would
    assert {e.path.name for e in survey(tmp_path)} == {"a", "b", "c"} - gone
    assert did.left == sum(e.size for e in survey(tmp_path)) == 22 - did.size


def test_what_a_running_command_used_stays(tmp_path):
    used = add(tmp_path, Kind.BLOBS, "used", 10, 100)
    add(tmp_path, Kind.BLOBS, "unused", 10, 200)
    session = Session(tmp_path)
    assert CacheDir(tmp_path).use(used)
    pruned = prune(tmp_path, before=float("inf"))
    assert [e.path.name for e in pruned.removed] == ["unused"]
    assert pruned.in_use == 10
    session.end()
    session.end()
    assert prune(tmp_path, before=float("inf")).removed[0].path == used


def test_what_is_used_between_survey_and_removal_stays(tmp_path, monkeypatch):
    entry = add(tmp_path, Kind.BLOBS, "a", 10, 100)
    found = survey(tmp_path)
    CacheDir(tmp_path).use(entry)
    monkeypatch.setattr("rayimage.cachedir.pruning.survey", lambda _: found)
    assert prune(tmp_path, most=0).removed == ()
    assert entry.exists()


def test_a_killed_command_protects_nothing_any_more(tmp_path):
    code = "import sys, time; from pathlib import Path; from rayimage.cachedir import Session\ns = Session(Path(sys.argv[1])); print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE) as command:
        command.stdout.readline()
        entry = add(tmp_path, Kind.BLOBS, "a", 10, time.time() + 5)
        assert prune(tmp_path, most=0).removed == ()
        command.send_signal(signal.SIGKILL)
    assert list((tmp_path / "sessions").iterdir())
    assert prune(tmp_path, most=0).removed
    assert not entry.exists()
    assert not list((tmp_path / "sessions").iterdir())


def test_leftovers_go_after_a_day_and_with_everything(tmp_path):
    for name, age in (("old", 90_000), ("new", 60)):
        for place in ("scratch", "locks"):
            file = tmp_path / place / name
            file.parent.mkdir(exist_ok=True)
            file.write_text("")
            os.utime(file, (time.time() - age,) * 2)
    prune(tmp_path, most=PLENTY)
    assert {p.name for p in tmp_path.glob("*/*")} == {"new"}
    prune(tmp_path, before=float("inf"))
    assert not list(tmp_path.glob("*/*"))


def test_the_directory_is_walked_only_when_it_may_be_too_large(tmp_path, monkeypatch):
    walks = []
    real = survey
    monkeypatch.setattr("rayimage.cachedir.pruning.survey", lambda root: walks.append(root) or real(root))
    for number in range(10):
        add(tmp_path, Kind.BLOBS, str(number), 10, 100 + number)
    assert keep_below(tmp_path, 150, 100) is None
    assert len(walks) == 1, "the first time"
    assert keep_below(tmp_path, 150, 0) is None
    assert keep_below(tmp_path, 150, 40) is None
    assert len(walks) == 1
    assert keep_below(tmp_path, 150, 40) is None, "180 are assumed, 100 counted"
    assert len(walks) == 2
    pruned = keep_below(tmp_path, 99, 0)
    assert [e.path.name for e in pruned.removed] == ["0", "1"], "down to nine tenths"


@pytest.mark.parametrize("ledger", ["", "{}", "[]", '{"bytes": "x", "counted": 1}', '{"bytes": 1, "counted": 9e99}'])
def test_a_ledger_that_is_no_use_is_made_anew(tmp_path, ledger):
    (tmp_path / "size.json").write_text(ledger)
    add(tmp_path, Kind.BLOBS, "a", 10, 100)
    assert keep_below(tmp_path, 5, 0).size == 10


def test_a_command_prunes_what_it_used_itself_when_it_ends(tmp_path):
    command = CommandCache(tmp_path / "cache", 15)
    for name in ("a", "b"):
        add(command.root, Kind.BLOBS, name, 10, time.time() + 5)
        command.room.added(10)
    assert prune(command.root, most=0).removed == ()
    assert len(command.close().removed) == 1
    assert command.close() is None
    assert (tmp_path / "cache/.gitignore").read_text() == "*\n"
