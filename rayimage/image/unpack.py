"""Layers as the tar archives that they are compressions of."""

from __future__ import annotations

import gzip
import sys
import zlib
from typing import IO, TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from rayimage.model.content import ByteStream

__all__ = ["damages", "unpacked"]


def unpacked(stream: ByteStream, media_type: str) -> IO[bytes]:
    """What is in a gzip or zstd layer; a layer of another type as it is."""
    raw = cast("IO[bytes]", stream)
    if media_type.endswith("gzip"):
        return cast("IO[bytes]", gzip.GzipFile(fileobj=raw))
    if media_type.endswith("zstd"):
        return cast("IO[bytes]", _zstd().ZstdFile(raw))
    return raw


def damages() -> tuple[type[Exception], ...]:
    """What reading a damaged layer raises."""
    return (OSError, EOFError, zlib.error, _zstd().ZstdError)


def _zstd() -> Any:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd
