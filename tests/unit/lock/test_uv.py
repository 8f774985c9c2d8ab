from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from rayimage.errors import ConfigError, LockError
from rayimage.lock import NoSolution, Options, Question
from rayimage.lock import uv as uv_engine
from rayimage.lock.target import Target
from rayimage.lock.uv import UvEngine, constraints_text, parse_pylock, platform_tag, seed_text
from rayimage.model.digest import Digest
from rayimage.model.lock import LockedSource
from rayimage.specs import Source
from tests.unit.lock.samples import AMD64, ARM64, inventory

TARGET = Target(python=Version("3.11.13"), platform=AMD64, glibc=Version("2.35"))
SHA = {letter: letter * 64 for letter in "abcd"}
# An answer of uv 0.13, shortened, with the hosts replaced.
ANSWER = f"""\
lock-version = "1.0"
created-by = "uv"
requires-python = ">=3.11.13"

[[packages]]
name = "direct"
version = "1.0"
archive = {{ path = "../proj/direct-1.0-py3-none-any.whl", hashes = {{ sha256 = "{SHA["a"]}" }} }}

[[packages]]
name = "hf-xet"
version = "1.8.0"
marker = "platform_machine == 'AMD64' or platform_machine == 'x86_64'"
wheels = [{{ url = "https://user:secret@files.example.com/aa/hf_xet-1.8.0-cp38-abi3-manylinux_2_28_x86_64.whl?sig=1", \
upload-time = 2026-11-18T11:06:54Z, size = 5286, hashes = {{ sha256 = "{SHA["b"]}" }} }}]

[[packages]]
name = "colorama"
version = "0.4.6"
marker = "sys_platform == 'win32'"
wheels = [{{ url = "https://files.example.com/colorama-0.4.6-py3-none-any.whl", hashes = {{ sha256 = "{SHA["b"]}" }} }}]

[[packages]]
name = "torch"
version = "2.13.0+cpu"
wheels = [
    {{ url = "file:///srv/wheels/torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl", hashes = {{ sha256 = "{SHA["c"]}" }} }},
    {{ url = "https://files.example.com/torch-2.13.0%2Bcpu-cp311-cp311-manylinux_2_28_x86_64.whl", hashes = {{ md5 = "0" }} }},
]
"""


def names(*pins):
    return {canonicalize_name(name): Version(version) for name, _, version in (pin.partition("==") for pin in pins)}


def test_seeds():
    assert seed_text(names("numpy==1.26.4", "click==8.1.7"), {}) == (
        'lock-version = "1.0"\ncreated-by = "rayimage"\n\n'
        '[[packages]]\nname = "click"\nversion = "8.1.7"\n\n[[packages]]\nname = "numpy"\nversion = "1.26.4"\n'
    )
    assert seed_text({}, {}) == 'lock-version = "1.0"\ncreated-by = "rayimage"\npackages = []\n'


def test_constraints():
    assert constraints_text(names("numpy==1.26.4", "conda==24.11.3")) == "conda==24.11.3\nnumpy==1.26.4\n"


@pytest.mark.parametrize(
    ("glibc", "platform", "expected"),
    [
        ("2.35", AMD64, "x86_64-manylinux_2_35"),
        ("2.31", ARM64, "aarch64-manylinux_2_31"),
        ("2.30", AMD64, "x86_64-manylinux_2_28"),
        ("2.17", AMD64, "x86_64-manylinux_2_17"),
        ("2.99", AMD64, "x86_64-manylinux_2_40"),
    ],
)
def test_the_platform_is_the_newest_that_uv_knows(glibc, platform, expected):
    target = Target(python=Version("3.11.13"), platform=platform, glibc=Version(glibc))
    assert "-".join(platform_tag(target)) == expected


def test_a_glibc_older_than_any():
    with pytest.raises(LockError, match=r"glibc 2\.12"):
        platform_tag(Target(python=Version("3.11.13"), platform=AMD64, glibc=Version("2.12")))


def test_uv_knows_these_platforms():
    text = subprocess.run(
        [uv_engine.find_uv(), "pip", "compile", "--help"], capture_output=True, text=True, check=True
    ).stdout
    known = {int(minor) for minor in re.findall(r"x86_64-manylinux_2_(\d+)", text)}
    assert known >= set(uv_engine._MANYLINUX)


def test_an_answer_is_read(tmp_path):
    direct, xet, torch = parse_pylock(ANSWER, tmp_path / "work", TARGET)
    assert direct.direct
    assert direct.wheels[0].url == (tmp_path / "proj" / "direct-1.0-py3-none-any.whl").as_uri()
    assert direct.wheels[0].filename == "direct-1.0-py3-none-any.whl"
    assert not xet.direct
    assert xet.wheels[0].url == "https://files.example.com/aa/hf_xet-1.8.0-cp38-abi3-manylinux_2_28_x86_64.whl"
    assert (xet.wheels[0].size, xet.wheels[0].digest.hex) == (5286, SHA["b"])
    assert torch.version == Version("2.13.0+cpu")
    local, remote = torch.wheels
    assert local.url == "file:///srv/wheels/torch-2.13.0%2Bcpu-cp311-cp311-manylinux_2_28_x86_64.whl"
    assert local.filename == remote.filename == "torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl"
    assert remote.digest is None


def test_uv_0_9_does_not_hash_local_wheels(tmp_path):
    text = ANSWER.replace(f'sha256 = "{SHA["c"]}"', "")
    assert parse_pylock(text, tmp_path, TARGET)[-1].wheels[0].digest is None


@pytest.mark.parametrize(
    "text", ["", "packages = 3", "= no toml", 'lock-version = "2.0"\ncreated-by = "uv"\npackages = []\n']
)
def test_an_answer_that_cannot_be_read(text, tmp_path):
    with pytest.raises(LockError, match="uv's answer cannot be read"):
        parse_pylock(text, tmp_path, TARGET)


def answer(source):
    return f'lock-version = "1.0"\ncreated-by = "uv"\n[[packages]]\nname = "x"\nversion = "1"\n{source}\n'


def test_a_directory_would_have_to_be_built(tmp_path):
    with pytest.raises(LockError, match="x would have to be built"):
        parse_pylock(answer('directory = { path = "/project" }'), tmp_path, TARGET)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (
            'vcs = { type = "git", url = "ssh://git@example.com/r.git", commit-id = "abc", subdirectory = "py" }',
            LockedSource(url="ssh://git@example.com/r.git", commit="abc", subdirectory="py", direct=True),
        ),
        (
            'vcs = { type = "git", url = "https://me:secret@example.com/r.git", commit-id = "abc" }',
            LockedSource(url="https://example.com/r.git", commit="abc", direct=True),
        ),
        (
            f'archive = {{ url = "https://example.com/x-1.tar.gz", hashes = {{ sha256 = "{SHA["a"]}" }} }}',
            LockedSource(
                url="https://example.com/x-1.tar.gz", filename="x-1.tar.gz", digest=Digest(SHA["a"]), direct=True
            ),
        ),
        (
            f'sdist = {{ url = "https://example.com/x-1.zip", size = 7, hashes = {{ sha256 = "{SHA["a"]}" }} }}',
            LockedSource(url="https://example.com/x-1.zip", filename="x-1.zip", digest=Digest(SHA["a"]), size=7),
        ),
    ],
)
def test_what_a_wheel_can_be_built_from(source, expected, tmp_path):
    [package] = parse_pylock(answer(source), tmp_path, TARGET)
    assert package.source == expected
    assert package.direct == expected.direct
    assert not package.wheels


def question(*sources):
    base = inventory("click==8.1.7")
    return Question(
        subject="role worker on linux/amd64",
        target=TARGET,
        sources=sources,
        ray=Version("2.55.1"),
        bases=(base,),
        constraints=names("conda==24.1"),
        preferences=names("click==8.1.7"),
    )


@pytest.fixture
def fake_uv(tmp_path, monkeypatch):
    """An executable that records how it was called, and answers with what the test puts there."""
    script = tmp_path / "uv"
    script.write_text(
        "#!/bin/sh\n"
        f"cd '{tmp_path}'\n"
        "printf '%s\\n' \"$@\" > arguments; env > variables\n"
        'while [ $# -gt 0 ]; do case "$1" in --output-file) out="$2";; --constraints) cat "$2" > constraints;; esac; shift; done\n'
        'cat "$out" > seeds\n'
        "if [ -e stderr ]; then cat stderr >&2; exit 1; fi\n"
        'cat answer > "$out"\n'
    )
    script.chmod(0o755)
    (tmp_path / "answer").write_text('lock-version = "1.0"\ncreated-by = "uv"\npackages = []\n')
    monkeypatch.setattr(uv_engine, "find_uv", lambda: str(script))
    return tmp_path


def test_how_uv_is_asked(fake_uv, monkeypatch):
    monkeypatch.setenv("UV_PYTHON", "3.9")
    monkeypatch.setenv("VIRTUAL_ENV", "/venv")
    monkeypatch.setenv("UV_INDEX", "https://mine.example.com/simple")
    monkeypatch.setenv("UV_INDEX_STRATEGY", "unsafe-best-match")
    options = Options(
        find_links=("/wheels",), indexes=("https://user:secret@index.example.com/simple",), cache_dir=fake_uv / "cache"
    )
    pyproject = Path("/project/pyproject.toml")
    sources = (
        Source(kind="requirements", path=Path("/project/requirements.in")),
        Source(kind="pyproject", path=pyproject, extras=("gpu",), groups=("serve",), dependencies=True),
        Source(kind="pyproject", path=pyproject, extras=("gpu", "cpu"), dependencies=True),
        Source(kind="pyproject", path=Path("/other/pyproject.toml"), groups=("only",)),
    )
    assert UvEngine(options).solve(question(*sources)) == ()
    arguments = (fake_uv / "arguments").read_text().splitlines()
    text = " ".join(arguments)
    assert "--python-version 3.11.13 --python-platform x86_64-manylinux_2_35 --only-binary :all:" in text
    (stubs,) = (fake_uv / "cache/stubs").iterdir()
    assert text.endswith(
        "base.in /project/requirements.in /project/pyproject.toml --extra gpu --group /project/pyproject.toml:serve "
        f"--extra cpu --group /other/pyproject.toml:only --find-links {stubs} --find-links /wheels"
    )
    assert "secret" not in text
    assert (fake_uv / "constraints").read_text() == "conda==24.1\n"
    assert 'name = "click"' in (fake_uv / "seeds").read_text()
    variables = dict(line.partition("=")[::2] for line in (fake_uv / "variables").read_text().splitlines())
    assert variables["UV_INDEX"] == "https://user:secret@index.example.com/simple https://mine.example.com/simple"
    assert variables["UV_INDEX_STRATEGY"] == "unsafe-best-match"
    assert not {"UV_PYTHON", "VIRTUAL_ENV"} & variables.keys()


def test_nothing_is_left_behind(fake_uv, monkeypatch):
    scratch = fake_uv / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    UvEngine(Options()).solve(question())
    assert list(scratch.iterdir()) == []


def test_a_failure_is_explained(fake_uv):
    (fake_uv / "stderr").write_text("error: No solution found when resolving dependencies\n  cause: Because a and b.\n")
    with pytest.raises(NoSolution, match="role worker on linux/amd64: Because a and b"):
        UvEngine(Options()).solve(question())


def test_uv_cannot_be_started(monkeypatch, tmp_path):
    monkeypatch.setattr(uv_engine, "find_uv", lambda: str(tmp_path / "absent"))
    with pytest.raises(LockError, match="uv cannot be started"):
        UvEngine(Options()).solve(question())


def test_uv_is_found_on_path_or_named_as_missing(monkeypatch, tmp_path):
    def missing():
        raise FileNotFoundError

    monkeypatch.setattr("uv.find_uv_bin", missing)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="uv was not found") as caught:
        uv_engine.find_uv()
    assert caught.value.fix == "pip install uv"
    (tmp_path / "uv").touch(0o755)
    assert uv_engine.find_uv() == str(tmp_path / "uv")
