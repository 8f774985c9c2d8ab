from __future__ import annotations

import shutil
import zipfile
from dataclasses import replace

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from rayimage.builders.shelf import Shelf
from rayimage.builders.source_wheels import SourceWheels
from rayimage.builders.wheelhouse import Wheelhouse
from rayimage.errors import EngineError, WheelError
from rayimage.model.digest import Digest
from rayimage.model.lock import LockedSource, LockedWheel
from tests.support.elf import make_elf
from tests.support.listener import Listener
from tests.support.source import make_sdist
from tests.support.values import inventory
from tests.unit.builders.test_shelf import Store

NAME, VERSION = canonicalize_name("x"), Version("1")
COMPILED = "cp311-cp311-linux_x86_64"


class InBase:
    """Stands for the Engine: zips a wheel itself."""

    def __init__(self, absent=False, library=None, words="gcc: not found"):
        self.absent = absent
        self.library = library
        self.words = words
        self.built = []
        self.packages = ["gcc"]

    def identity(self, base):
        return {"base": str(base.image), "packages": self.packages}

    def absence(self):
        return (
            EngineError("no Docker Engine answers", why="no socket", fix="start Docker; or not")
            if self.absent
            else None
        )

    def build(self, base, tree, package, made):
        assert not (package / "build").exists()
        self.built.append(package)
        if self.library is None:
            return None, self.words
        made.mkdir()
        path = made / f"x-1-{COMPILED}.whl"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x/_x.so", self.library)
            archive.writestr("x-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: x\nVersion: 1\n")
            archive.writestr("x-1.dist-info/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {COMPILED}\n")
            archive.writestr("x-1.dist-info/RECORD", "")
        return path, ""


@pytest.fixture
def make(tmp_path):
    def make(tag="py3-none-any", *, cache="cache", in_base=None, shelf=None, more=None):
        filename, data = make_sdist("x", "1", tag=tag, more=more)
        (tmp_path / filename).write_bytes(data)
        source = LockedSource(url=(tmp_path / filename).as_uri(), filename=filename, digest=Digest.of(data))
        listener = Listener()
        builder = SourceWheels(
            cache_dir=tmp_path / cache,
            base=inventory(),
            wheelhouse=Wheelhouse(tmp_path / cache),
            in_base=in_base or InBase(),
            directory=tmp_path,
            shelf=shelf or Shelf(),
            progress=listener,
        )
        return builder, source, listener

    return make


def locked(built, source):
    return LockedWheel(name=NAME, version=VERSION, filename=built.filename, digest=built.digest, source=source)


def test_what_is_for_every_platform_is_built_here_once(make):
    builder, source, listener = make()
    built = builder(NAME, VERSION, source)
    assert built.filename == "x-1-py3-none-any.whl"
    assert built.digest == Digest.of(built.path.read_bytes())
    assert built.size == built.path.stat().st_size
    assert builder(NAME, VERSION, source) == built
    assert listener.notes == [f"building x 1 from {source.filename}"]
    assert builder.locked(locked(built, source)) == built.path
    assert builder.in_base.built == []


def test_it_is_the_same_wheel_elsewhere(make):
    builder, source, _ = make()
    other, _, _ = make(cache="elsewhere")
    assert builder(NAME, VERSION, source).digest == other(NAME, VERSION, source).digest


def test_what_compiles_is_built_in_the_base(make):
    builder, source, listener = make(COMPILED, in_base=InBase(library=make_elf(62, "GLIBC_2.34")))
    built = builder(NAME, VERSION, source)
    assert built.filename == f"x-1-{COMPILED}.whl"
    assert listener.notes[-1] == "building x 1 in the base"
    with zipfile.ZipFile(built.path) as archive:
        assert archive.read("x/_x.so") == make_elf(62, "GLIBC_2.34")
        assert "x/_x.so,sha256=" in archive.read("x-1.dist-info/RECORD").decode()
    builder(NAME, VERSION, source)
    assert len(builder.in_base.built) == 1


def test_another_base_and_other_packages_are_another_wheel(make):
    in_base = InBase(library=make_elf())
    builder, source, _ = make(COMPILED, in_base=in_base)
    builder(NAME, VERSION, source)
    replace(builder, base=replace(inventory(), image=Digest.of(b"other")))(NAME, VERSION, source)
    in_base.packages = ["gcc", "libfoo-dev"]
    builder(NAME, VERSION, source)
    assert len(in_base.built) == 3


def test_what_cannot_be_built_here_is_tried_in_the_base(make):
    builder, source, _ = make("fails")
    with pytest.raises(WheelError, match=r"x 1 could not be built from x-1.tar.gz") as caught:
        builder(NAME, VERSION, source)
    assert caught.value.why.startswith("in the base: gcc: not found\non this machine: ")
    assert "build-packages" in caught.value.fix


def test_without_an_engine(make):
    builder, source, _ = make("fails", in_base=InBase(absent=True))
    with pytest.raises(EngineError, match="x 1 has to be built in the base, and no Docker Engine answers") as caught:
        builder(NAME, VERSION, source)
    assert "no such header: x.h" in caught.value.why
    assert "/rayimage-build-" not in caught.value.why


def test_a_library_that_the_base_cannot_load(make):
    builder, source, _ = make(COMPILED, in_base=InBase(library=make_elf(183)))
    with pytest.raises(WheelError, match="would not load in the base"):
        builder(NAME, VERSION, source)
    assert not list(builder.cache_dir.glob("source-wheels/*/*"))


def test_a_source_of_another_package(make):
    builder, source, _ = make()
    with pytest.raises(WheelError, match=r"x-1.tar.gz is not y 1") as caught:
        builder(canonicalize_name("y"), VERSION, source)
    assert "x-1-py3-none-any.whl" in caught.value.why


def test_nobody_builds_twice(make, tmp_path):
    store = Store.create(tmp_path / "store")
    in_base = InBase(library=make_elf())
    builder, source, _ = make(COMPILED, in_base=in_base, shelf=Shelf(lambda: store))
    built = builder(NAME, VERSION, source)
    fresh, _, _ = make(COMPILED, cache="fresh", in_base=InBase(absent=True), shelf=Shelf(lambda: store))
    assert fresh(NAME, VERSION, source).digest == built.digest
    shutil.rmtree(tmp_path / "fresh")
    assert fresh.locked(locked(built, source)).read_bytes() == built.path.read_bytes()


def test_a_pushed_wheel_that_is_not_the_locked_one_is_not_taken(make, tmp_path):
    store = Store.create(tmp_path / "store")
    builder, source, _ = make(COMPILED, in_base=InBase(library=make_elf()), shelf=Shelf(lambda: store))
    builder(NAME, VERSION, source)
    fresh, _, _ = make(
        COMPILED, cache="fresh", in_base=InBase(library=make_elf(62, "GLIBC_2.17")), shelf=Shelf(lambda: store)
    )
    wheel = LockedWheel(
        name=NAME, version=VERSION, filename=f"x-1-{COMPILED}.whl", digest=Digest.of(b"locked"), source=source
    )
    with pytest.raises(WheelError, match="not built here as it was locked") as caught:
        fresh.locked(wheel)
    assert "rayimage lock" in caught.value.fix


def test_the_wheelhouse_asks_for_built_wheels(make, tmp_path):
    builder, source, _ = make()
    wheel = locked(builder(NAME, VERSION, source), source)
    house = Wheelhouse(tmp_path / "other", build={wheel.digest: builder.locked})
    assert house.fetch(wheel).name == wheel.filename
