"""A layer as zstd: one frame for each MiB of the archive (RFC 8878 section 3 allows any number of them).

Frames, and not one stream by libzstd's own threads: each depends on its MiB and nothing else, so the bytes are the
same with any number of threads, memory is bounded, and a frame that says its size is unpacked straight into a buffer
of that size. README.md beside this file has the measurements.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterable, Iterator
from typing import Any, Final

from rayimage.layers.ahead import THREADS, ahead
from rayimage.layers.encode import Piece

__all__ = ["zstd_frames", "zstd_identity"]

_LEVEL: Final = 3
_FRAME: Final = 1 << 20


def zstd_identity() -> list[int]:
    """What the bytes depend on beside the archive: libzstd promises the same output for the same version only."""
    return [*_zstd().zstd_version_info, _LEVEL, _FRAME]


def zstd_frames(pieces: Iterable[Piece]) -> Generator[Piece, None, None]:
    """The archive that ``pieces`` (without ``blob``) make, compressed."""
    with ahead(map(_compressed, _blocks(pieces)), min(THREADS, 2)) as frames:
        for frame in frames:
            yield from frame


def _blocks(pieces: Iterable[Piece]) -> Iterator[Piece]:
    parts: list[bytes] = []
    size = read = 0
    for piece in pieces:
        tar = memoryview(piece.tar)
        read += piece.read
        while size + len(tar) >= _FRAME:
            yield Piece(b"".join([*parts, tar[: _FRAME - size]]), b"", read)
            tar, parts, size, read = tar[_FRAME - size :], [], 0, 0
        parts.append(bytes(tar))
        size += len(tar)
    if size:
        yield Piece(b"".join(parts), b"", read)


def _compressed(block: Piece) -> Iterator[Piece]:
    yield Piece(block.tar, _zstd().compress(block.tar, _LEVEL), block.read)


def _zstd() -> Any:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd
