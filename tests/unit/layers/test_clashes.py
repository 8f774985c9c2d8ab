from __future__ import annotations

import pytest

from rayimage.errors import WheelError
from rayimage.layers import FileInLayer, find_clashes


def test_the_same_content_may_come_twice() -> None:
    shared = FileInLayer("/s/ns/__init__.py", "sha256=a")
    find_clashes([("one", [shared, FileInLayer("/s/ns/one.py", "sha256=1")]), ("two", [shared])])


@pytest.mark.parametrize(("one", "two"), [("sha256=a", "sha256=b"), ("", ""), ("sha256=a", "")])
def test_different_or_unknown_content_is_a_clash(one: str, two: str) -> None:
    with pytest.raises(WheelError, match=r"one-1.whl and two-2.whl clash over /s/x.py") as caught:
        find_clashes([("one-1.whl", [FileInLayer("/s/x.py", one)]), ("two-2.whl", [FileInLayer("/s/x.py", two)])])
    assert caught.value.fix


@pytest.mark.parametrize("order", [1, -1])
def test_a_file_where_another_needs_a_directory(order: int) -> None:
    layers = [("one", [FileInLayer("/s/x", "sha256=a")]), ("two", [FileInLayer("/s/x/y/z.py", "sha256=b")])]
    with pytest.raises(WheelError, match=r"one and two clash over /s/x: .*directory"):
        find_clashes(layers[::order])


def test_within_one_owner() -> None:
    with pytest.raises(WheelError, match=r"^one clash"):
        find_clashes([("one", [FileInLayer("/s/x", "sha256=a"), FileInLayer("/s/x/y", "sha256=b")])])
