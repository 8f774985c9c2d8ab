"""Nobody wins by not doing the work."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from benchmarks.verify import ImageInRegistry, Verifier, WrongImageError, node_bytes
from rayimage.model.digest import Digest
from tests.support.fake_registry import FakeRegistry, StoredManifest

SITE = "home/ray/anaconda3/lib/python3.11/site-packages"
OCI = "application/vnd.oci.image.manifest.v1+json"
VERSIONS = {"demo": "1.0", "torch": "2.13.0+cpu"}


def layer(files: Mapping[str, bytes]) -> bytes:
    """Two gzip members, as the layers of rayimage have many."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    plain = buffer.getvalue()
    return gzip.compress(plain[:700]) + gzip.compress(plain[700:])


BASE = layer({f"{SITE}/click-8.0.dist-info/RECORD": b""})
PACKAGES = layer({f"{SITE}/demo-1.0.dist-info/RECORD": b"", f"./{SITE}/torch-2.13.0+cpu.dist-info/RECORD": b""})
CODE = layer({"home/ray/app/app/main.py": b"# new\n"})


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as running:
        yield running


@pytest.fixture
def code(tmp_path: Path) -> Path:
    file = tmp_path / "main.py"
    file.write_bytes(b"# new\n")
    return file


def put(registry: FakeRegistry, tag: str, *layers: bytes) -> str:
    """Push an image; its reference."""
    found = [{"digest": str(registry.put_blob("app", data)), "size": len(data)} for data in layers]
    raw = json.dumps({"schemaVersion": 2, "layers": found}).encode()
    digest = str(Digest.of(raw))
    registry.manifests["app"][digest] = StoredManifest(OCI, raw)
    registry.tags["app"][tag] = digest
    return f"{registry.host}/app:{tag}"


def check(
    registry: FakeRegistry, code: Path, *layers: bytes, versions: Mapping[str, str] = VERSIONS
) -> ImageInRegistry:
    verifier = Verifier()
    base = verifier.image(put(registry, "base", BASE))
    return verifier.check(put(registry, "new", *layers), base, versions, code, "app/main.py")


def test_an_image_that_is_right(registry: FakeRegistry, code: Path) -> None:
    image = check(registry, code, BASE, PACKAGES, CODE)
    assert image.digest == registry.tags["app"]["new"]
    assert list(image.layers.values()) == [len(BASE), len(PACKAGES), len(CODE)]


def test_the_code_on_top_counts(registry: FakeRegistry, code: Path) -> None:
    old = layer({"home/ray/app/app/main.py": b"# old\n"})
    check(registry, code, BASE, PACKAGES, old, CODE)
    with pytest.raises(WrongImageError, match=r"code of now: app/main\.py"):
        check(registry, code, BASE, PACKAGES, CODE, old)


@pytest.mark.parametrize(
    ("layers", "versions", "why"),
    [
        ((PACKAGES, CODE), VERSIONS, "does not stand on the base"),
        ((BASE, CODE), VERSIONS, "other packages than the lock"),
        ((BASE, PACKAGES, CODE), VERSIONS | {"demo": "1.1"}, r"\('demo', '1.0'\), \('demo', '1.1'\)"),
        ((BASE, PACKAGES, CODE), {"demo": "1.0"}, "torch"),
        ((BASE, PACKAGES), VERSIONS, "code of now"),
    ],
)
def test_images_that_are_wrong(
    registry: FakeRegistry, code: Path, layers: tuple[bytes, ...], versions: dict[str, str], why: str
) -> None:
    with pytest.raises(WrongImageError, match=why):
        check(registry, code, *layers, versions=versions)


def test_an_image_or_a_layer_that_is_not_there(registry: FakeRegistry, code: Path) -> None:
    with pytest.raises(WrongImageError, match="404"):
        Verifier().image(f"{registry.host}/app:none")
    reference = put(registry, "new", BASE, PACKAGES, CODE)
    del registry.blobs["app"][str(Digest.of(CODE))]
    base = Verifier().image(put(registry, "base", BASE))
    with pytest.raises(WrongImageError, match="has no layer"):
        Verifier().check(reference, base, VERSIONS, code, "app/main.py")


def test_a_layer_is_read_once(registry: FakeRegistry, code: Path) -> None:
    verifier = Verifier()
    base = verifier.image(put(registry, "base", BASE))
    for _ in range(2):
        verifier.check(put(registry, "new", BASE, PACKAGES, CODE), base, VERSIONS, code, "app/main.py")
    assert registry.count("GET", "/blobs/") == 2  # the base's none


def test_a_node_pulls_what_it_does_not_have() -> None:
    before = ImageInRegistry(digest="sha256:1", layers={"a": 100, "b": 20})
    after = ImageInRegistry(digest="sha256:2", layers={"a": 100, "c": 7, "d": 1})
    assert node_bytes(after, before) == 8
    assert node_bytes(before, before) == 0
