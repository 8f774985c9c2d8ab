"""Base + layers → config, manifest, index. Pure: the base's manifest and config are all that is needed of it.

The base's layer descriptors are kept as they are (only Docker's names of media types become OCI's, the bytes and so
the digests stay), its diffIDs and history are extended, its environment, user and labels inherited.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from rayimage.errors import BaseImageError
from rayimage.image.plan import ConfigChange
from rayimage.model import media
from rayimage.model.descriptor import Descriptor
from rayimage.model.digest import Digest
from rayimage.model.image_config import ImageConfig
from rayimage.model.manifest import Index, Manifest, canonical_json
from rayimage.model.platform import Platform

__all__ = ["MAX_LAYERS", "AddedLayer", "AssembledImage", "assemble", "assemble_index", "check_count"]

MAX_LAYERS = 127
"""More layers than this do not mount: containerd's and Docker's limit (moby/moby#26380)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddedLayer:
    """A finished layer on top of the base, and its line in the image's history."""

    descriptor: Descriptor
    diff_id: Digest
    created_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AssembledImage:
    """The two documents that make an image out of layers."""

    manifest: Manifest
    config: ImageConfig

    @property
    def size(self) -> int:
        """Compressed bytes a node pulls when it has nothing: layers and config."""
        return self.manifest.config.size + sum(layer.size for layer in self.manifest.layers)


def assemble(
    base: Manifest, base_config: ImageConfig, added: Sequence[AddedLayer], change: ConfigChange
) -> AssembledImage:
    """Put ``added`` on ``base``, bottom first, and apply ``change``; the result is a function of the arguments alone.

    Raises BaseImageError when the base's manifest and config disagree, or when the layers are too many to run.
    """
    _check_layers(base, base_config, len(added))
    raw = canonical_json(_config_data(base_config.data, added, change))
    config = Descriptor(media_type=media.OCI_CONFIG, digest=Digest.of(raw), size=len(raw))
    inherited = tuple(replace(layer, media_type=media.as_oci(layer.media_type)) for layer in base.layers)
    manifest = Manifest.build(
        config=config,
        layers=inherited + tuple(layer.descriptor for layer in added),
        annotations={"org.opencontainers.image.created": change.created, **change.labels},
    )
    return AssembledImage(manifest=manifest, config=ImageConfig.parse(raw))


def assemble_index(images: Sequence[tuple[Platform, AssembledImage]]) -> Index:
    """One index over a role's images, sorted by platform; annotations that all images share are repeated on it."""
    ordered = sorted(images, key=lambda item: item[0])
    shared = set.intersection(*(set(image.manifest.annotations.items()) for _, image in ordered))
    children = tuple(replace(image.manifest.descriptor, platform=platform) for platform, image in ordered)
    return Index.build(manifests=children, annotations=dict(sorted(shared)))


def _check_layers(base: Manifest, config: ImageConfig, added: int) -> None:
    if len(base.layers) != len(config.diff_ids):
        raise BaseImageError(
            f"the base image {base.digest} contradicts itself",
            why=f"its manifest has {len(base.layers)} layers, its config {len(config.diff_ids)} diffIDs",
            fix="use another build of the base image",
        )
    check_count(len(base.layers), added)


def check_count(base: int, added: int) -> None:
    """Raise BaseImageError when ``added`` layers on those of the base are too many to run."""
    if base + added > MAX_LAYERS:
        raise BaseImageError(
            f"the image would have {base + added} layers",
            why=f"container runtimes mount at most {MAX_LAYERS}; the base alone has {base}",
            fix="use a base with fewer layers",
        )


def _config_data(data: dict[str, Any], added: Sequence[AddedLayer], change: ConfigChange) -> dict[str, Any]:
    runtime = dict(data.get("config") or {})
    env = dict(item.partition("=")[::2] for item in runtime.get("Env") or ()) | dict(change.env)
    runtime["Env"] = [f"{key}={value}" for key, value in env.items()]
    runtime["Labels"] = {**(runtime.get("Labels") or {}), **change.labels}
    runtime["WorkingDir"] = change.workdir
    history = _history(data, added, change.created)
    rootfs = {"type": "layers", "diff_ids": [*data["rootfs"]["diff_ids"], *(str(layer.diff_id) for layer in added)]}
    # Fields of the container that docker commit left behind, and host-made ids, mean nothing in a new image.
    kept = {k: v for k, v in data.items() if k not in ("container", "container_config", "id", "parent", "history")}
    changed = {"created": change.created, "config": runtime, "rootfs": rootfs}
    return kept | changed | ({"history": history} if history else {})


def _history(data: dict[str, Any], added: Sequence[AddedLayer], created: str) -> list[dict[str, Any]]:
    """The base's history extended; none at all when the base's own does not match its layers.

    Docker refuses an image whose non-empty history entries and layers differ in number.
    """
    inherited = list(data.get("history") or ())
    if sum(not entry.get("empty_layer") for entry in inherited) != len(data["rootfs"]["diff_ids"]):
        return []
    return inherited + [{"created": created, "created_by": layer.created_by} for layer in added]
