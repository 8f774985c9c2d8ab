"""What a finished layer is, and what its key is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from rayimage.layers.zstd_frames import zstd_identity
from rayimage.model.descriptor import Descriptor
from rayimage.model.digest import Digest
from rayimage.model.layering import Compression
from rayimage.model.manifest import canonical_json

__all__ = ["LAYER_FORMAT", "FileInLayer", "Layer", "WheelMetadata", "WheelOnDisk", "key_of"]

LAYER_FORMAT: Final = 1
"""Version of the bytes that this room writes (README.md beside this file). Whoever changes one of them, changes this:
it is part of every key, so that a layer of the old format is never taken for one of the new."""


@dataclass(frozen=True, slots=True)
class FileInLayer:
    """A regular file or symbolic link that a layer writes.

    ``path`` is absolute in the image; ``digest`` is written as in RECORD, ``sha256=<urlsafe base64>``, and ``""`` if
    there is none (symbolic links).
    """

    path: str
    digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelMetadata:
    """What a wheel says about itself in METADATA; ``filename`` is the wheel's.

    ``requires`` are its ``Requires-Dist`` lines and ``requires_python`` is its ``Requires-Python``, both as written.
    """

    filename: str
    name: NormalizedName
    version: Version
    requires: tuple[str, ...] = ()
    requires_python: str = ""

    def to_json(self) -> list[object]:
        """As a row of a record; ``from_json`` reads it."""
        return [self.filename, self.name, str(self.version), self.requires_python, list(self.requires)]

    @classmethod
    def from_json(cls, row: Sequence[Any]) -> WheelMetadata:
        """A row that ``to_json`` made; raises ValueError, TypeError or AttributeError for what is none."""
        filename, name, version, requires_python, requires = row
        return cls(
            filename=str(filename),
            name=canonicalize_name(name),
            version=Version(version),
            requires_python=str(requires_python),
            requires=tuple(map(str, requires)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A finished layer on disk.

    ``descriptor`` is of the compressed bytes at ``path``, ``diff_id`` and ``unpacked_size`` are of the tar within;
    ``files`` is sorted by path. ``packages`` are the wheels in it, sorted by file name.
    """

    descriptor: Descriptor
    diff_id: Digest
    unpacked_size: int
    path: Path
    files: tuple[FileInLayer, ...]
    packages: tuple[WheelMetadata, ...] = ()


@dataclass(frozen=True, slots=True)
class WheelOnDisk:
    """A wheel whose digest the caller has verified.

    ``filename`` is the wheel's own name: ``path`` may be named after its content.
    """

    path: Path
    filename: str
    digest: Digest


def key_of(kind: str, compression: Compression, **parts: object) -> Digest:
    """The key of a layer of ``kind``: a digest of JSON ``parts``, of the layer format, and of what zstd depends on."""
    if compression == "zstd":
        parts["zstd"] = zstd_identity()
    return Digest.of(canonical_json({"format": LAYER_FORMAT, "kind": kind, **parts}))
