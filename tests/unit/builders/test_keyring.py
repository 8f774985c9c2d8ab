from __future__ import annotations

import pytest

from rayimage.builders.download import Downloader
from rayimage.builders.keyring import keyring_password

URL = "https://robot@packages.example.com/simple"


@pytest.fixture
def program(tmp_path, monkeypatch):
    keyring_password.cache_clear()
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("UV_KEYRING_PROVIDER", "subprocess")
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))

    def make(service: str) -> None:
        file = tmp_path / "keyring"
        file.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n[ "$2" = "{service}" ] && echo "pass word"\n')
        file.chmod(0o755)

    yield make
    keyring_password.cache_clear()


def test_the_url_is_asked_for_then_the_host(program, tmp_path):
    program("packages.example.com")
    assert keyring_password(URL, "robot") == "pass word"
    assert keyring_password(URL, "robot") == "pass word"
    assert (tmp_path / "calls").read_text().splitlines() == [
        "get https://packages.example.com/simple robot",
        "get packages.example.com robot",
    ]


def test_no_password_no_program_no_wish(program, monkeypatch, tmp_path):
    assert keyring_password(URL, "nobody") is None
    program("other.example.com")
    assert keyring_password(URL, "robot") is None
    keyring_password.cache_clear()
    program("packages.example.com")
    monkeypatch.delenv("UV_KEYRING_PROVIDER")
    assert keyring_password(URL, "robot") is None


def test_downloads_take_it_for_a_user_without_a_password(program, tmp_path):
    program("https://packages.example.com/simple")
    downloader = Downloader([URL, "https://me:known@other.example.com"])
    assert downloader.credentials("https://packages.example.com/files/x.whl") == ("robot", "pass word")
    assert downloader.credentials("https://other.example.com/x") == ("me", "known")
    assert downloader.credentials("https://elsewhere.example.com/x") is None
    (tmp_path / "none").write_text("machine packages.example.com login other password fromnetrc\n")
    assert downloader.credentials("https://packages.example.com/files/x.whl") == ("other", "fromnetrc")
