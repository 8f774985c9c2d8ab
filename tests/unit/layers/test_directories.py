from __future__ import annotations

from pathlib import Path

from rayimage.layers import directories_layer_key, write_directories_layer
from rayimage.layers.directories import directories_of
from rayimage.model.inventory import DirectoryOwner
from tests.support.values import PREFIX, SITE
from tests.support.wheelmaker import LAYOUT, entries

OWNERS = {"/home/ray": DirectoryOwner(0o755, 1000, 100), "/home": DirectoryOwner(0o2711, 0, 0)}


def test_directories_below_the_roots_are_declared() -> None:
    assert directories_of([f"{SITE}/a/b/c.py", f"{SITE}/top.py"], LAYOUT) == {f"{SITE}/a", f"{SITE}/a/b"}


def test_roots_and_what_lies_above_them_are_the_bases() -> None:
    files = [f"{PREFIX}/{path}" for path in ("bin/x", "lib/x.so", "include/x.h", "include/python3.11/x.h", "top")]
    assert directories_of(files, LAYOUT) == set()


def test_data_directories_are_declared_from_the_prefix_down() -> None:
    assert directories_of([f"{PREFIX}/share/man/man1/x.1"], LAYOUT) == {
        f"{PREFIX}/share",
        f"{PREFIX}/share/man",
        f"{PREFIX}/share/man/man1",
    }


def test_a_layer_states_mode_and_owner_of_directories(tmp_path: Path) -> None:
    layer = write_directories_layer(OWNERS, tmp_path / "layer")
    found = {name: (info.isdir(), info.mode, info.uid, info.gid) for name, info in entries(layer).items()}
    assert found == {"home": (True, 0o2711, 0, 0), "home/ray": (True, 0o755, 1000, 100)}
    assert layer.files == ()


def test_order_does_not_matter_and_owners_do(tmp_path: Path) -> None:
    turned = dict(reversed(OWNERS.items()))
    assert directories_layer_key(OWNERS) == directories_layer_key(turned)
    assert directories_layer_key(OWNERS) != directories_layer_key({**OWNERS, "/home": DirectoryOwner(0o755, 0, 0)})
    one, two = (write_directories_layer(owners, tmp_path / name) for name, owners in (("1", OWNERS), ("2", turned)))
    assert one.descriptor == two.descriptor
