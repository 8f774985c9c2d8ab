"""Proof that an image is whole: every digest, size and diffID agrees. Used by tests and by the product.

One ``validate`` that collects all mismatches, as in go-containerregistry's ``pkg/v1/validate``.
"""

from __future__ import annotations

import hashlib

from rayimage.errors import ContentError
from rayimage.image.unpack import damages, unpacked
from rayimage.model.content import ByteStream, ContentSource
from rayimage.model.image_config import ImageConfig
from rayimage.model.manifest import Index, Manifest

__all__ = ["validate"]

_BLOCK = 1 << 20


def validate(source: ContentSource, target: str) -> tuple[str, ...]:
    """Every mismatch in the image or index ``target`` of ``source``; an empty tuple when there is none.

    Reads every byte. Gzip, zstd and plain layers are unpacked for their diffID.
    """
    top = source.get_manifest(target)
    if isinstance(top, Manifest):
        return tuple(_problems(source, top))
    problems: list[str] = []
    for child in top.manifests:
        manifest = source.get_manifest(str(child.digest))
        if manifest.digest != child.digest:
            problems.append(f"{child.digest}: the manifest's bytes have digest {manifest.digest}")
        if len(manifest.raw) != child.size:
            problems.append(f"{child.digest}: the index says {child.size} bytes, the manifest has {len(manifest.raw)}")
        problems += ["an index within an index"] if isinstance(manifest, Index) else _problems(source, manifest)
    return tuple(problems)


def _problems(source: ContentSource, manifest: Manifest) -> list[str]:
    try:
        with source.open_blob(manifest.config) as stream:
            config = ImageConfig.parse(stream.read())
    except ContentError as error:
        return [f"config {manifest.config.digest}: {error}"]
    problems = []
    if len(config.diff_ids) != len(manifest.layers):
        problems.append(f"{len(manifest.layers)} layers but {len(config.diff_ids)} diffIDs")
    entries = [entry for entry in config.data.get("history") or () if not entry.get("empty_layer")]
    if entries and len(entries) != len(manifest.layers):
        problems.append(f"{len(manifest.layers)} layers but {len(entries)} history entries")
    failures: tuple[type[Exception], ...] = (ContentError, *damages())
    for layer, expected in zip(manifest.layers, config.diff_ids, strict=False):
        try:
            with source.open_blob(layer) as stream:
                found = _diff_id(stream, layer.media_type)
        except failures as error:
            problems.append(f"layer {layer.digest}: {error}")
            continue
        if found is not None and found != expected.hex:
            problems.append(f"layer {layer.digest}: diffID is sha256:{found}, the config says {expected}")
    return problems


def _diff_id(stream: ByteStream, media_type: str) -> str | None:
    """The digest of the unpacked layer; None for a compression that is not known. Reads to the end."""
    packed = media_type.endswith(("gzip", "zstd"))
    plain = unpacked(stream, media_type)
    digest = hashlib.sha256()
    while block := plain.read(_BLOCK):
        digest.update(block)
    while stream.read(_BLOCK):  # whatever follows the last gzip member, so that the blob's own digest is checked
        pass
    return digest.hexdigest() if packed or media_type.endswith("tar") else None
