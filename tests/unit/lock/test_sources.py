from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from rayimage.errors import LockError
from rayimage.lock import NoSolution, Options, export_requirements
from rayimage.lock.joint import resolve
from rayimage.model.building import BuiltWheel
from rayimage.model.digest import Digest
from rayimage.model.lock import LockedSource
from tests.support.index import wheel
from tests.unit.lock.samples import inventory, package, request

BASE = inventory("click==8.1.7")
SDIST = LockedSource(url="https://files.example.com/x-1.tar.gz", filename="x-1.tar.gz", digest=Digest.of(b"sdist"))


class SourceEngine:
    """Knows a package x as source only, and says so where sources are not allowed."""

    def __init__(self, source=SDIST, requires=()):
        self.source = source
        self.requires = requires
        self.questions = []

    def solve(self, question):
        self.questions.append(question)
        if "x" not in question.buildable:
            names = frozenset({canonicalize_name("x")})
            raise NoSolution("no solution", why="Because x has no wheels.", fix="relax", sources=names)
        found = replace(package("x==1"), wheels=(), source=self.source, requires=self.requires)
        return package(f"ray=={question.ray}", requires=()), found


class Build:
    def __init__(self, directory, filename="x-1-py3-none-any.whl", *requires):
        self.directory, self.filename, self.requires = directory, filename, requires
        self.built = []

    def __call__(self, name, version, source):
        self.built.append((name, str(version), source))
        _, data = wheel(self.filename, *self.requires)
        path: Path = self.directory / self.filename
        path.write_bytes(data)
        return BuiltWheel(path=path, filename=self.filename, digest=Digest.of(data), size=len(data))


def lock(build, engine=None, *, specs=None, role="worker"):
    asked = request(BASE, "x", role=role)
    asked = replace(asked, specs=replace(asked.specs, **(specs or {})))
    options = Options(build={asked.key: build} if build else {})
    [found] = resolve([asked], options, previous={}, engine=engine or SourceEngine())
    return found


def test_a_source_is_taken_where_nothing_else_is_there(tmp_path):
    engine, build = SourceEngine(), Build(tmp_path)
    [found] = lock(build, engine).wheels
    assert [bool(question.buildable) for question in engine.questions] == [False, True]
    assert build.built == [("x", "1", SDIST)]
    assert (found.filename, found.source) == ("x-1-py3-none-any.whl", SDIST)
    assert found.digest == Digest.of((tmp_path / found.filename).read_bytes())


def test_what_is_required_by_url_is_not_asked_for_as_a_wheel_first(tmp_path):
    engine = SourceEngine()
    lock(Build(tmp_path), engine, specs={"requirements": (Requirement("x @ https://example.com/x-1.tar.gz"),)})
    assert [bool(question.buildable) for question in engine.questions] == [True]


def test_a_wheel_that_is_required_by_url_is_no_source(tmp_path):
    engine = SourceEngine()
    url = "https://example.com/x-1-py3-none-any.whl#sha256=" + "a" * 64
    lock(Build(tmp_path), engine, specs={"requirements": (Requirement(f"x @ {url}"),)})
    assert [bool(question.buildable) for question in engine.questions] == [False, True]


def test_without_a_builder_there_is_no_solution():
    with pytest.raises(NoSolution):
        lock(None)


def test_hashes_of_the_requirements_are_of_the_source(tmp_path):
    name = canonicalize_name("x")
    assert lock(Build(tmp_path), specs={"hashes": {name: frozenset({SDIST.digest.hex})}}).wheels
    with pytest.raises(LockError, match="x 1 is not what the requirements vouch for"):
        lock(Build(tmp_path), specs={"hashes": {name: frozenset({"a" * 64})}})


def test_a_source_without_a_hash(tmp_path):
    engine = SourceEngine(replace(SDIST, digest=None))
    with pytest.raises(LockError, match="x 1 cannot be locked") as caught:
        lock(Build(tmp_path), engine)
    assert "#sha256=" in caught.value.fix


def test_a_wheel_that_does_not_fit(tmp_path):
    with pytest.raises(LockError, match="x 1, built from") as caught:
        lock(Build(tmp_path, "x-1-cp312-cp312-linux_x86_64.whl"))
    assert "cp312" in caught.value.why


def test_other_requirements_than_were_resolved(tmp_path):
    with pytest.raises(LockError, match="requires other packages in the image") as caught:
        lock(Build(tmp_path, "x-1-py3-none-any.whl", "surprise>=1", "absent; sys_platform == 'win32'"))
    assert "surprise>=1" in caught.value.why
    assert caught.value.fix == "require surprise as well"


def test_the_export_has_the_hash_of_the_source(tmp_path):
    text = export_requirements(lock(Build(tmp_path)))
    assert f"x==1 \\\n    --hash={SDIST.digest}" in text


def test_the_export_of_a_commit(tmp_path):
    commit = LockedSource(url="https://git.example.com/x.git", commit="a" * 40, subdirectory="py", direct=True)
    text = export_requirements(lock(Build(tmp_path), SourceEngine(commit)))
    assert f"# x @ git+https://git.example.com/x.git@{'a' * 40}#subdirectory=py" in text
    assert "--hash" not in text
