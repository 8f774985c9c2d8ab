from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from rayimage.errors import LockError
from rayimage.lock.engine import PackageFile, ResolvedPackage
from rayimage.lock.hashes import confirm, vouched_for
from rayimage.model.digest import Digest
from rayimage.model.lock import LockedWheel
from rayimage.specs import collect_specs

NAME = canonicalize_name("demo")


def file(tag: str, content: bytes | None) -> PackageFile:
    name = f"demo-1.0-py3-none-{tag}.whl"
    return PackageFile(filename=name, url=f"https://example.com/{name}", digest=content and Digest.of(content))


PACKAGE = ResolvedPackage(name=NAME, version=Version("1.0"), wheels=(file("any", b"1"), file("linux_x86_64", b"2")))


def specs(tmp_path: Path, *contents: bytes):
    return replace(collect_specs(root=tmp_path), hashes={NAME: frozenset(Digest.of(each).hex for each in contents)})


def test_only_the_files_with_a_stated_hash_are_left(tmp_path):
    assert vouched_for(PACKAGE, specs(tmp_path, b"2", b"3")).wheels == PACKAGE.wheels[1:]
    assert vouched_for(PACKAGE, collect_specs(root=tmp_path)) == PACKAGE


def test_none_left(tmp_path):
    with pytest.raises(LockError, match=r"demo 1\.0 is not what the requirements vouch for") as caught:
        vouched_for(PACKAGE, specs(tmp_path, b"3"))
    assert caught.value.fix


def test_a_file_whose_hash_is_known_later(tmp_path):
    unknown = replace(PACKAGE, wheels=(file("any", None),))
    assert vouched_for(unknown, specs(tmp_path, b"3")) == unknown
    wheel = LockedWheel(name=NAME, version=Version("1.0"), filename="demo-1.0-py3-none-any.whl", digest=Digest.of(b"3"))
    assert confirm(wheel, specs(tmp_path, b"3")) == wheel
    assert confirm(wheel, collect_specs(root=tmp_path)) == wheel
    with pytest.raises(LockError, match=r"demo-1\.0-py3-none-any\.whl does not have one of the sha256 hashes"):
        confirm(wheel, specs(tmp_path, b"4"))


def test_a_package_without_wheels_has_its_own_error(tmp_path):
    bare = replace(PACKAGE, wheels=())
    assert vouched_for(bare, specs(tmp_path, b"3")) == bare
