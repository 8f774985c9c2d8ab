"""Finished layers on this machine, by key.

    <root>/layers/<key>          descriptor, diffID, unpacked size, files, packages
    <root>/blobs/sha256/<hex>    the layer; two keys may share one

A record appears, in one step, after its blob has: what a killed run leaves is a partial file, which nothing reads.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from rayimage.cachedir import CacheDir, Kind, Room, cannot_write
from rayimage.errors import ContentError, RayimageError
from rayimage.layers.layer import FileInLayer, Layer, WheelMetadata
from rayimage.model.descriptor import Descriptor
from rayimage.model.digest import Digest
from rayimage.model.manifest import canonical_json

__all__ = ["LayerCache"]

Write = Callable[[Path], Layer]


class LayerCache:
    """Layers below the directory ``root``, which need not exist. Safe for threads and processes at once.

    ``room`` is where layers go that ``root`` has no room for, for as long as the command runs.
    """

    def __init__(self, root: Path, room: Room | None = None) -> None:
        self.root = root
        self._room = room or Room(root)

    def get(self, key: Digest) -> Layer | None:
        """The layer of ``key``; None if there is none, its blob is gone or cut short, or its record is damaged.

        The blob is not read: whoever sends it compares its digest, and ``mend`` makes it anew.
        """
        return next(filter(None, (_find(place, key) for place in self._room.places)), None)

    def build(self, key: Digest, write: Write) -> Layer:
        """The layer of ``key``, made by ``write`` (which is given the file to write) unless it is there.

        Of several callers at once one writes and the others wait for it. What ``write`` raises passes through, but
        for OSError: RayimageError, since there is no room, neither in the cache nor in a temporary directory.
        """
        place = CacheDir(self.root)
        try:
            try:
                return self._build(place, key, write)
            except OSError as error:
                place = self._room.after(error)
                return self._build(place, key, write)
        except OSError as error:
            raise cannot_write("a layer", place.root, error) from error

    def mend(self, layer: Layer, key: Digest, write: Write) -> bool:
        """Make ``layer`` anew if its file is gone or has other bytes than were written; whether that was so.

        Raises what ``build`` raises, and ContentError when something else comes of it now: the source has changed.
        """
        if _is_whole(layer):
            return False
        layer.path.unlink(missing_ok=True)
        if self.build(key, write).descriptor.digest != layer.descriptor.digest:
            raise ContentError(
                f"layer {layer.descriptor.digest} was damaged in the cache, and cannot be made again",
                why="what it is made from has changed since this build began",
                fix="run the same command again",
            )
        return True

    @contextmanager
    def open(self, layer: Layer) -> Iterator[BinaryIO]:
        """The bytes of ``layer``, for someone who raises ContentError when they are not its digest's.

        If that is the file's fault, it leaves the cache, or every later build would fail on it again.
        """
        try:
            stream = layer.path.open("rb")
        except OSError as error:
            raise _damaged(layer, f"{layer.path}: {error.strerror or error}") from error
        with stream:
            try:
                yield stream
            except ContentError as error:
                if _is_whole(layer):
                    raise
                layer.path.unlink(missing_ok=True)
                raise _damaged(layer, f"{layer.path} had other bytes than those that were written") from error

    def _build(self, place: CacheDir, key: Digest, write: Write) -> Layer:
        with place.lock(f"layer-{key.hex}"):
            return self.get(key) or self._add(place, key, write)

    def _add(self, place: CacheDir, key: Digest, write: Write) -> Layer:
        with place.scratch("layer") as scratch:
            partial = scratch / "layer"
            written = write(partial)
            layer = replace(written, path=_blob(place, written.descriptor.digest))
            layer.path.parent.mkdir(parents=True, exist_ok=True)
            partial.replace(layer.path)
        place.write_sealed(_record(place, key), canonical_json(_to_json(layer)))
        if place.root == self.root:
            self._room.added(layer.descriptor.size)
        return layer


def _find(place: CacheDir, key: Digest) -> Layer | None:
    data = place.read_sealed(_record(place, key))
    if data is None:
        return None
    try:
        layer = _from_json(json.loads(data), place)
        there = place.use(layer.path) and layer.path.stat().st_size == layer.descriptor.size
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RayimageError):
        return None
    return layer if there else None


def _record(place: CacheDir, key: Digest) -> Path:
    return place.path(Kind.LAYERS, key.hex)


def _blob(place: CacheDir, digest: Digest) -> Path:
    return place.path(Kind.BLOBS, digest.hex)


def _is_whole(layer: Layer) -> bool:
    try:
        return Digest.of_file(layer.path) == layer.descriptor.digest
    except OSError:
        return False


def _damaged(layer: Layer, why: str) -> ContentError:
    return ContentError(
        f"layer {layer.descriptor.digest} was damaged in the cache",
        why=why,
        fix="run the same command again: the file is gone and will be made anew; then check the disk",
    )


def _to_json(layer: Layer) -> dict[str, Any]:
    return {
        "descriptor": layer.descriptor.to_json(),
        "diffID": str(layer.diff_id),
        "unpackedSize": layer.unpacked_size,
        "files": [[file.path, file.digest] for file in layer.files],
        "packages": [package.to_json() for package in layer.packages],
    }


def _from_json(data: dict[str, Any], place: CacheDir) -> Layer:
    descriptor = Descriptor.from_json(data["descriptor"])
    return Layer(
        descriptor=descriptor,
        diff_id=Digest.parse(data["diffID"]),
        unpacked_size=int(data["unpackedSize"]),
        path=_blob(place, descriptor.digest),
        files=tuple(FileInLayer(str(path), str(digest)) for path, digest in data["files"]),
        packages=tuple(map(WheelMetadata.from_json, data["packages"])),
    )
