"""From what the user calls a base to one image manifest, for one platform, and the place to read it from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from rayimage.errors import BaseImageError, ContentError
from rayimage.model.content import ContentSource
from rayimage.model.digest import Digest
from rayimage.model.image_config import ImageConfig
from rayimage.model.manifest import Index, Manifest
from rayimage.model.platform import Platform
from rayimage.model.reference import Reference

__all__ = ["OpenRepository", "ResolvedBase", "SourceRepository", "resolve_base"]

_LAYOUT: Final = "oci:"
_CONFIG_LIMIT: Final = 16 << 20
"""Bytes; image configs are of a few kilobytes, and are held in memory."""


class SourceRepository(ContentSource, Protocol):
    """A repository of a registry, to read from."""

    def find_manifest(self, target: str) -> Manifest | Index | None:
        """As ``get_manifest``, but None when there is no such manifest."""
        ...


OpenRepository = Callable[[Reference], SourceRepository]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedBase:
    """A base for one platform: what it is, and where its blobs can be read."""

    text: str
    """As the user wrote it."""
    name: str
    """For the annotation ``org.opencontainers.image.base.name``; never a path of this machine."""
    digest: Digest
    """Of the image manifest for the platform, not of an index."""
    index_digest: Digest | None
    platform: Platform
    manifest: Manifest
    config: ImageConfig
    source: ContentSource
    origin: Reference | None
    """The repository that it was found in, to mount blobs from; None for a layout."""
    made_on: Digest | None = None
    """Where its upper layers were made by rayimage, the digest of the image below them: as a whole it is in no
    repository then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """What the text of a base means, before the platform is chosen."""

    name: str
    root: Manifest | Index
    source: ContentSource
    origin: Reference | None


def resolve_base(
    text: str, platform: Platform, *, root: Path, open_repository: OpenRepository | None = None
) -> ResolvedBase:
    """The base that ``text`` names: an image reference, or ``oci:DIR[:TAG]`` with DIR relative to ``root``.

    ``oci:DIR@sha256:…`` names an image of a layout by digest. ``open_repository`` is
    ``rayimage.registry.open_repository`` unless given. Raises BaseImageError when there is no such image or none
    for ``platform``, UsageError when ``text`` does not parse, AuthError, RegistryError, ContentError.
    """
    place = _in_layout(text, root) if text.startswith(_LAYOUT) else _in_registry(text, open_repository)
    manifest = _for_platform(text, place, platform)
    config = _read_config(text, place.source, manifest)
    if not platform.matches(config.platform):
        raise BaseImageError(
            f"base {text} is not for {platform}",
            why=f"it is an image for {config.platform}",
            fix=_platform_fix(platform),
        )
    return ResolvedBase(
        text=text,
        name=place.name,
        digest=manifest.digest,
        index_digest=place.root.digest if isinstance(place.root, Index) else None,
        platform=platform,
        manifest=manifest,
        config=config,
        source=place.source,
        origin=place.origin,
    )


def _in_registry(text: str, open_repository: OpenRepository | None) -> _Place:
    reference = Reference.parse(text)
    source = (open_repository or _registry)(reference.name)
    found = source.find_manifest(reference.target)
    if found is None:
        raise BaseImageError(
            f"base {text} does not exist",
            why=f"{reference.registry} answered that {reference.repository} has no {reference.target} (404)",
            fix="check the tag; tags of Ray are VERSION-pyXY[-cpu|-gpu|-cuNNN][-aarch64], and old ones get removed",
        )
    tail = f":{reference.tag or 'latest'}" if reference.tag or not reference.digest else f"@{reference.digest}"
    name = f"{reference.registry}/{reference.repository}{tail}"
    return _Place(name=name, root=found, source=source, origin=reference.name)


def _registry(name: Reference) -> SourceRepository:
    from rayimage.registry import open_repository

    return open_repository(name)


def _in_layout(text: str, root: Path) -> _Place:
    from rayimage.image.layout import OciLayout

    path, target = _split_layout(text.removeprefix(_LAYOUT), root)
    if not path.is_dir():
        raise BaseImageError(
            f"base {text} does not exist",
            why=f"there is no directory {path}",
            fix=f"name an OCI image layout as oci:DIR[:TAG], relative to {root}",
        )
    layout = OciLayout(path)
    tail = f"@{target}" if target.startswith("sha256:") else f":{target}" if target else ""
    return _Place(name=f"{path.resolve().name}{tail}", root=layout.get_manifest(target), source=layout, origin=None)


def _split_layout(text: str, root: Path) -> tuple[Path, str]:
    """``DIR``, ``DIR@sha256:…`` or ``DIR:TAG``; a colon belongs to DIR only if a directory of that name exists."""
    directory, at, digest = text.partition("@sha256:")
    if at and not (root / text).is_dir():
        return root / directory, f"sha256:{digest}"
    directory, colon, tag = text.rpartition(":")
    if colon and not (root / text).is_dir():
        return root / directory, tag
    return root / text, ""


def _for_platform(text: str, place: _Place, platform: Platform) -> Manifest:
    if isinstance(place.root, Manifest):
        return place.root
    child = place.root.select(platform)
    if child is None:
        # BuildKit lists its attestations as images for unknown/unknown.
        known = sorted({str(m.platform) for m in place.root.manifests if m.platform and m.platform.os != "unknown"})
        raise BaseImageError(
            f"base {text} is not there for {platform}",
            why=f"platforms there are: {', '.join(known) or 'none that are named'}",
            fix=_platform_fix(platform),
        )
    manifest = place.source.get_manifest(str(child.digest))
    if isinstance(manifest, Index):
        raise BaseImageError(f"base {text} cannot be used", why="its index leads to an index, not to an image")
    return manifest


def _read_config(text: str, source: ContentSource, manifest: Manifest) -> ImageConfig:
    if manifest.config.size > _CONFIG_LIMIT:
        raise ContentError(f"base {text} cannot be used", why=f"its config is of {manifest.config.size} bytes")
    with source.open_blob(manifest.config) as stream:
        config = ImageConfig.parse(b"".join(iter(lambda: stream.read(1 << 16), b"")))
    if len(config.diff_ids) != len(manifest.layers):
        raise ContentError(
            f"base {text} cannot be used",
            why=f"its manifest has {len(manifest.layers)} layers, its config {len(config.diff_ids)}",
        )
    return config


def _platform_fix(platform: Platform) -> str:
    arm = " (Ray's tags for arm64 end in -aarch64)" if platform.architecture == "arm64" else ""
    return f"choose a base for {platform}{arm}, or take {platform} out of platforms"
