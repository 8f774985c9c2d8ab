from __future__ import annotations

import pytest
from packaging.version import Version

from rayimage.base.system import find_glibc, find_owner
from rayimage.base.tree import Tree
from rayimage.errors import BaseImageError
from tests.unit.base.test_interpreter import tree_of

BANNER = "\x00GNU C Library (Ubuntu GLIBC 2.35-0ubuntu3.8) stable release version 2.35.\n\x00"
PASSWD = """\
root:x:0:0:root:/root:/bin/bash
# a comment
short:x
odd:x:ten:ten::/:/bin/sh
ray:x:1000:100:Ray:/home/ray:/bin/bash
"""
GROUP = f"root:x:0:\nusers:x:100:ray\nbad\nbig:x:{'9' * 5000}:\n"


@pytest.mark.parametrize(
    ("files", "version"),
    [
        ({"/lib": "->usr/lib", "/usr/lib/x86_64-linux-gnu/libc.so.6": BANNER}, "2.35"),
        ({"/usr/lib64/libc.so.6": BANNER, "/lib64": "->usr/lib64"}, "2.35"),
        ({"/lib/x86_64-linux-gnu/libc-2.31.so": "", "/lib/x86_64-linux-gnu/libc.so.6": "->libc-2.31.so"}, "2.31"),
        ({"/lib/aarch64-linux-gnu/libc.so.6": "->libc-2.27.so"}, "2.27"),
        ({"/lib/x86_64-linux-gnu/libc.so.6": "", "/var/lib/dpkg/status": "Package: libc6\nVersion: 2.36-9\n"}, "2.36"),
        ({"/var/lib/dpkg/status.d/libc6": "Package: libc6\nVersion: 2.36-9+deb12u9\n"}, "2.36"),
    ],
)
def test_glibc(files: dict[str, str], version: str) -> None:
    assert find_glibc(tree_of(files)) == Version(version)


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"/lib/ld-musl-x86_64.so.1": "->libc.musl.so"},
        {"/opt/conda/x86_64-conda-linux-gnu/sysroot/lib64/libc.so.6": BANNER},
        {"/usr/lib/x86_64-linux-gnu/libc.so.6": "no banner"},
    ],
)
def test_no_glibc(files: dict[str, str]) -> None:
    assert find_glibc(tree_of(files)) is None


@pytest.mark.parametrize(
    ("user", "owner"),
    [
        ("", (0, 0)),
        ("root", (0, 0)),
        ("1000", (1000, 100)),
        ("ray", (1000, 100)),
        ("ray:root", (1000, 0)),
        ("ray:27", (1000, 27)),
        ("1000:users", (1000, 100)),
        ("5000", (5000, 0)),
        ("5000:6000", (5000, 6000)),
        (":users", (0, 100)),
    ],
)
def test_owner(user: str, owner: tuple[int, int]) -> None:
    assert find_owner(tree_of({"/etc/passwd": PASSWD, "/etc/group": GROUP}), user) == owner


@pytest.mark.parametrize(("user", "owner"), [("", (0, 0)), ("1000", (1000, 0)), ("0:5", (0, 5))])
def test_owner_without_passwd(user: str, owner: tuple[int, int]) -> None:
    assert find_owner(Tree(), user) == owner


@pytest.mark.parametrize(
    ("user", "message"),
    [
        ("nobody", r"user 'nobody'.*/etc/passwd"),
        ("odd", r"user 'odd'"),
        ("9" * 5000, r"user '999"),
        ("\u0663", r"user '"),
        ("1000:" + "9" * 5000, r"group '999"),
        ("ray:wheel", r"group 'wheel'.*/etc/group"),
    ],
)
def test_an_owner_that_is_not_there(user: str, message: str) -> None:
    with pytest.raises(BaseImageError, match=message):
        find_owner(tree_of({"/etc/passwd": PASSWD, "/etc/group": GROUP}), user)
