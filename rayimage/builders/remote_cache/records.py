"""What is known of a layer besides its bytes, as gzipped JSON: files, to compare with others', and packages.

A record repeats whose it is, so that one that was hung on another layer is noticed.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rayimage.builders.remote_cache.marks import KnownLayer
from rayimage.layers import FileInLayer, WheelMetadata
from rayimage.model.descriptor import Descriptor
from rayimage.model.digest import Digest
from rayimage.model.manifest import canonical_json

__all__ = [
    "BaseDocuments",
    "PushedLayer",
    "Record",
    "read_base",
    "read_packages",
    "read_record",
    "write_base",
    "write_packages",
    "write_record",
]

_MOST_BYTES: Final = 256 << 20
"""Unpacked; the files of a layer of a million files take less."""
_DAMAGE: Final = (KeyError, TypeError, AttributeError, RecursionError)


@dataclass(frozen=True, slots=True)
class Record:
    """The files of a layer, and what the wheels in it say about themselves."""

    files: tuple[FileInLayer, ...]
    packages: tuple[WheelMetadata, ...]


@dataclass(frozen=True, slots=True)
class BaseDocuments:
    """The manifest of an image and its config, as received."""

    manifest: bytes
    config: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class PushedLayer:
    """A wheel layer that the repository has now; ``record`` if this build knows it."""

    key: Digest
    descriptor: Descriptor
    diff_id: Digest
    record: Record | None


def write_record(layer: KnownLayer, record: Record) -> bytes:
    """The bytes of the ``record`` of ``layer``."""
    files = [[file.path, file.digest] for file in record.files]
    return _pack({**_identity(layer), "files": files, "packages": [package.to_json() for package in record.packages]})


def read_record(raw: bytes, layer: KnownLayer) -> Record:
    """The record of ``layer``; raises ValueError when it is damaged or another layer's."""
    try:
        data = json.loads(_unpack(raw))
        files = tuple(FileInLayer(str(path), str(digest)) for path, digest in data.pop("files"))
        packages = tuple(map(WheelMetadata.from_json, data.pop("packages")))
    except _DAMAGE as error:
        raise ValueError(f"it is no record: {error!r}") from error
    if data != _identity(layer):
        raise ValueError("it is the record of another layer")
    if any(not file.path.startswith("/") for file in files):
        raise ValueError("it has paths that are not absolute")
    return Record(files, packages)


def write_packages(name: Digest, packages: Sequence[WheelMetadata]) -> bytes:
    """What all wheels of one image say about themselves, under the ``name`` of what was compared."""
    return _pack({"name": str(name), "packages": [package.to_json() for package in packages]})


def read_packages(raw: bytes, name: Digest) -> tuple[WheelMetadata, ...]:
    """What ``write_packages`` wrote; raises ValueError when it is damaged or another image's."""
    try:
        data = json.loads(_unpack(raw))
        packages = tuple(map(WheelMetadata.from_json, data["packages"]))
        found = data["name"]
    except _DAMAGE as error:
        raise ValueError(f"it is no list of packages: {error!r}") from error
    if found != str(name):
        raise ValueError("it is another image's")
    return packages


def write_base(documents: BaseDocuments) -> bytes:
    """Manifest and config of a base, each byte a character: they are kept as they were received."""
    return _pack({"manifest": documents.manifest.decode("latin-1"), "config": documents.config.decode("latin-1")})


def read_base(raw: bytes) -> BaseDocuments:
    """What ``write_base`` wrote; raises ValueError when it is damaged."""
    try:
        data = json.loads(_unpack(raw))
        return BaseDocuments(data["manifest"].encode("latin-1"), data["config"].encode("latin-1"))
    except _DAMAGE as error:
        raise ValueError(f"it is no base: {error!r}") from error


def _pack(data: object) -> bytes:
    return gzip.compress(canonical_json(data), compresslevel=6, mtime=0)


def _unpack(raw: bytes) -> bytes:
    """The content of gzip bytes; raises ValueError when it is more than ``_MOST_BYTES``, or damaged."""
    inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        data = inflater.decompress(raw, _MOST_BYTES)
    except zlib.error as error:
        raise ValueError(f"it is damaged: {error}") from error
    if not inflater.eof:
        raise ValueError("it is cut short, or longer than it may be")
    return data


def _identity(layer: KnownLayer) -> dict[str, object]:
    return {
        "key": str(layer.key),
        "diffID": str(layer.diff_id),
        "digest": str(layer.descriptor.digest),
        "size": layer.descriptor.size,
    }
