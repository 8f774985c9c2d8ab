from __future__ import annotations

import io
import os
import subprocess
import tarfile
import zipfile

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from rayimage.builders import sources as module
from rayimage.builders.sources import fetch_source
from rayimage.builders.wheelhouse import Wheelhouse
from rayimage.errors import WheelError
from rayimage.model.digest import Digest
from rayimage.model.lock import LockedSource


def fetch(tmp_path, source):
    return fetch_source(
        canonicalize_name("x"), Version("1"), source, into=tmp_path / "into", wheelhouse=Wheelhouse(tmp_path / "cache")
    )


def archive(path, *members, zipped=False):
    buffer = io.BytesIO()
    if zipped:
        with zipfile.ZipFile(buffer, "w") as file:
            for name in members:
                file.writestr(name, b"1")
    else:
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            for name in members:
                info = tarfile.TarInfo(name)
                info.size = 1
                tar.addfile(info, io.BytesIO(b"1"))
    path.write_bytes(buffer.getvalue())
    return LockedSource(url=path.as_uri(), filename=path.name, digest=Digest.of(buffer.getvalue()))


@pytest.fixture
def repository(tmp_path):
    root = tmp_path / "repository"
    (root / "py").mkdir(parents=True)
    (root / "py/x.py").write_text("1")

    def git(*arguments):
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
        return subprocess.run(
            ["git", *identity, "-C", str(root), *arguments], check=True, capture_output=True, text=True
        ).stdout.strip()

    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "-m", "one")
    first = git("rev-parse", "HEAD")
    (root / "py/x.py").write_text("2")
    git("commit", "--quiet", "-am", "two")
    return root, first


@pytest.mark.parametrize("name", ["x-1.tar.gz", "x-1.zip"])
def test_an_archive(name, tmp_path):
    source = archive(tmp_path / name, "x-1/setup.py", "x-1/py/x.py", zipped=name.endswith("zip"))
    tree, package = fetch(tmp_path, source)
    assert tree == package
    assert (package / "setup.py").read_bytes() == b"1"


def test_an_archive_that_is_another_one(tmp_path):
    source = archive(tmp_path / "x-1.tar.gz", "x-1/setup.py")
    (tmp_path / "x-1.tar.gz").write_bytes(b"else")
    with pytest.raises(WheelError, match="not the file that was locked"):
        fetch(tmp_path, source)


def test_an_archive_that_leads_out(tmp_path):
    with pytest.raises(WheelError, match="cannot be unpacked"):
        fetch(tmp_path, archive(tmp_path / "x-1.tar.gz", "../../out"))
    assert not (tmp_path / "out").exists()


def test_an_archive_that_is_none(tmp_path):
    (tmp_path / "x-1.tar.gz").write_bytes(b"no archive")
    source = LockedSource(
        url=(tmp_path / "x-1.tar.gz").as_uri(), filename="x-1.tar.gz", digest=Digest.of(b"no archive")
    )
    with pytest.raises(WheelError, match="cannot be unpacked"):
        fetch(tmp_path, source)


def test_a_commit_that_is_not_the_last(repository, tmp_path):
    root, commit = repository
    tree, package = fetch(tmp_path, LockedSource(url=root.as_uri(), commit=commit, subdirectory="py"))
    assert (package / "x.py").read_text() == "1"
    assert (tree / ".git").is_dir()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"commit": "0" * 40}, "cannot be fetched from"),
        ({"url": "file:///nowhere/at/all"}, "cannot be fetched from"),
        ({"subdirectory": "js"}, "holds no x"),
        ({"subdirectory": "../.."}, "holds no x"),
    ],
)
def test_a_commit_that_cannot_be_had(changes, message, repository, tmp_path):
    root, commit = repository
    with pytest.raises(WheelError, match=message):
        fetch(tmp_path, LockedSource(**{"url": root.as_uri(), "commit": commit, **changes}))


def test_credentials_go_in_by_the_environment(monkeypatch):
    monkeypatch.delenv("GIT_CONFIG_COUNT", raising=False)
    accounts = ["https://me:p%40ss@git.example.com:8443/team/x.git", "https://example.com/simple"]
    env = module._environment(os.environ, accounts)
    assert env["GIT_CONFIG_COUNT"] == "1"
    assert env["GIT_CONFIG_KEY_0"] == "url.https://me:p%40ss@git.example.com:8443/.insteadOf"
    assert env["GIT_CONFIG_VALUE_0"] == "https://git.example.com:8443/"
    assert env["GIT_TERMINAL_PROMPT"] == "0"
