from __future__ import annotations

import io
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from rayimage.base import RememberedBases
from rayimage.model import media
from rayimage.model.content import ByteStream
from rayimage.model.descriptor import Descriptor
from rayimage.model.digest import Digest
from rayimage.model.manifest import Index, Manifest
from rayimage.model.reference import Reference

NAME = Reference("registry.example.com", "base/ray")
CONFIG, LAYER = b'{"os":"linux"}', b"layer"


def descriptor(media_type: str, data: bytes) -> Descriptor:
    return Descriptor(media_type=media_type, digest=Digest.of(data), size=len(data))


MANIFEST = Manifest.build(
    config=descriptor(media.OCI_CONFIG, CONFIG), layers=(descriptor(media.OCI_LAYER_GZIP, LAYER),), annotations={}
)


@dataclass
class Source:
    asked: list[str] = field(default_factory=list)
    manifest: Manifest | Index | None = MANIFEST

    def find_manifest(self, target: str) -> Manifest | Index | None:
        self.asked.append(target)
        return self.manifest

    def get_manifest(self, target: str) -> Manifest | Index:
        self.asked.append(target)
        assert self.manifest
        return self.manifest

    def open_blob(self, wanted: Descriptor) -> AbstractContextManager[ByteStream]:
        self.asked.append(wanted.media_type)
        return io.BytesIO(CONFIG if wanted.digest == MANIFEST.config.digest else LAYER)


def read(bases: RememberedBases, target: str) -> bytes:
    repository = bases.open(NAME)
    manifest = repository.find_manifest(target)
    assert isinstance(manifest, Manifest)
    assert manifest == repository.get_manifest(str(manifest.digest)) == MANIFEST
    with repository.open_blob(manifest.config) as stream:
        return stream.read()


def test_what_is_known_by_digest_is_not_asked_for_again(tmp_path: Path) -> None:
    source = Source()
    assert read(RememberedBases(lambda _: source, tmp_path / "bases"), str(MANIFEST.digest)) == CONFIG
    assert source.asked == [str(MANIFEST.digest), media.OCI_CONFIG]
    source.asked.clear()
    assert read(RememberedBases(lambda _: source, tmp_path / "bases"), str(MANIFEST.digest)) == CONFIG
    assert source.asked == []


def test_a_tag_is_asked_for_once_in_a_command_and_again_in_the_next(tmp_path: Path) -> None:
    source = Source()
    bases = RememberedBases(lambda _: source, tmp_path)
    assert read(bases, "v1") == read(bases, "v1") == CONFIG
    assert source.asked.count("v1") == 1
    read(RememberedBases(lambda _: source, tmp_path), "v1")
    assert source.asked.count("v1") == 2


def test_layers_are_not_kept(tmp_path: Path) -> None:
    source = Source()
    repository = RememberedBases(lambda _: source, tmp_path).open(NAME)
    for _ in range(2):
        with repository.open_blob(MANIFEST.layers[0]) as stream:
            assert stream.read() == LAYER
    assert source.asked == [media.OCI_LAYER_GZIP] * 2
    assert not list(tmp_path.iterdir())


def test_nothing_is_kept_without_a_directory() -> None:
    source = Source()
    for _ in range(2):
        read(RememberedBases(lambda _: source, None), str(MANIFEST.digest))
    assert source.asked == [str(MANIFEST.digest), media.OCI_CONFIG] * 2


@pytest.mark.parametrize("damage", [b"", b"{}", CONFIG + b" "])
def test_damaged_files_are_read_anew_and_replaced(tmp_path: Path, damage: bytes) -> None:
    source = Source()
    read(RememberedBases(lambda _: source, tmp_path), str(MANIFEST.digest))
    for file in tmp_path.iterdir():
        file.write_bytes(damage)
    source.asked.clear()
    assert read(RememberedBases(lambda _: source, tmp_path), str(MANIFEST.digest)) == CONFIG
    assert source.asked == [str(MANIFEST.digest), media.OCI_CONFIG]
    assert {Digest.of(file.read_bytes()).hex for file in tmp_path.iterdir()} == {
        file.name for file in tmp_path.iterdir()
    }


def test_a_directory_that_cannot_be_written_costs_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert read(RememberedBases(lambda _: Source(), tmp_path / "file"), str(MANIFEST.digest)) == CONFIG


def test_what_is_not_there_is_asked_for_again(tmp_path: Path) -> None:
    source = Source(manifest=None)
    repository = RememberedBases(lambda _: source, tmp_path).open(NAME)
    assert repository.find_manifest("v1") is repository.find_manifest("v1") is None
    assert source.asked == ["v1", "v1"]


class Shared:
    """What somebody else says that bases are."""

    def __init__(self, *documents: bytes, lie: bytes | None = None) -> None:
        self._documents = {Digest.of(data): data for data in documents}
        self._lie = lie

    def document(self, digest: Digest) -> bytes | None:
        return self._documents.get(digest, self._lie)

    def inventory(self, image: Digest) -> bytes | None:
        return None


def test_what_is_shared_is_not_asked_of_the_registry(tmp_path: Path) -> None:
    source = Source()
    shared = Shared(MANIFEST.raw, CONFIG)
    assert read(RememberedBases(lambda _: source, tmp_path, shared), str(MANIFEST.digest)) == CONFIG
    assert source.asked == []


@pytest.mark.parametrize("lie", [None, b"", b"{}", CONFIG + b" "])
def test_what_is_shared_is_held_against_its_digest(tmp_path: Path, lie: bytes | None) -> None:
    source = Source()
    assert read(RememberedBases(lambda _: source, tmp_path, Shared(lie=lie)), str(MANIFEST.digest)) == CONFIG
    assert source.asked == [str(MANIFEST.digest), media.OCI_CONFIG]


def test_a_tag_is_never_shared(tmp_path: Path) -> None:
    source = Source()
    read(RememberedBases(lambda _: source, tmp_path, Shared(MANIFEST.raw, CONFIG)), "v1")
    assert source.asked == ["v1"]
