"""How an image's layers are cut and compressed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Compression", "Layering"]

Compression = Literal["gzip", "zstd"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layering:
    """``max_layers`` of wheels at most; those of ``alone_from`` bytes or more are alone, the rest share ``bundles``.

    ``bundles`` None: as many as suit ``max_layers``.
    """

    max_layers: int = 40
    """Enough for one change to move one layer, few enough for registries and pulls (apko settles on about 10)."""
    alone_from: int = 8 << 20
    bundles: int | None = None
    compression: Compression = "gzip"
