from __future__ import annotations

from pathlib import Path

import pytest

from rayimage.errors import UsageError
from rayimage.layers import removal_layer_key, write_removal_layer
from tests.support.wheelmaker import LAYOUT, entries

PATHS = ["/s/b.py", "/s/a/__init__.py", "/s/a-1.dist-info", "/s/a-1.dist-info/RECORD", "/s/b.py", "/bin/tool"]


def test_whiteouts_beside_what_they_hide(tmp_path: Path) -> None:
    layer = write_removal_layer(PATHS, LAYOUT, tmp_path / "layer")
    found = entries(layer)
    whiteouts = ["bin/.wh.tool", "s/.wh.a-1.dist-info", "s/.wh.b.py", "s/a/.wh.__init__.py"]
    assert [name for name, info in found.items() if info.isfile() and info.size == 0] == whiteouts
    assert [name for name, info in found.items() if info.isdir()] == ["bin", "s", "s/a"]
    assert layer.files == ()


def test_golden(tmp_path: Path) -> None:
    layer = write_removal_layer(PATHS, LAYOUT, tmp_path / "layer")
    assert str(layer.diff_id) == "sha256:c12b7028be0c42b6a3ab1a8bbda21b498a68320628f0e18edd76d8c88391978c"
    assert str(layer.descriptor.digest) == "sha256:ba1b1a0e7f017cc565c0414afdd4bdd5b854f55bd4a9826b8d27022f66dd746f"
    assert (
        str(removal_layer_key(PATHS, LAYOUT))
        == "sha256:f10cc5b7cd50e0f5fe91a0b81d743c9cc4f36c95d031d64b14eb23dc72b64bd0"
    )


def test_order_does_not_matter(tmp_path: Path) -> None:
    one, two = (write_removal_layer(PATHS[::step], LAYOUT, tmp_path / str(step)) for step in (1, -1))
    assert one.descriptor == two.descriptor
    key = removal_layer_key(PATHS, LAYOUT)
    assert key == removal_layer_key(reversed(PATHS), LAYOUT) != removal_layer_key(PATHS[1:3], LAYOUT)


@pytest.mark.parametrize("path", ["relative", "/", "", "/a/../b", "/a//b", "/a/", "/a/.wh.b", "/a\n"])
def test_odd_paths_are_refused(path: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot remove"):
        write_removal_layer(["/fine", path], LAYOUT, tmp_path / "layer")
    with pytest.raises(UsageError, match="cannot remove"):
        removal_layer_key([path], LAYOUT)
    assert not (tmp_path / "layer").exists()
