"""Plans and built images out of thin air."""

from __future__ import annotations

import io

from rich.console import Console

from rayimage.builders.direct import BuiltImage, BuiltLayer
from rayimage.image.assemble import AssembledImage
from rayimage.image.plan import ConfigChange, ImagePlan, LayerKind, LayerSpec
from rayimage.model import media
from rayimage.model.content import Blob
from rayimage.model.descriptor import Descriptor
from rayimage.model.image_config import ImageConfig
from rayimage.model.manifest import Manifest
from rayimage.model.platform import Platform
from tests.support.values import AMD64, digest


def plan(role: str, *layers: LayerSpec, platform: Platform = AMD64) -> ImagePlan:
    """A plan on the base ``ray:x``."""
    return ImagePlan(
        role=role,
        platform=platform,
        base="ray:x",
        base_digest=digest("base"),
        layers=layers,
        config=ConfigChange(created="2026-01-01T00:00:00Z", workdir="/app"),
    )


def spec(title: str, kind: LayerKind = LayerKind.WHEELS) -> LayerSpec:
    """A layer whose key is made of its title."""
    return LayerSpec(kind=kind, title=title, key=digest(title))


def layer(title: str, size: int = 1000, kind: LayerKind = LayerKind.WHEELS, *, cached: bool = False) -> BuiltLayer:
    """A layer whose content is its title."""
    descriptor = Descriptor(media_type=media.OCI_LAYER_GZIP, digest=digest(title), size=size)
    return BuiltLayer(kind=kind, title=title, descriptor=descriptor, cached=cached)


def built(role: str, *layers: BuiltLayer, platform: Platform = AMD64) -> BuiltImage:
    """An image of ``layers``."""
    config = Descriptor(media_type=media.OCI_CONFIG, digest=digest(f"config {role} {platform}"), size=100)
    descriptors = tuple(each.descriptor for each in layers)
    raw = b'{"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": []}}'
    return BuiltImage(
        plan=plan(role, platform=platform),
        image=AssembledImage(
            manifest=Manifest.build(config=config, layers=descriptors, annotations={}), config=ImageConfig.parse(raw)
        ),
        layers=layers,
        blobs=tuple(Blob(descriptor=each, open=lambda: io.BytesIO(b"")) for each in (*descriptors, config)),
    )


def console(width: int = 140) -> tuple[Console, io.StringIO]:
    """A console that is no terminal, and what is written to it."""
    out = io.StringIO()
    return Console(file=out, width=width), out
