from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.pylock import Pylock, is_valid_pylock_path
from packaging.version import Version

from rayimage.errors import LockError
from rayimage.lock import lock_path, read_lock, read_previous, write_lock
from rayimage.lock._toml import inline, loads, string
from rayimage.model.digest import Digest
from rayimage.model.lock import LockedSource
from rayimage.model.platform import Platform
from tests.unit.lock.samples import AMD64, ARM64, role_lock

TEXT = """\
lock-version = "1.0"
environments = ["sys_platform == 'linux' and platform_machine == 'x86_64'"]
requires-python = "==3.11.*"
created-by = "rayimage"

[[packages]]
name = "pandas"
version = "2.3.3"
wheels = [{ name = "pandas-2.3.3-cp311-cp311-manylinux_2_28_x86_64.whl", \
url = "https://files.example.com/pandas-2.3.3-cp311-cp311-manylinux_2_28_x86_64.whl", size = 12, \
hashes = { sha256 = "7788d6b7eb5ac8ed2be4c5c1bbea4e3ee9ba4a8d51ba0b2f8e7d8f4f1a2b0c3d" } }]

[tool.rayimage]
content = "CONTENT"
format = 2
role = "worker"
platform = "linux/amd64"
inputs = "INPUTS"
specs = [
    { file = "requirements.in", digest = "SPECS" },
]
moves = [
    { name = "pandas", old = "1.5.3", new = "2.3.3", because = ["requirements.in requires pandas>=2.2"] },
]
provided = [
    { name = "numpy", version = "1.26.4" },
]

[tool.rayimage.base]
reference = "rayproject/ray:2.55.1-py311"
digest = "BASE"
ray = "2.55.1"
python = "3.11.13"
"""


def test_the_text(tmp_path):
    lock, file = role_lock(), tmp_path / "pylock.worker-amd64.toml"
    assert write_lock(lock, file)
    expected = TEXT.replace("INPUTS", str(lock.inputs)).replace("BASE", str(lock.base.digest))
    expected = expected.replace("SPECS", str(Digest.of(b"pandas>=2.2")))
    expected = expected.replace(
        "7788d6b7eb5ac8ed2be4c5c1bbea4e3ee9ba4a8d51ba0b2f8e7d8f4f1a2b0c3d", lock.wheels[0].digest.hex
    )
    sealed = Digest.of(expected.replace('content = "CONTENT"\n', "").encode())
    assert file.read_text() == expected.replace("CONTENT", str(sealed))


SOURCES = [
    (
        LockedSource(
            url="https://files.example.com/pandas-2.3.3.tar.gz",
            filename="pandas-2.3.3.tar.gz",
            digest=Digest.of(b"x"),
            size=9,
        ),
        'sdist = { name = "pandas-2.3.3.tar.gz", url = "https://files.example.com/pandas-2.3.3.tar.gz", size = 9, hashes = { sha256 = ',
    ),
    (
        LockedSource(
            url="https://files.example.com/x-1.zip",
            filename="x-1.zip",
            digest=Digest.of(b"x"),
            subdirectory="py",
            direct=True,
        ),
        'archive = { url = "https://files.example.com/x-1.zip", hashes = { sha256 = ',
    ),
    (
        LockedSource(url="ssh://git@git.example.com/x.git", commit="a" * 40, subdirectory="py", direct=True),
        'vcs = { type = "git", url = "ssh://git@git.example.com/x.git", commit-id = "aaaaa',
    ),
]


@pytest.mark.parametrize(("source", "line"), SOURCES)
def test_what_is_built_from_a_source(source, line, tmp_path):
    file = tmp_path / "pylock.worker-amd64.toml"
    wheel = replace(role_lock().wheels[0], url="", source=source)
    lock = role_lock(wheels=(wheel,))
    assert write_lock(lock, file)
    assert line in file.read_text()
    assert read_lock(file) == lock
    [package] = Pylock.from_dict(loads(file.read_text())).packages
    assert package.sdist or package.archive or package.vcs
    assert not package.wheels


def test_a_source_beside_the_lock_is_named_relative_to_it(tmp_path):
    file = tmp_path / "project/lockfiles/pylock.worker-amd64.toml"
    place = tmp_path / "project/vendor/x-1.tar.gz"
    source = LockedSource(url=place.as_uri(), filename="x-1.tar.gz", digest=Digest.of(b"x"), direct=True)
    lock = role_lock(wheels=(replace(role_lock().wheels[0], url="", source=source),))
    assert write_lock(lock, file)
    assert 'path = "../vendor/x-1.tar.gz"' in file.read_text()
    assert read_lock(file) == lock


def test_round_trip(tmp_path):
    file = tmp_path / "locks" / "pylock.worker-amd64.toml"
    assert write_lock(role_lock(), file)
    first = file.read_bytes()
    assert read_lock(file) == role_lock()
    assert not write_lock(read_lock(file), file)
    assert file.read_bytes() == first
    assert list(file.parent.iterdir()) == [file]
    assert file.stat().st_mode & 0o777 == 0o644


def test_packaging_reads_it(tmp_path):
    file = tmp_path / "pylock.worker-amd64.toml"
    write_lock(role_lock(), file)
    pylock = Pylock.from_dict(loads(file.read_text()))
    assert [(package.name, str(package.version)) for package in pylock.packages] == [("pandas", "2.3.3")]


def test_nothing_to_install(tmp_path):
    file = tmp_path / "pylock.toml"
    lock = role_lock(wheels=(), moves=(), provided=())
    write_lock(lock, file)
    assert read_lock(file) == lock
    assert Pylock.from_dict(loads(file.read_text())).packages == []


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_string_survives_toml(text):
    assert loads(f"a = {string(text)}\nb = {inline({'c': text, 'd': {'e': text}, 'f': 3})}") == {
        "a": text,
        "b": {"c": text, "d": {"e": text}, "f": 3},
    }


def with_url(url):
    return role_lock(wheels=(replace(role_lock().wheels[0], url=url),))


def test_a_wheel_of_the_project_moves_with_it(tmp_path):
    name = role_lock().wheels[0].filename
    one, two = tmp_path / "one", tmp_path / "two"
    write_lock(with_url((one / "wheels" / name).as_uri()), one / "lockfiles" / "pylock.toml")
    (two / "lockfiles").mkdir(parents=True)
    (one / "lockfiles" / "pylock.toml").replace(two / "lockfiles" / "pylock.toml")
    assert f'path = "../wheels/{name}"' in (two / "lockfiles" / "pylock.toml").read_text()
    assert read_lock(two / "lockfiles" / "pylock.toml").wheels[0].url == (two / "wheels" / name).as_uri()


def test_a_wheel_elsewhere_keeps_its_place(tmp_path):
    url = Path("/opt/some wheels", role_lock().wheels[0].filename).as_uri()
    file = tmp_path / "a" / "b" / "pylock.toml"
    write_lock(with_url(url), file)
    assert read_lock(file).wheels[0].url == url


def test_a_wheel_without_a_url_is_named(tmp_path):
    file = tmp_path / "pylock.toml"
    write_lock(with_url(""), file)
    again = read_lock(file)
    assert again.wheels[0].filename == role_lock().wheels[0].filename
    assert not write_lock(again, file)


@pytest.mark.parametrize(
    ("role", "platform", "name"),
    [
        ("head", AMD64, "pylock.head-amd64.toml"),
        ("gpu-worker", ARM64, "pylock.gpu-worker-arm64.toml"),
        ("a.b", Platform("linux", "arm64", "v8"), "pylock.a-b-arm64-v8.toml"),
    ],
)
def test_lock_path(role, platform, name):
    path = lock_path(Path("lockfiles"), role, platform)
    assert path == Path("lockfiles", name)
    assert is_valid_pylock_path(path)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("format = 2\n", "", "format is None"),
        ("format = 2", "format = 0", "format is 0"),
        ("format = 2", "format = true", "format is True"),
        ("format = 2", 'format = "2"', "format is '2'"),
        ('role = "worker"\n', "", "role is missing"),
        ('platform = "linux/amd64"', 'platform = "amd64"', "not a platform"),
        ('ray = "2.55.1"', 'ray = "two"', "Invalid version"),
        ('digest = "sha256:', 'digest = "md5:', "not a digest"),
        ("[[packages]]", "[[packages", ""),
        ('lock-version = "1.0"\n', "", "lock-version"),
        ('version = "2.3.3"\nwheels', "wheels", "not one wheel of one version"),
        ("hashes = { sha256 =", "hashes = { md5 =", "sha256 is missing"),
        ("pandas-2.3.3-cp311-cp311-manylinux_2_28_x86_64.whl", "pandas-2.3.4-py3-none-any.whl", "not consistent"),
        ("moves = [", 'moves = ["x",', ""),
    ],
)
def test_damage_is_named(tmp_path, old, new, why):
    file = tmp_path / "pylock.worker-amd64.toml"
    write_lock(role_lock(), file)
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    with pytest.raises(LockError) as caught:
        read_lock(file)
    assert str(file) in caught.value.what
    assert why in caught.value.why
    assert "rayimage lock" in caught.value.fix


def test_a_newer_format(tmp_path):
    file = tmp_path / "pylock.worker-amd64.toml"
    write_lock(role_lock(), file)
    file.write_text(file.read_text().replace("format = 2", "format = 3"))
    for read in (read_lock, read_previous):
        with pytest.raises(LockError, match="newer format") as caught:
            read(file)
        assert "install the rayimage that wrote it" in caught.value.fix


OLD = re.compile(r"content = .*\n|specs = \[\n.*\n\]\n|, because = \[[^]]*\]")


def test_an_older_format_is_stale_but_its_choices_count(tmp_path):
    file = tmp_path / "pylock.worker-amd64.toml"
    write_lock(role_lock(), file)
    file.write_text(OLD.sub("", file.read_text()).replace("format = 2", "format = 1"))
    with pytest.raises(LockError, match="is of an older format: it has format 1, this rayimage writes 2"):
        read_lock(file)
    lock, complaint = read_previous(file)
    assert "older format" in complaint
    assert lock.wheels == role_lock().wheels
    assert lock.inputs != role_lock().inputs
    assert [move.because for move in lock.moves] == [()]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("size = 12", "size = 13"),
        ('old = "1.5.3"', 'old = "1.5.2"'),
        ("\n\n[[packages]]", "\n[[packages]]"),
        ('content = "sha256:', 'content = "sha256:0'),
        ("content", "# content"),
    ],
)
def test_an_edit_by_hand_is_noticed(tmp_path, old, new):
    file = tmp_path / "pylock.worker-amd64.toml"
    write_lock(role_lock(), file)
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    with pytest.raises(LockError, match="is not what rayimage wrote") as caught:
        read_lock(file)
    assert "change the requirements instead" in caught.value.fix
    lock, complaint = read_previous(file)
    assert "edited by hand" in complaint
    assert (lock.role, lock.inputs == role_lock().inputs) == ("worker", False)


def test_other_line_endings_are_no_edit(tmp_path):
    file = tmp_path / "pylock.worker-amd64.toml"
    write_lock(role_lock(), file)
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert read_lock(file) == role_lock()


def test_previous(tmp_path):
    file = tmp_path / "pylock.worker-amd64.toml"
    assert read_previous(file) == (None, "")
    write_lock(role_lock(), file)
    assert read_previous(file) == (role_lock(), "")
    file.write_text("<<<<<<< ours\n" + file.read_text())
    lock, complaint = read_previous(file)
    assert lock is None
    assert "is damaged" in complaint


def test_dependencies_are_those_of_pep_751(tmp_path):
    file = tmp_path / "pylock.worker-amd64.toml"
    numpy = replace(
        role_lock().wheels[0], name="numpy", version=Version("2.0"), filename="numpy-2.0-py3-none-any.whl", url=""
    )
    lock = role_lock(wheels=(numpy, replace(role_lock().wheels[0], dependencies=("numpy",))))
    write_lock(lock, file)
    assert 'dependencies = [{ name = "numpy" }]' in file.read_text()
    assert [wheel.dependencies for wheel in read_lock(file).wheels] == [(), ("numpy",)]
    pylock = Pylock.from_dict(loads(file.read_text()))
    assert [package.dependencies for package in pylock.packages] == [None, [{"name": "numpy"}]]


@pytest.mark.parametrize(
    "content", [b'lock-version = "1.0"\npackages = []\ncreated-by = "uv"\n', b"[tool]\nrayimage = 1\n"]
)
def test_somebody_elses(tmp_path, content):
    file = tmp_path / "pylock.toml"
    file.write_bytes(content)
    with pytest.raises(LockError, match="not a lock of rayimage"):
        read_lock(file)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"tool = 3\n"])
def test_not_even_toml(tmp_path, content):
    file = tmp_path / "pylock.toml"
    file.write_bytes(content)
    with pytest.raises(LockError, match="damaged"):
        read_lock(file)


def test_absent_and_unwritable(tmp_path):
    with pytest.raises(LockError, match="there is no lock"):
        read_lock(tmp_path / "pylock.toml")
    with pytest.raises(LockError, match="cannot read"):
        read_lock(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(LockError, match="cannot write"):
        write_lock(role_lock(), tmp_path / "file" / "pylock.toml")
