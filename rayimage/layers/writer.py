"""A layer as it is written: both digests in one pass, in constant memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

from rayimage.layers.encode import Piece
from rayimage.layers.layer import FileInLayer, Layer
from rayimage.model import media
from rayimage.model.descriptor import Descriptor
from rayimage.model.digest import Digest

__all__ = ["write_layer"]


def write_layer(
    target: Path,
    pieces: Iterable[Piece],
    files: Iterable[FileInLayer] = (),
    advance: Callable[[int], None] | None = None,
) -> Layer:
    """Write ``pieces`` to the new file ``target``, which is removed again when that fails.

    ``files``, what the layer writes, is looked at when all pieces are there. ``advance`` hears ``Piece.read``.
    """
    tar, blob = hashlib.sha256(), hashlib.sha256()
    tar_size = blob_size = 0
    try:
        with target.open("wb") as stream:
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
        descriptor=Descriptor(media_type=media.OCI_LAYER_GZIP, digest=Digest(blob.hexdigest()), size=blob_size),
        diff_id=Digest(tar.hexdigest()),
        unpacked_size=tar_size,
        path=target,
        files=tuple(sorted(files, key=lambda file: file.path)),
    )
