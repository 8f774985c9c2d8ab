from __future__ import annotations

from pathlib import Path

import pytest

from rayimage.errors import UsageError
from rayimage.layers import removal_layer_key, write_removal_layer
from tests.unit.layers.wheelmaker import entries

PATHS = ["/s/b.py", "/s/a/__init__.py", "/s/a-1.dist-info", "/s/a-1.dist-info/RECORD", "/s/b.py", "/bin/tool"]


def test_whiteouts_beside_what_they_hide_and_no_directories(tmp_path: Path) -> None:
    layer = write_removal_layer(PATHS, tmp_path / "layer")
    found = entries(layer)
    assert list(found) == ["bin/.wh.tool", "s/.wh.a-1.dist-info", "s/a/.wh.__init__.py", "s/.wh.b.py"]
    assert all(info.isfile() and info.size == 0 for info in found.values())
    assert layer.files == ()


def test_golden(tmp_path: Path) -> None:
    layer = write_removal_layer(PATHS, tmp_path / "layer")
    assert str(layer.diff_id) == "sha256:92291b82fc504ab9dfad1a54e592d9612e960a6f37ac26ed0e08495d1ad54d6a"
    assert str(layer.descriptor.digest) == "sha256:f0683bd78a3c883f7acedb77164ab8b50cce8746c1c0d0f0ceb70a864d728d3f"
    assert str(removal_layer_key(PATHS)) == "sha256:f36402a6cf03c7b6cf97276421ddd6720c0095b43854a32cbfee0462fd3ba77d"


def test_order_does_not_matter(tmp_path: Path) -> None:
    one, two = (write_removal_layer(PATHS[::step], tmp_path / str(step)) for step in (1, -1))
    assert one.descriptor == two.descriptor
    assert removal_layer_key(PATHS) == removal_layer_key(reversed(PATHS)) != removal_layer_key(PATHS[1:3])


@pytest.mark.parametrize("path", ["relative", "/", "", "/a/../b", "/a//b", "/a/", "/a/.wh.b", "/a\n"])
def test_odd_paths_are_refused(path: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot remove"):
        write_removal_layer(["/fine", path], tmp_path / "layer")
    with pytest.raises(UsageError, match="cannot remove"):
        removal_layer_key([path])
    assert not (tmp_path / "layer").exists()
