from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayimage.builders.remote_cache.marks import LAYER_DIFF_ID, LAYER_KEY, LAYER_SEAL, marked, read_marks
from rayimage.errors import ContentError
from rayimage.model import media
from rayimage.model.descriptor import Descriptor
from rayimage.model.digest import Digest
from tests.support.values import digest
from tests.unit.builders.remote_cache.samples import PLACE, known

LAYER = known("numpy")
DIGESTS = st.binary(min_size=32, max_size=32).map(lambda raw: Digest(raw.hex()))


@given(
    key=DIGESTS, diff_id=DIGESTS, blob=DIGESTS, size=st.integers(0, 2**40), kind=st.sampled_from(sorted(media.LAYERS))
)
def test_what_is_marked_is_read(key: Digest, diff_id: Digest, blob: Digest, size: int, kind: str) -> None:
    descriptor = marked(Descriptor(media_type=kind, digest=blob, size=size), key, diff_id)
    for read in (read_marks(descriptor, PLACE), read_marks(Descriptor.from_json(descriptor.to_json()), PLACE, diff_id)):
        assert read is not None
        assert (read.key, read.diff_id, read.descriptor, read.place) == (key, diff_id, descriptor, PLACE)


def test_a_layer_without_a_key_is_none_of_ours() -> None:
    bare = replace(LAYER.descriptor, annotations={})
    assert read_marks(bare, PLACE) is None
    assert read_marks(marked(bare, None, LAYER.diff_id), PLACE) is None


def test_annotations_of_others_do_not_come_along() -> None:
    read = read_marks(LAYER.descriptor.annotated(made_by="somebody"), PLACE)
    assert read is not None
    assert read.descriptor == LAYER.descriptor


@pytest.mark.parametrize(
    "lie",
    [
        {LAYER_KEY: str(digest("other"))},
        {LAYER_DIFF_ID: str(digest("other"))},
        {LAYER_SEAL: str(digest("other"))},
        {LAYER_KEY: "sha256:1234"},
        {LAYER_KEY: ""},
        {LAYER_DIFF_ID: "md5:00"},
        {LAYER_SEAL: ""},
    ],
)
def test_a_wrong_annotation(lie: dict[str, str]) -> None:
    with pytest.raises(ContentError, match="annotations of layer"):
        read_marks(LAYER.descriptor.annotated(**lie), PLACE)


@pytest.mark.parametrize(
    "change",
    [
        {"size": 101},
        {"digest": digest("other")},
        {"media_type": media.OCI_LAYER_ZSTD},
        {"media_type": media.OCI_CONFIG},
        {"media_type": media.DOCKER_LAYER},
    ],
)
def test_annotations_of_another_layer(change: dict[str, object]) -> None:
    with pytest.raises(ContentError):
        read_marks(replace(LAYER.descriptor, **change), PLACE)  # type: ignore[arg-type]


@pytest.mark.parametrize("gone", [LAYER_DIFF_ID, LAYER_SEAL])
def test_a_missing_annotation(gone: str) -> None:
    annotations = {name: value for name, value in LAYER.descriptor.annotations.items() if name != gone}
    with pytest.raises(ContentError):
        read_marks(replace(LAYER.descriptor, annotations=annotations), PLACE)


def test_the_config_has_another_diff_id() -> None:
    with pytest.raises(ContentError) as caught:
        read_marks(LAYER.descriptor, PLACE, digest("other"))
    assert str(digest("other")) in caught.value.why
