from __future__ import annotations

import json
from dataclasses import replace

import pytest

from rayimage.builders.remote_cache import artifact
from rayimage.builders.remote_cache.artifact import (
    Contents,
    base_descriptor,
    checked_descriptor,
    inventory_descriptor,
    read_artifact,
    record_descriptor,
    write_artifact,
)
from rayimage.builders.remote_cache.marks import KnownLayer, Stored
from rayimage.model import media
from rayimage.model.descriptor import Descriptor
from rayimage.model.digest import Digest
from rayimage.model.manifest import Manifest, canonical_json, parse_manifest
from tests.support.values import digest
from tests.unit.builders.remote_cache.samples import PLACE, known


def with_record(layer: KnownLayer) -> KnownLayer:
    return replace(layer, record=Stored(record_descriptor(layer.key.hex.encode(), layer.key), PLACE))


NUMPY, SCIPY = with_record(known("numpy")), known("scipy")
CONTENTS = Contents(
    layers={NUMPY.key: NUMPY, SCIPY.key: SCIPY},
    inventories={(digest("base"), 4): Stored(inventory_descriptor(b"i", digest("base"), 4), PLACE)},
    bases={digest("base"): Stored(base_descriptor(b"b", digest("base")), PLACE)},
    checked={digest("set"): Stored(checked_descriptor(b"c", digest("set")), PLACE)},
)


def changed(number: int, **change: object) -> Manifest:
    data = json.loads(write_artifact(CONTENTS).raw)
    data["layers"][number] |= change
    manifest = parse_manifest(canonical_json(data))
    assert isinstance(manifest, Manifest)
    return manifest


def test_what_is_written_is_read() -> None:
    assert read_artifact(write_artifact(CONTENTS), PLACE) == CONTENTS


def test_it_names_every_blob_so_that_none_is_collected() -> None:
    named = {layer.digest for layer in write_artifact(CONTENTS).layers}
    assert {NUMPY.descriptor.digest, SCIPY.descriptor.digest, Digest.of(b"i"), Digest.of(b"c"), Digest.of(b"b")} < named
    assert len(named) == 6


def test_it_is_an_artifact_in_the_words_of_the_specification() -> None:
    data = json.loads(write_artifact(CONTENTS).raw)
    assert data["artifactType"].startswith("application/vnd.rayimage")
    assert data["config"] == {"mediaType": media.OCI_EMPTY, "digest": str(Digest.of(b"{}")), "size": 2}


def test_an_image_is_none() -> None:
    config = Descriptor(media_type=media.OCI_CONFIG, digest=digest("c"), size=1)
    assert read_artifact(Manifest.build(config=config, layers=(), annotations={}), PLACE) is None


def test_one_lie_does_not_spoil_the_rest() -> None:
    read = read_artifact(changed(0, size=7), PLACE)
    assert read is not None
    assert list(read.layers) == [SCIPY.key]
    assert len(read.doubts) == 1
    assert read.inventories == CONTENTS.inventories


@pytest.mark.parametrize("annotations", [{}, {"io.rayimage.base.digest": "x", "io.rayimage.inventory.format": "4"}])
def test_an_inventory_of_nothing(annotations: dict[str, str]) -> None:
    read = read_artifact(changed(5, annotations=annotations), PLACE)
    assert read is not None
    assert not read.inventories
    assert read.doubts


class TestOver:
    def test_newest_first_and_the_newer_counts(self) -> None:
        torch, other = known("torch"), replace(SCIPY, diff_id=digest("another"))
        merged = Contents(layers={torch.key: torch, other.key: other}).over(CONTENTS)
        assert list(merged.layers) == [torch.key, SCIPY.key, NUMPY.key]
        assert merged.layers[SCIPY.key] == other
        assert merged.inventories == CONTENTS.inventories

    def test_what_is_kept_of_packages_is_not_lost(self) -> None:
        assert Contents(checked={digest("set"): None}).over(CONTENTS).checked == CONTENTS.checked

    def test_it_is_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(artifact, "_MOST_LAYERS", 3)
        many = {layer.key: layer for layer in map(known, "abc")}
        assert list(Contents(layers=many).over(CONTENTS).layers) == list(many)

    def test_a_full_one_fits_what_registries_take(self) -> None:
        layers = [with_record(known(str(number))) for number in range(artifact._MOST_LAYERS)]
        assert len(write_artifact(Contents(layers={layer.key: layer for layer in layers})).raw) < 4_000_000
