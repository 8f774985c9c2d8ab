"""The script of apt is run by a real shell, with an apt-get that only says how it was called."""

from __future__ import annotations

import os
import subprocess

import pytest

from rayimage.builders.docker.apt import apt_files, apt_script
from rayimage.builders.docker.environment import in_container
from rayimage.builders.docker.step import WORK
from rayimage.model.system import SystemSettings

SOURCES = """\
deb http://archive.ubuntu.com/ubuntu jammy main
deb https://de.archive.ubuntu.com/ubuntu/ jammy-updates main
deb http://security.ubuntu.com/ubuntu jammy-security main
deb http://deb.debian.org/debian bookworm main
deb https://deb.debian.org/debian-security bookworm-security main
deb https://example.com/mine stable main
"""


def run(tmp_path, settings, *, fails=False):
    root, work = tmp_path / "etc", tmp_path / "work"
    (root / "apt/sources.list.d").mkdir(parents=True)
    (root / "apt/sources.list").write_text(SOURCES)
    (root / "apt/sources.list.d/more.list").write_text("deb http://deb.debian.org/debian bookworm contrib\n")
    for path, data in apt_files(settings).items():
        place = work / path.removeprefix(f"{WORK}/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    program = tmp_path / "bin/apt-get"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nfor word; do echo "$word"; done\nexit {100 if fails else 0}\n')
    program.chmod(0o755)
    script = apt_script(["libgl1", "tree=2*"], settings).replace(WORK, str(work)).replace("/etc/apt", f"{root}/apt")
    path = f"{program.parent}:{os.environ['PATH']}"
    done = subprocess.run(["/bin/sh", "-c", script], env={"PATH": path}, capture_output=True, text=True, check=False)
    return done, work / "apt"


def test_apt_is_called_with_places_of_its_own(tmp_path):
    done, work = run(tmp_path, SystemSettings())
    assert done.returncode == 0, done.stderr
    words = done.stdout.split("\n")
    assert words[-5:-1] == ["install", "--", "libgl1", "tree=2*"]
    assert f"Dir::State::Lists={work}/lists" in words
    assert "Acquire::Check-Valid-Until=false" not in words
    assert (work / "sources.list").read_text() == SOURCES
    assert (work / "sources.list.d/more.list").exists()


def test_repositories_and_keys(tmp_path):
    keys = (b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n", b"\x99binary")
    done, work = run(tmp_path, SystemSettings(repositories=("deb https://example.com/apt x y",), keys=keys))
    assert done.returncode == 0, done.stderr
    assert (work / "sources.list.d/rayimage.list").read_text() == "deb https://example.com/apt x y\n"
    assert {path.suffix: path.read_bytes() for path in (work / "trusted.gpg.d").iterdir()} == {
        ".asc": keys[0],
        ".gpg": keys[1],
    }


def test_a_snapshot(tmp_path):
    done, work = run(tmp_path, SystemSettings(snapshot="20260101T000000Z"))
    assert done.returncode == 0, done.stderr
    assert "Acquire::Check-Valid-Until=false" in done.stdout
    assert (work / "sources.list").read_text() == (
        "deb http://snapshot.ubuntu.com/ubuntu/20260101T000000Z jammy main\n"
        "deb http://snapshot.ubuntu.com/ubuntu/20260101T000000Z/ jammy-updates main\n"
        "deb http://snapshot.ubuntu.com/ubuntu/20260101T000000Z jammy-security main\n"
        "deb http://snapshot.debian.org/archive/debian/20260101T000000Z bookworm main\n"
        "deb http://snapshot.debian.org/archive/debian-security/20260101T000000Z bookworm-security main\n"
        "deb https://example.com/mine stable main\n"
    )
    assert "20260101T000000Z bookworm contrib" in (work / "sources.list.d/more.list").read_text()


def test_apt_fails(tmp_path):
    done, _ = run(tmp_path, SystemSettings(), fails=True)
    assert done.returncode == 100


@pytest.fixture
def files(tmp_path):
    (tmp_path / "ca.pem").write_text("ca")
    (tmp_path / ".netrc").write_text("netrc")
    return tmp_path


def test_what_a_container_hears_of_this_machine(files):
    environment = {
        "HOME": str(files),
        "SSL_CERT_FILE": str(files / "ca.pem"),
        "REQUESTS_CA_BUNDLE": "/nowhere/ca.pem",
        "https_proxy": "http://proxy.example.com:3128",
        "UV_DEFAULT_INDEX": "https://example.com/simple",
        "UV_CACHE_DIR": "/here",
        "UV_PYTHON": "/here/python",
        "SECRET_KEY": "x",
    }
    variables, given = in_container(environment)
    assert variables == {
        "SSL_CERT_FILE": f"{WORK}/settings/ssl_cert_file",
        "NETRC": f"{WORK}/settings/netrc",
        "https_proxy": "http://proxy.example.com:3128",
        "UV_DEFAULT_INDEX": "https://example.com/simple",
    }
    assert given == {
        f"{WORK}/settings/ssl_cert_file": files / "ca.pem",
        f"{WORK}/settings/netrc": files / ".netrc",
    }
