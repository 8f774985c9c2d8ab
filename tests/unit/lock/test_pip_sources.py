from __future__ import annotations

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from rayimage.errors import LockError
from rayimage.lock import Question
from rayimage.lock.pip_sources import read_sources
from rayimage.lock.target import Target
from rayimage.specs import Source
from tests.unit.lock.samples import AMD64, inventory

TARGET = Target(python=Version("3.11.2"), platform=AMD64, glibc=Version("2.35"))
PYPROJECT = """\
[project]
name = "app"
version = "1"
dependencies = ["numpy>=1"]
[project.optional-dependencies]
serve = ["fastapi"]
[dependency-groups]
train = ["torch", {include-group = "common"}]
common = ["tqdm"]
"""


@pytest.fixture
def root(tmp_path):
    (tmp_path / "project/more").mkdir(parents=True)
    (tmp_path / "work").mkdir()
    (tmp_path / "project/pyproject.toml").write_text(PYPROJECT)
    (tmp_path / "project/requirements.in").write_text(
        "-r ../shared.in\n-c more/limits.txt\nclick>=8 ; python_version > '3'\n"
    )
    (tmp_path / "project/more/limits.txt").write_text("six<2\n")
    (tmp_path / "shared.in").write_text("six\n")
    return tmp_path


def asked(root, *sources):
    question = Question(
        subject="role head", target=TARGET, sources=sources, ray=Version("2.55.1"), bases=(inventory("a==1"),)
    )
    return read_sources(question, root / "project", root / "work")


def requirements(root, text):
    path = root / "project/requirements.in"
    path.write_text(text)
    return Source(kind="requirements", path=path)


def test_requirements_files_are_given_as_they_are(root):
    path = root / "project/requirements.in"
    found = asked(root, Source(kind="requirements", path=path), Source(kind="requirements", path=path))
    assert found.files == (path,)
    assert {requirement.name for requirement in found.requirements} == {"six", "click"}
    assert found.directories == (root, root / "project", root / "project/more")


def test_a_project_is_spelled_out(root):
    path = root / "project/pyproject.toml"
    found = asked(
        root,
        Source(kind="pyproject", path=path, extras=("serve",), dependencies=True),
        Source(kind="pyproject", path=path, groups=("train",)),
    )
    assert [file.read_text() for file in found.files] == ["numpy>=1\nfastapi\n", "torch\ntqdm\n"]
    assert [requirement.name for requirement in found.requirements] == ["numpy", "fastapi", "torch", "tqdm"]
    assert list((root / "project").glob("*.in")) == [root / "project/requirements.in"], "nothing is written there"


def test_lines_and_local_wheels(root):
    wheel = root / "built" / "own-1-py3-none-any.whl"
    source = Source(
        kind="lines",
        path=root / "project/environment.yml",
        lines=("--pre", "own[x]", "six==1.16 --hash=sha256:" + "a" * 64),
        wheels=((canonicalize_name("own"), wheel),),
    )
    found = asked(root, source)
    (file,) = found.files
    assert file.read_text().splitlines() == list(source.lines)
    assert found.wheels == (f"own @ {wheel.as_uri()}",)
    assert [requirement.name for requirement in found.requirements] == ["own", "six"]
    assert wheel.parent in found.directories


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("thing @ git+https://user:secret@example.com/thing", "thing @ git+https://example.com/thing"),
        ("https://example.com/thing-1.tar.gz", "thing-1.tar.gz"),
        ("./thing-1.zip", "./thing-1.zip"),
        ("thing @ https://example.com/thing-1.tar.gz ; python_version > '3'", "thing-1.tar.gz"),
    ],
)
def test_what_would_have_to_be_built(root, line, what):
    with pytest.raises(LockError, match="would have to be built") as caught:
        asked(root, requirements(root, line))
    assert what in caught.value.what
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "line",
    [
        "thing @ https://example.com/thing-1-py3-none-any.whl",
        "thing[x] @ file:///w/thing-1-py3-none-any.whl#sha256=abc ; python_version > '3'",
        "https://user:secret@example.com/thing-1-py3-none-any.whl",
        "-r https://example.com/more.txt",
    ],
)
def test_wheels_need_no_build(root, line):
    assert asked(root, requirements(root, line)).files == (root / "project/requirements.in",)


def test_what_only_uv_can_do(root):
    path = root / "project/pyproject.toml"
    path.write_text(PYPROJECT + '[tool.uv.sources]\ntorch = { index = "cu128" }\nunrelated = { index = "x" }\n')
    assert asked(root, Source(kind="pyproject", path=path, dependencies=True)).files
    with pytest.raises(LockError, match=r"says in \[tool.uv.sources\] where torch comes from") as caught:
        asked(root, Source(kind="pyproject", path=path, groups=("train",)))
    assert caught.value.fix == "lock with --engine uv"
    tables = '[tool]\nuv = { sources = { torch = [{ index = "locked-0" }] } }\n'
    with pytest.raises(LockError, match=r"uv.lock says"):
        asked(root, Source(kind="lines", path=root / "project/uv.lock", lines=("torch",), tables=tables))


def test_a_file_that_has_changed_for_the_worse(root):
    with pytest.raises(LockError, match=r"cannot be used: requirements.in:1: "):
        asked(root, requirements(root, "click ==\n"))
