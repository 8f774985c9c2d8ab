from __future__ import annotations

import json
import os
import stat
import time
from pathlib import Path

import pytest

from rayimage.model.digest import Digest
from rayimage.model.reference import Reference
from rayimage.registry.journal import Journal

NAME = Reference("registry.example.com", "team/app")
DIGEST = Digest.of(b"layer")
LOCATION = "https://registry.example.com/v2/team/app/blobs/uploads/1?_state=secret"


def test_what_one_process_keeps_the_next_one_finds(tmp_path: Path) -> None:
    with Journal(tmp_path / "uploads").entry(NAME, DIGEST) as entry:
        assert entry.location == ""
        entry.keep(LOCATION)
    with Journal(tmp_path / "uploads").entry(NAME, DIGEST) as entry:
        assert entry.location == LOCATION
        entry.forget()
    with Journal(tmp_path / "uploads").entry(NAME, DIGEST) as entry:
        assert entry.location == ""


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        (Reference("registry.example.com", "team/other"), DIGEST),
        (NAME, Digest.of(b"other")),
        (Reference("b", "team/app"), DIGEST),
    ],
)
def test_each_upload_is_its_own(tmp_path: Path, name: Reference, digest: Digest) -> None:
    journal = Journal(tmp_path)
    with journal.entry(NAME, DIGEST) as entry:
        entry.keep(LOCATION)
    with journal.entry(name, digest) as other:
        assert other.location == ""


def test_a_tag_or_digest_of_the_reference_does_not_matter(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    with journal.entry(NAME.with_tag("v1"), DIGEST) as entry:
        entry.keep(LOCATION)
    with journal.entry(NAME, DIGEST) as entry:
        assert entry.location == LOCATION


def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with Journal(tmp_path / "uploads").entry(NAME, DIGEST) as entry:
            entry.keep(LOCATION)
    finally:
        os.umask(before)
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "uploads").rglob("*")}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert stat.S_IMODE((tmp_path / "uploads").stat().st_mode) == 0o700


def test_an_upload_that_somebody_else_is_sending_is_left_alone(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    with journal.entry(NAME, DIGEST) as first:
        first.keep(LOCATION)
        with Journal(tmp_path).entry(NAME, DIGEST) as second:
            assert second.location == ""
            second.keep("https://elsewhere")
            second.forget()
    with journal.entry(NAME, DIGEST) as entry:
        assert entry.location == LOCATION


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b'{"location": 7}', b"\xff", b'{"other": "x"}'])
def test_a_damaged_file_is_none(tmp_path: Path, data: bytes) -> None:
    journal = Journal(tmp_path)
    with journal.entry(NAME, DIGEST) as entry:
        entry.keep(LOCATION)
    [file] = tmp_path.rglob("*.json")
    file.write_bytes(data)
    with journal.entry(NAME, DIGEST) as entry:
        assert entry.location == ""
        entry.keep(LOCATION)
    assert json.loads(file.read_bytes()) == {"location": LOCATION}


@pytest.mark.parametrize("blocked", ["", "uploads"])
def test_a_directory_that_cannot_be_made_costs_nothing_else(tmp_path: Path, blocked: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    with Journal(tmp_path / "file" / blocked).entry(NAME, DIGEST) as entry:
        entry.keep(LOCATION)
        assert entry.location == LOCATION
        entry.forget()


def test_what_is_older_than_a_week_goes(tmp_path: Path) -> None:
    old = Digest.of(b"old")
    with Journal(tmp_path).entry(NAME, old) as entry:
        entry.keep(LOCATION)
    later = Journal(tmp_path, clock=lambda: time.time() + 8 * 24 * 3600)
    with later.entry(NAME, DIGEST):
        assert len(list(tmp_path.iterdir())) == 1
    with Journal(tmp_path).entry(NAME, old) as entry:
        assert entry.location == ""


def test_what_is_being_sent_is_not_swept(tmp_path: Path) -> None:
    with Journal(tmp_path).entry(NAME, DIGEST) as entry:
        entry.keep(LOCATION)
        with Journal(tmp_path, clock=lambda: time.time() + 8 * 24 * 3600).entry(NAME, Digest.of(b"other")):
            pass
    with Journal(tmp_path).entry(NAME, DIGEST) as entry:
        assert entry.location == LOCATION
