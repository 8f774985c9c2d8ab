"""A layer as it is written: both digests in one pass, in constant memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

from rayimage.layers.encode import Entry, encode
from rayimage.layers.layer import FileInLayer, Layer
from rayimage.layers.zstd_frames import zstd_frames
from rayimage.model import media
from rayimage.model.descriptor import Descriptor
from rayimage.model.digest import Digest
from rayimage.model.layering import Compression

__all__ = ["write_layer"]

_MEDIA_TYPES: Final[Mapping[Compression, str]] = {"gzip": media.OCI_LAYER_GZIP, "zstd": media.OCI_LAYER_ZSTD}


def write_layer(
    target: Path,
    entries: Iterable[Entry],
    files: Iterable[FileInLayer] = (),
    *,
    compression: Compression = "gzip",
    advance: Callable[[int], None] | None = None,
) -> Layer:
    """Write ``entries`` to the new file ``target``, which is removed again when that fails.

    ``files``, what the layer writes, is looked at when all entries are there. ``advance`` hears the bytes of compressed
    input that were read.
    """
    pieces = encode(entries, gzip=compression == "gzip")
    if compression == "zstd":
        pieces = zstd_frames(pieces)
    tar, blob = hashlib.sha256(), hashlib.sha256()
    tar_size = blob_size = 0
    try:
        with closing(pieces), target.open("wb") as stream:
            for piece in pieces:
                tar.update(piece.tar)
                blob.update(piece.blob)
                tar_size += len(piece.tar)
                blob_size += len(piece.blob)
                stream.write(piece.blob)
                if advance and piece.read:
                    advance(piece.read)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return Layer(
        descriptor=Descriptor(media_type=_MEDIA_TYPES[compression], digest=Digest(blob.hexdigest()), size=blob_size),
        diff_id=Digest(tar.hexdigest()),
        unpacked_size=tar_size,
        path=target,
        files=tuple(sorted(files, key=lambda file: file.path)),
    )
