from __future__ import annotations

from rayimage.layers.directories import new_directories
from tests.unit.layers.wheelmaker import LAYOUT, PREFIX, SITE


def test_new_directories_are_declared_and_nothing_above_them() -> None:
    assert new_directories([f"{SITE}/a/b/c.py", f"{SITE}/top.py"], LAYOUT) == {f"{SITE}/a", f"{SITE}/a/b"}


def test_roots_and_shared_directories_are_the_bases() -> None:
    shared = ["bin/x", "lib/x.so", "lib/cmake/x", "include/x.h", "share/man/man1/x.1", "etc/jupyter/x", "top"]
    assert new_directories([f"{PREFIX}/{path}" for path in shared], LAYOUT) == set()


def test_what_a_package_adds_below_shared_directories_is_its_own() -> None:
    files = [f"{PREFIX}/share/jupyter/kernels/demo/kernel.json", f"{LAYOUT.headers}/demo/a.h"]
    kernels = f"{PREFIX}/share/jupyter/kernels"
    assert new_directories(files, LAYOUT) == {kernels, f"{kernels}/demo", f"{LAYOUT.headers}/demo"}
