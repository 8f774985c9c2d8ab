"""Manifests and indexes: the bytes as received, beside a parsed view.

A digest is of bytes received, so nothing here is ever re-serialised (go-containerregistry keeps ``RawManifest``
beside ``Manifest`` for the same reason). What this tool writes is built once, as canonical JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rayimage.errors import ContentError
from rayimage.model import media
from rayimage.model.descriptor import Descriptor
from rayimage.model.digest import Digest
from rayimage.model.platform import Platform

__all__ = ["Index", "Manifest", "canonical_json", "parse_manifest"]


def canonical_json(data: object) -> bytes:
    """UTF-8 JSON with sorted keys and no white space: the same value is the same bytes everywhere."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One image (or artifact): config and layers, bottom layer first."""

    raw: bytes
    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str]

    @classmethod
    def build(
        cls,
        *,
        config: Descriptor,
        layers: tuple[Descriptor, ...],
        annotations: Mapping[str, str],
        artifact_type: str = "",
    ) -> Manifest:
        """A new OCI image manifest; with a type, one of an artifact that is no image."""
        data = {
            "schemaVersion": 2,
            "mediaType": media.OCI_MANIFEST,
            "config": config.to_json(),
            "layers": [layer.to_json() for layer in layers],
            "annotations": dict(annotations),
            **({"artifactType": artifact_type} if artifact_type else {}),
        }
        raw = canonical_json(data)
        return cls(raw=raw, media_type=media.OCI_MANIFEST, config=config, layers=layers, annotations=annotations)

    @property
    def digest(self) -> Digest:
        """The digest of the raw bytes."""
        return Digest.of(self.raw)

    @property
    def descriptor(self) -> Descriptor:
        """A descriptor of this manifest, for an index."""
        return Descriptor(media_type=self.media_type, digest=self.digest, size=len(self.raw))


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """A list of manifests, one per platform (OCI image index or Docker manifest list)."""

    raw: bytes
    media_type: str
    manifests: tuple[Descriptor, ...]
    annotations: Mapping[str, str]

    @classmethod
    def build(cls, *, manifests: tuple[Descriptor, ...], annotations: Mapping[str, str]) -> Index:
        """A new OCI image index."""
        data = {
            "schemaVersion": 2,
            "mediaType": media.OCI_INDEX,
            "manifests": [manifest.to_json() for manifest in manifests],
            "annotations": dict(annotations),
        }
        return cls(raw=canonical_json(data), media_type=media.OCI_INDEX, manifests=manifests, annotations=annotations)

    @property
    def digest(self) -> Digest:
        """The digest of the raw bytes."""
        return Digest.of(self.raw)

    @property
    def descriptor(self) -> Descriptor:
        """A descriptor of this index."""
        return Descriptor(media_type=self.media_type, digest=self.digest, size=len(self.raw))

    def select(self, platform: Platform) -> Descriptor | None:
        """The child for ``platform``; BuildKit's ``unknown/unknown`` attestation manifests never match."""
        return next((m for m in self.manifests if m.platform and platform.matches(m.platform)), None)


def parse_manifest(raw: bytes, media_type: str = "") -> Manifest | Index:
    """Read manifest bytes; the body's own ``mediaType`` wins over ``media_type`` (the HTTP header).

    Raises ContentError for anything that is neither an image manifest nor an index, schema 1 included.
    """
    try:
        data: dict[str, Any] = json.loads(raw)
        kind = str(data.get("mediaType") or media_type.partition(";")[0].strip())
        annotations = {str(k): str(v) for k, v in (data.get("annotations") or {}).items()}
        if kind in media.INDEXES or (not kind and "manifests" in data):
            manifests = tuple(Descriptor.from_json(child) for child in data["manifests"])
            return Index(raw=raw, media_type=kind or media.OCI_INDEX, manifests=manifests, annotations=annotations)
        if kind in media.MANIFESTS or (not kind and "layers" in data):
            return Manifest(
                raw=raw,
                media_type=kind or media.OCI_MANIFEST,
                config=Descriptor.from_json(data["config"]),
                layers=tuple(Descriptor.from_json(layer) for layer in data["layers"]),
                annotations=annotations,
            )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ContentError("malformed image manifest", why=repr(error)) from error
    raise ContentError(
        "not an image manifest",
        why=f"media type {kind!r} is not supported",
        fix="use an image in OCI or Docker schema 2 format; re-push very old (schema 1) images",
    )
