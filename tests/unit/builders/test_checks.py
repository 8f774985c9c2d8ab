from __future__ import annotations

from pathlib import Path

import pytest

from rayimage.builders.checks import check_layers, check_no_passwords
from rayimage.errors import ConfigError, WheelError
from rayimage.layers import CodeTree, FileInLayer
from tests.support.values import PREFIX, SITE, distribution, inventory, lock, move

BASE = inventory(distribution("six", "1.16", "six.py", "pkg/six.py"), symlinks={f"{PREFIX}/lib64": "lib"})
SIX = f"{SITE}/six.py"


def check(*layers: tuple[str, str, str], moves: tuple = ()) -> None:
    check_layers([(title, [FileInLayer(path, digest)]) for title, path, digest in layers], BASE, lock(moves=moves))


def test_disjoint_layers_pass() -> None:
    check(("a 1", f"{SITE}/a.py", "sha256=1"), ("b 1", f"{SITE}/b.py", "sha256=2"))


def test_same_path_same_content_passes() -> None:
    check(("a 1", f"{SITE}/ns/__init__.py", "sha256=1"), ("b 1", f"{SITE}/ns/__init__.py", "sha256=1"))


def test_two_layers_that_differ_on_a_file() -> None:
    with pytest.raises(WheelError, match=r"ns/__init__\.py") as error:
        check(("a 1", f"{SITE}/ns/__init__.py", "sha256=1"), ("b 1", f"{SITE}/ns/__init__.py", "sha256=2"))
    assert "a 1" in str(error.value)
    assert "b 1" in str(error.value)
    assert error.value.fix


def test_a_file_of_a_kept_base_package() -> None:
    with pytest.raises(WheelError, match=r"six 1\.16"):
        check(("evil 1", SIX, "sha256=other"))
    check(("evil 1", SIX, f"sha256={SIX}"))


def test_a_file_of_a_replaced_base_package() -> None:
    check(("six 1.17", SIX, "sha256=other"), moves=(move("six", "1.16", "1.17"),))


@pytest.mark.parametrize("path", [f"{SITE}/pkg", SITE, f"{PREFIX}/lib", f"{PREFIX}/bin"])
def test_a_file_in_place_of_a_directory_of_the_base(path: str) -> None:
    with pytest.raises(WheelError, match=f"evil 1 would replace {path}: it is a directory"):
        check(("evil 1", path, "sha256=1"))


def test_a_directory_in_place_of_a_file_of_the_base() -> None:
    with pytest.raises(WheelError, match=r"evil 1 would replace .*six\.py: it is a file of the base's six 1\.16"):
        check(("evil 1", f"{SIX}/evil.py", "sha256=1"))
    check(("six 2", f"{SIX}/fine.py", "sha256=1"), moves=(move("six", "1.16", "2"),))


@pytest.mark.parametrize(
    "text",
    ["--index-url https://user:pw@example.com/simple", "a @ https://:t0ken@example.com/a.whl", 'url="http://u:p@h"'],
)
def test_a_password_in_a_file_that_would_be_copied(tmp_path: Path, text: str) -> None:
    (tmp_path / "requirements.in").write_text(text)
    tree = CodeTree(root=tmp_path, files=("requirements.in",))
    with pytest.raises(ConfigError, match=r"requirements\.in would be copied") as caught:
        check_no_passwords(tree, ["requirements.in"])
    assert "pw" not in str(caught.value)
    assert "exclude = ['requirements.in']" in caught.value.fix
    check_no_passwords(CodeTree(root=tmp_path, files=()), ["requirements.in"])


@pytest.mark.parametrize(
    "text",
    ["https://example.com:8080/a@b", "https://token@example.com", "ssh://git:x@h", "https://u:${PASSWORD}@example.com"],
)
def test_what_is_no_password(tmp_path: Path, text: str) -> None:
    (tmp_path / "uv.toml").write_text(text)
    check_no_passwords(CodeTree(root=tmp_path, files=("uv.toml",)), ["elsewhere/requirements.in"])


def test_writing_through_a_link_of_the_base() -> None:
    with pytest.raises(WheelError, match="symbolic link to lib"):
        check(("a 1", f"{PREFIX}/lib64/a.so", "sha256=1"))
