"""Finished layers on this machine, by key.

    <root>/layers/<key>.json     descriptor, diffID, unpacked size, files, packages
    <root>/blobs/sha256/<hex>    the layer; two keys may share one
    <root>/partial/<key>         being written, by whoever holds <root>/locks/<key>

A record appears, in one step, after its blob has: what a killed run leaves is a partial file, which nothing reads and
the next run overwrites.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock
from packaging.utils import canonicalize_name
from packaging.version import Version

from rayimage.errors import ContentError, RayimageError
from rayimage.files import write_atomic
from rayimage.layers.layer import FileInLayer, Layer, WheelMetadata
from rayimage.model.descriptor import Descriptor
from rayimage.model.digest import Digest
from rayimage.model.manifest import canonical_json

__all__ = ["LayerCache"]


class LayerCache:
    """Layers below the directory ``root``, which need not exist. Safe for threads and processes at once."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def get(self, key: Digest) -> Layer | None:
        """The layer of ``key``; None if there is none, its blob is gone or cut short, or its record is damaged.

        The blob is not read: whoever sends it compares its digest.
        """
        try:
            data = json.loads(self._record(key).read_bytes())
            layer = _from_json(data, self.root)
            whole = layer.path.stat().st_size == layer.descriptor.size
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RayimageError):
            return None
        return layer if whole else None

    def build(self, key: Digest, write: Callable[[Path], Layer]) -> Layer:
        """The layer of ``key``, made by ``write`` (which is given the file to write) unless it is there.

        Of several callers at once one writes and the others wait for it. What ``write`` raises passes through, but
        for OSError: RayimageError, since the disk is full or the directory is not writable.
        """
        try:
            for name in ("locks", "partial", "layers", "blobs/sha256"):
                (self.root / name).mkdir(parents=True, exist_ok=True)
            with FileLock(self.root / "locks" / key.hex):
                return self.get(key) or self._add(key, write)
        except OSError as error:
            raise RayimageError(
                f"cannot write a layer to {self.root}",
                why=error.strerror or str(error),
                fix="make room, or choose another cache directory",
            ) from error

    @contextmanager
    def open(self, layer: Layer) -> Iterator[BinaryIO]:
        """The bytes of ``layer``, for someone who raises ContentError when they are not its digest's.

        If that is the file's fault, it leaves the cache, or every later build would fail on it again.
        """
        with layer.path.open("rb") as stream:
            try:
                yield stream
            except ContentError as error:
                if _digest(layer.path) == layer.descriptor.digest:
                    raise
                layer.path.unlink(missing_ok=True)
                raise ContentError(
                    f"layer {layer.descriptor.digest} was damaged in the cache",
                    why=f"{layer.path} had other bytes than those that were written",
                    fix="run the same command again: the file is gone and will be made anew; then check the disk",
                ) from error

    def _add(self, key: Digest, write: Callable[[Path], Layer]) -> Layer:
        partial = self.root / "partial" / key.hex
        try:
            written = write(partial)
            layer = replace(written, path=self._blob(written.descriptor.digest))
            partial.replace(layer.path)
        finally:
            partial.unlink(missing_ok=True)
        write_atomic(self._record(key), canonical_json(_to_json(layer)), mode=0o644)
        return layer

    def _record(self, key: Digest) -> Path:
        return self.root / "layers" / f"{key.hex}.json"

    def _blob(self, digest: Digest) -> Path:
        return self.root / "blobs" / "sha256" / digest.hex


def _digest(path: Path) -> Digest:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return Digest(digest.hexdigest())


def _to_json(layer: Layer) -> dict[str, Any]:
    return {
        "descriptor": layer.descriptor.to_json(),
        "diffID": str(layer.diff_id),
        "unpackedSize": layer.unpacked_size,
        "files": [[file.path, file.digest] for file in layer.files],
        "packages": [
            [each.filename, each.name, str(each.version), each.requires_python, list(each.requires)]
            for each in layer.packages
        ],
    }


def _from_json(data: dict[str, Any], root: Path) -> Layer:
    descriptor = Descriptor.from_json(data["descriptor"])
    return Layer(
        descriptor=descriptor,
        diff_id=Digest.parse(data["diffID"]),
        unpacked_size=int(data["unpackedSize"]),
        path=root / "blobs" / "sha256" / descriptor.digest.hex,
        files=tuple(FileInLayer(str(path), str(digest)) for path, digest in data["files"]),
        packages=tuple(
            WheelMetadata(
                filename=str(filename),
                name=canonicalize_name(name),
                version=Version(version),
                requires_python=str(requires_python),
                requires=tuple(map(str, requires)),
            )
            for filename, name, version, requires_python, requires in data["packages"]
        ),
    )
