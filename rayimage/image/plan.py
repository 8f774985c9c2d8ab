"""The plan of a build: a pure value that can be printed, hashed and executed. Dry run is "stop after plan"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from rayimage.model.digest import Digest
from rayimage.model.layering import Compression
from rayimage.model.lock import LockedWheel
from rayimage.model.platform import Platform

__all__ = ["ConfigChange", "ImagePlan", "LayerKind", "LayerSpec"]


class LayerKind(Enum):
    """What a layer does, in the order in which layers lie on each other."""

    BASE = "base"
    REMOVAL = "removal"
    WHEELS = "wheels"
    CODE = "code"
    DIRECTORIES = "directories"


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSpec:
    """One layer to be made; ``key`` names its content before it exists, None when that takes building a wheel."""

    kind: LayerKind
    title: str
    key: Digest | None
    wheels: tuple[LockedWheel, ...] = ()
    paths: tuple[str, ...] = ()
    """Removal and directories: absolute paths in the image. Code: paths relative to the project, POSIX style."""

    @property
    def size_hint(self) -> int:
        """Bytes to expect: the wheels' own sizes, 0 where nothing is known."""
        return sum(wheel.size or 0 for wheel in self.wheels)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigChange:
    """What the image config gets beyond the base's."""

    created: str
    """RFC 3339, UTC: the commit's time or SOURCE_DATE_EPOCH, never now."""
    workdir: str
    env: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePlan:
    """One image: base + ordered layer specs + config changes, for a role and a platform."""

    role: str
    platform: Platform
    base: str
    base_digest: Digest
    layers: tuple[LayerSpec, ...]
    config: ConfigChange
    compression: Compression = "gzip"
    """Of the layers that are made; the base's stay as they are."""

    @property
    def label(self) -> str:
        """``role linux/amd64``, for people."""
        return f"{self.role} {self.platform}"
