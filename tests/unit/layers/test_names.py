from __future__ import annotations

import pytest

from rayimage.layers.names import fault_in


@pytest.mark.parametrize("path", ["a", "a/b.py", "a b/ü.txt", "..a/b..", ".whx", "a/.hidden", "x" * 255])
def test_plain_paths_pass(path: str) -> None:
    assert fault_in(path) == ""


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("", "empty"), ("/etc/passwd", "absolute"), ("a\\b", "backslash"), ("C:/a", "drive"), ("c:a", "drive"),
        ("a\0b", "control"), ("a\nb", "control"), ("..", ".."), ("a/../b", ".."), ("a/./b", ".."), ("a//b", ".."),
        ("a/", ".."), ("a/.wh.b", ".wh."), (".wh..wh..opq", ".wh."), ("a/\udc80", "UTF-8"), ("x" * 256, "longer"),
        ("ü" * 128, "longer"), ("/".join(["x" * 200] * 21), "longer"),
    ],
)  # fmt: skip
def test_others_do_not(path: str, why: str) -> None:
    assert why in fault_in(path)
