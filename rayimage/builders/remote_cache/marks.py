"""What a layer's descriptor says of the layer, so that a later build knows it from a manifest alone.

Three annotations: the key (what the layer is made of), the diffID, and a seal over these and the descriptor itself.
The seal is no signature, anybody can make one. It is for tools that copy annotations to what is another layer: skopeo
that recompresses while it copies, crane that mutates or flattens an image.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from rayimage.errors import ContentError, RayimageError
from rayimage.model import media
from rayimage.model.descriptor import Descriptor
from rayimage.model.digest import Digest
from rayimage.model.manifest import canonical_json
from rayimage.model.reference import Reference

__all__ = ["LAYER_DIFF_ID", "LAYER_KEY", "LAYER_SEAL", "KnownLayer", "Stored", "marked", "read_marks"]

LAYER_KEY: Final = "io.rayimage.layer.key"
LAYER_DIFF_ID: Final = "io.rayimage.layer.diff-id"
LAYER_SEAL: Final = "io.rayimage.layer.seal"


@dataclass(frozen=True, slots=True)
class Stored:
    """A blob, and the repository that has it."""

    descriptor: Descriptor
    place: Reference


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownLayer:
    """A layer that a manifest in the repository ``place`` tells of; ``descriptor`` has the marks."""

    key: Digest
    descriptor: Descriptor
    diff_id: Digest
    place: Reference
    record: Stored | None = None
    """The blob that lists the layer's files."""


def marked(descriptor: Descriptor, key: Digest | None, diff_id: Digest) -> Descriptor:
    """``descriptor`` with what there is to say of the layer; a layer without a key is not found again."""
    if key is None:
        return descriptor.annotated(**{LAYER_DIFF_ID: str(diff_id)})
    marks = {LAYER_KEY: str(key), LAYER_DIFF_ID: str(diff_id), LAYER_SEAL: _seal(descriptor, key, diff_id)}
    return descriptor.annotated(**marks)


def read_marks(descriptor: Descriptor, place: Reference, diff_id: Digest | None = None) -> KnownLayer | None:
    """The layer that ``descriptor`` tells of, None when it has no key.

    ``diff_id`` is what the image's config says, where there is one. Raises ContentError when the marks contradict it,
    the descriptor or each other.
    """
    if LAYER_KEY not in descriptor.annotations:
        return None
    try:
        key = Digest.parse(descriptor.annotations[LAYER_KEY])
        marked_diff_id = Digest.parse(descriptor.annotations[LAYER_DIFF_ID])
    except (KeyError, RayimageError) as error:
        raise _lie(descriptor, "its key or diffID is missing or malformed") from error
    bare = replace(descriptor, annotations={})
    if bare.media_type not in media.LAYERS:
        raise _lie(descriptor, f"{bare.media_type!r} is no media type of layers made here")
    if diff_id is not None and diff_id != marked_diff_id:
        raise _lie(descriptor, f"its diffID is {marked_diff_id} by its annotation, {diff_id} by the image's config")
    if descriptor.annotations.get(LAYER_SEAL) != _seal(bare, key, marked_diff_id):
        raise _lie(descriptor, "key, diffID, digest, size and media type are not those that were written together")
    return KnownLayer(key=key, descriptor=marked(bare, key, marked_diff_id), diff_id=marked_diff_id, place=place)


def _seal(descriptor: Descriptor, key: Digest, diff_id: Digest) -> str:
    parts = [str(key), str(diff_id), descriptor.media_type, str(descriptor.digest), descriptor.size]
    return str(Digest.of(canonical_json(parts)))


def _lie(descriptor: Descriptor, why: str) -> ContentError:
    return ContentError(f"the annotations of layer {descriptor.digest.short} are wrong", why=why)
