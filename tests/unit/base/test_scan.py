from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from rayimage.base.scan import scan_layers
from rayimage.base.tree import Tree
from rayimage.errors import ContentError
from rayimage.image.layout import OciLayout
from rayimage.model import media
from tests.support.images import Directory, File, HardLink, Symlink, make_image, make_layer, make_tar
from tests.unit.base.recorder import Recorder

META = "site-packages/a-1.dist-info/METADATA"


def scan(directory: Path, *layers: dict[str, File]) -> Tree:
    layout = make_image(directory, [make_layer(layer) for layer in layers])
    return scan_layers(layout, layers_of(layout))


def layers_of(layout: OciLayout):
    return layout.get_manifest().layers  # type: ignore[union-attr]


def test_upper_layers_win(tmp_path: Path) -> None:
    tree = scan(tmp_path / "i", {META: "Name: old"}, {META: "Name: new"})
    assert tree.content(f"/{META}") == b"Name: new"


def test_only_what_is_of_interest_is_kept(tmp_path: Path) -> None:
    tree = scan(
        tmp_path / "i", {META: "Name: a", "site-packages/a.py": "import os", "site-packages/a-1.dist-info/x": ""}
    )
    assert set(tree.children("/site-packages")) == {"a-1.dist-info"}
    assert set(tree.children("/site-packages/a-1.dist-info")) == {"METADATA"}


@pytest.mark.parametrize(
    "upper",
    [
        {"site-packages/.wh.a-1.dist-info": ""},
        {".wh.site-packages": ""},
        {"site-packages/.wh..wh..opq": ""},
        {".wh..wh..opq": ""},
        {"site-packages/a-1.dist-info": "now a file"},
        {"site-packages": Symlink("elsewhere")},
        {"site-packages/a-1.dist-info/.wh.METADATA": ""},
    ],
)
def test_ways_to_be_gone(tmp_path: Path, upper: dict[str, File]) -> None:
    tree = scan(tmp_path / "i", {META: "Name: a", "d/keep.egg-info/PKG-INFO": ""}, upper)
    assert tree.content(f"/{META}") is None
    assert (tree.find("/d/keep.egg-info/PKG-INFO") is None) == (".wh..wh..opq" in upper)


def test_other_files_of_aufs_are_no_whiteouts(tmp_path: Path) -> None:
    tree = scan(tmp_path / "i", {META: "Name: a"}, {".wh..wh.plnk": "", "site-packages/.wh..wh.aufs": ""})
    assert tree.content(f"/{META}") == b"Name: a"


def test_a_directory_whited_out_and_made_again(tmp_path: Path) -> None:
    upper: dict[str, File] = {
        ".wh.site-packages": "",
        "site-packages/": Directory,
        "site-packages/b-1.dist-info/METADATA": "b",
    }
    tree = scan(tmp_path / "i", {META: "Name: a"}, upper)
    assert set(tree.children("/site-packages")) == {"b-1.dist-info"}


def test_hard_links_share_content(tmp_path: Path) -> None:
    # conda and uv link from their caches; the archive holds the content at the first name.
    cache = "root/.cache/uv/archive-v0/XyZ/a-1.dist-info/METADATA"
    tree = scan(
        tmp_path / "i",
        {cache: "Name: a", META: HardLink(cache), "bin/python3": "", "bin/python": HardLink("bin/python3")},
    )
    assert tree.content(f"/{META}") == b"Name: a"
    assert tree.content("/bin/python") == b""


def test_a_hard_link_to_a_symbolic_link_is_one_as_well(tmp_path: Path) -> None:
    tree = scan(tmp_path / "i", {"bin/python3": "", "bin/py": Symlink("python3"), "bin/python": HardLink("bin/py")})
    assert dict(tree.links()) == {"/bin/py": "python3", "/bin/python": "python3"}


def test_a_hard_link_to_what_was_not_kept_replaces_what_was_there(tmp_path: Path) -> None:
    tree = scan(tmp_path / "i", {META: "Name: a"}, {"x": "", META: HardLink("x")})
    assert tree.content(f"/{META}") is None


def test_layers_of_every_encoding_together(tmp_path: Path) -> None:
    layers = [
        make_layer({META: "Name: a"}),
        make_tar({"b-1.dist-info/METADATA": "Name: b"}),
        gzip.compress(b"") + make_layer({"c-1.dist-info/METADATA": "Name: c"}),
    ]
    layout = make_image(tmp_path / "i", layers, media_types={1: "application/vnd.oci.image.layer.v1.tar+zstd"})
    tree = scan_layers(layout, layers_of(layout))
    assert [tree.content(f"/{path}/METADATA") for path in (META[:-9], "b-1.dist-info", "c-1.dist-info")] == [
        b"Name: a",
        b"Name: b",
        b"Name: c",
    ]


def test_foreign_layers_are_left_out_with_a_warning(tmp_path: Path) -> None:
    layers = [b"not even there", make_layer({META: "Name: a"})]
    layout = make_image(tmp_path / "i", layers, media_types={0: media.DOCKER_FOREIGN_LAYER, 1: media.DOCKER_LAYER})
    progress = Recorder()
    tree = scan_layers(layout, layers_of(layout), progress)
    assert tree.content(f"/{META}") == b"Name: a"
    assert len(progress.warnings) == 1
    assert "not distributable" in progress.warnings[0]


def test_progress_counts_compressed_bytes(tmp_path: Path) -> None:
    layer = make_layer({META: "Name: a"})
    layout = make_image(tmp_path / "i", [layer])
    progress = Recorder()
    scan_layers(layout, layers_of(layout), progress)
    assert progress.totals == [len(layer)]
    assert progress.advanced == len(layer)


def test_a_swapped_layer_is_noticed_although_it_reads_well(tmp_path: Path) -> None:
    layout = make_image(tmp_path / "i", [make_tar({META: "Name: a"})])
    (layer,) = layers_of(layout)
    (layout.path / "blobs" / "sha256" / layer.digest.hex).write_bytes(make_tar({META: "Name: b"}))
    with pytest.raises(ContentError, match=f"damaged blob {layer.digest}"):
        scan_layers(layout, [layer])


def test_a_layer_that_is_no_tar(tmp_path: Path) -> None:
    layout = make_image(tmp_path / "i", [gzip.compress(b"<html>" * 200)])
    (layer,) = layers_of(layout)
    with pytest.raises(ContentError, match=f"base layer {layer.digest} cannot be read: not a tar archive"):
        scan_layers(layout, [layer])


def test_an_absent_layer(tmp_path: Path) -> None:
    layout = make_image(tmp_path / "i", [make_layer({})])
    (layer,) = layers_of(layout)
    (layout.path / "blobs" / "sha256" / layer.digest.hex).unlink()
    with pytest.raises(ContentError, match=layer.digest.hex):
        scan_layers(layout, [layer])
