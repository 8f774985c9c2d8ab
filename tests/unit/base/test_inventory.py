from __future__ import annotations

import gzip
import io
import json
import tarfile
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from rayimage.base import ResolvedBase, read_inventory, resolve_base
from rayimage.base.cache import FORMAT, from_json, load_inventory, store_inventory, to_json
from rayimage.errors import BaseImageError, ContentError
from rayimage.model.content import ByteStream
from rayimage.model.descriptor import Descriptor
from rayimage.model.inventory import DirectoryOwner, InstallLayout
from rayimage.model.manifest import Index, Manifest
from tests.support import values
from tests.support.images import Symlink, dist_info, make_image, make_layer, ray_base
from tests.support.values import AMD64, PREFIX, SITE
from tests.unit.base.recorder import Recorder


def base_of(directory: Path, *layers: bytes, user: str = "1000") -> ResolvedBase:
    make_image(directory, layers, user=user, labels={"io.ray.ray-version": "2.55.1"})
    return resolve_base(f"oci:{directory}", AMD64, root=directory.parent)


class Sealed:
    """A source that must not be read."""

    def get_manifest(self, target: str) -> Manifest | Index:
        raise AssertionError(target)

    def open_blob(self, descriptor: Descriptor) -> AbstractContextManager[ByteStream]:
        raise AssertionError(descriptor)


def test_an_image_like_ray_s(tmp_path: Path) -> None:
    site = SITE.lstrip("/")
    base = base_of(
        tmp_path / "base",
        make_layer({**ray_base(), **dist_info("numpy", "1.26.4", files={"numpy/__init__.py": "old"})}),
        make_layer(
            {
                f"{site}/.wh.numpy-1.26.4.dist-info": "",
                **dist_info("numpy", "2.2.6", files={"numpy/__init__.py": "new"}, installer="uv"),
                f"{PREFIX.lstrip('/')}/lib/libz.so": Symlink("libz.so.1"),
                "opt/deep/down/there/link": Symlink("file"),
                "opt/deep/down/there/home": Symlink("../../../../home"),
                "opt/link": Symlink("elsewhere"),
            }
        ),
    )
    found = read_inventory(base, cache_dir=tmp_path / "cache")
    assert found.image == base.digest
    assert (found.python, found.glibc, found.platform) == (Version("3.11.11"), Version("2.35"), AMD64)
    assert found.layout == InstallLayout(
        prefix=PREFIX,
        purelib=SITE,
        platlib=SITE,
        scripts=f"{PREFIX}/bin",
        data=PREFIX,
        headers=f"{PREFIX}/include/python3.11",
        interpreter=f"{PREFIX}/bin/python",
        uid=1000,
        gid=100,
    )
    assert (found.user, found.workdir) == ("1000", "/home/ray")
    assert found.env["PATH"].startswith(f"{PREFIX}/bin:")
    assert found.labels == {"io.ray.ray-version": "2.55.1"}
    assert {name: str(dist.version) for name, dist in found.by_name.items()} == {"numpy": "2.2.6", "ray": "2.55.1"}
    assert found.ray is not None
    assert found.ray.requires == ("click>=7.0", 'aiohttp; extra == "serve"')
    assert found.symlinks == {
        "/bin": "usr/bin",
        "/lib": "usr/lib",
        f"{PREFIX}/bin/python": "python3.11",
        f"{PREFIX}/bin/python3": "python3.11",
        f"{PREFIX}/lib/libz.so": "libz.so.1",
        "/opt/deep/down/there/home": "../../../../home",
        "/opt/link": "elsewhere",
    }


def test_no_user_is_root(tmp_path: Path) -> None:
    found = read_inventory(base_of(tmp_path / "base", make_layer(ray_base()), user=""), cache_dir=tmp_path / "cache")
    assert (found.user, found.layout.uid, found.layout.gid) == ("root", 0, 0)


def test_a_second_use_reads_nothing(tmp_path: Path) -> None:
    base = base_of(tmp_path / "base", make_layer(ray_base()))
    first = read_inventory(base, cache_dir=tmp_path / "cache")
    assert read_inventory(replace(base, source=Sealed()), cache_dir=tmp_path / "cache") == first


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda _: b"not gzip",
        lambda data: data[:-10],
        lambda data: data[:20] + b"\0\0\0" + data[23:],
        lambda _: gzip.compress(b"{"),
        lambda _: gzip.compress(b"[]"),
        lambda _: gzip.compress(f'{{"format": {FORMAT}}}'.encode()),
        lambda data: gzip.compress(gzip.decompress(data).replace(f'"format":{FORMAT}'.encode(), b'"format":0')),
        lambda data: gzip.compress(gzip.decompress(data).replace(b'"2.55.1"', b'"x.y"')),
        lambda data: gzip.compress(gzip.decompress(data).replace(b'"image":"sha256:', b'"image":"sha512:')),
    ],
)
def test_a_damaged_cache_is_made_anew(tmp_path: Path, damage) -> None:
    base = base_of(tmp_path / "base", make_layer(ray_base()))
    first = read_inventory(base, cache_dir=tmp_path / "cache")
    (file,) = (tmp_path / "cache" / "inventory").iterdir()
    intact = file.read_bytes()
    file.write_bytes(damage(intact))
    assert read_inventory(base, cache_dir=tmp_path / "cache") == first
    assert file.read_bytes() == intact


def test_a_cache_entry_of_another_image_is_not_taken(tmp_path: Path) -> None:
    base = base_of(tmp_path / "base", make_layer(ray_base()))
    store_inventory(tmp_path / "cache", values.inventory())
    (file,) = (tmp_path / "cache" / "inventory").iterdir()
    file.rename(file.with_name(f"{base.digest.hex}-v{FORMAT}.json.gz"))
    assert read_inventory(base, cache_dir=tmp_path / "cache").image == base.digest


def test_a_cache_that_cannot_be_written_is_a_warning(tmp_path: Path) -> None:
    base = base_of(tmp_path / "base", make_layer(ray_base()))
    (tmp_path / "cache").write_text("a file is in the way")
    progress = Recorder()
    assert read_inventory(base, cache_dir=tmp_path / "cache", progress=progress).ray is not None
    assert len(progress.warnings) == 1
    assert "could not be cached" in progress.warnings[0]


def test_nothing_is_cached_of_a_base_that_cannot_be_read(tmp_path: Path) -> None:
    base = base_of(tmp_path / "base", make_layer(ray_base()), make_layer({"x": "y" * 9999})[:-9])
    with pytest.raises(ContentError, match=str(base.manifest.layers[1].digest)):
        read_inventory(base, cache_dir=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_an_image_without_python(tmp_path: Path) -> None:
    base = base_of(tmp_path / "base", make_layer({"etc/os-release": "ID=debian"}))
    with pytest.raises(BaseImageError, match="the base has no Python"):
        read_inventory(base, cache_dir=tmp_path / "cache")


def test_the_cache_file_is_the_same_bytes_each_time(tmp_path: Path) -> None:
    for name in "ab":
        store_inventory(tmp_path / name, values.inventory())
    (first,), (second,) = ((tmp_path / name / "inventory").iterdir() for name in "ab")
    assert first.read_bytes() == second.read_bytes()
    assert load_inventory(tmp_path / "a", values.inventory().image) == values.inventory()


TEXT = st.text(st.characters(exclude_categories=()), max_size=8)


@given(path=TEXT, requirement=TEXT, env=st.dictionaries(TEXT, TEXT, max_size=3), glibc=st.none() | st.just("2.35"))
def test_json_round_trip(path: str, requirement: str, env: dict[str, str], glibc: str | None) -> None:
    """Whatever text: file names of the image need not be UTF-8."""
    dist = values.distribution("a", "1", path, requires=(requirement,))
    inventory = replace(values.inventory(dist), env=env, symlinks=env, glibc=Version(glibc) if glibc else None)
    assert from_json(json.loads(json.dumps(to_json(inventory)))) == inventory


def test_directories_that_a_layer_may_touch_unseen(tmp_path: Path) -> None:
    """Those near the root, the install roots and what lies above them, and below the prefix the unusual ones."""
    owners = {
        "home": (0o755, 0, 0),
        "home/ray": (0o750, 1000, 100),
        PREFIX.lstrip("/"): (0o755, 1000, 100),
        SITE.lstrip("/"): (0o755, 1000, 100),
        f"{SITE}/usual".lstrip("/"): (0o755, 1000, 100),
        f"{SITE}/odd".lstrip("/"): (0o1777, 0, 0),
        "usr/share/doc/deep": (0o755, 0, 0),
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, (mode, uid, gid) in owners.items():
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.uid, info.gid = tarfile.DIRTYPE, mode, uid, gid
            archive.addfile(info)
    make_image(tmp_path / "base", [make_layer(ray_base()), gzip.compress(buffer.getvalue())], user="1000")
    inventory = read_inventory(resolve_base("oci:base", AMD64, root=tmp_path), cache_dir=tmp_path / "cache")
    expected = {f"/{name}": DirectoryOwner(*owner) for name, owner in owners.items()}
    del expected[f"{SITE}/usual"], expected["/usr/share/doc/deep"]
    assert inventory.directories == expected
