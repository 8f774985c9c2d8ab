"""The inventory of a base: scanned once, then found under its digest."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Protocol

from rayimage.base.cache import decode_inventory, keep_inventory, load_inventory, store_inventory
from rayimage.base.resolve import ResolvedBase
from rayimage.model.digest import Digest
from rayimage.model.inventory import Inventory
from rayimage.model.progress import SILENT, Progress

__all__ = ["BaseCache", "read_inventory"]


class BaseCache(Protocol):
    """Somewhere else that is kept what there is to know of bases, by digest."""

    def inventory(self, image: Digest) -> bytes | None:
        """What ``encode_inventory`` made of the inventory of ``image``; None when there is none."""
        ...

    def document(self, digest: Digest) -> bytes | None:
        """What is said to be the manifest or config of this digest; None when there is none."""
        ...


def read_inventory(
    base: ResolvedBase, *, cache_dir: Path, shared: BaseCache | None = None, progress: Progress = SILENT
) -> Inventory:
    """What ``base`` contains: from ``cache_dir`` or ``shared`` if it was read before, else in one pass over its layers.

    Raises BaseImageError for an image without a Python whose version can be told, ContentError for damaged layers,
    and what the base's source raises. A damaged cache is made anew, one that cannot be written costs a warning.
    """
    cached = load_inventory(cache_dir, base.digest)
    if cached is not None:
        return cached
    if shared and (inventory := _from_shared(base, shared, cache_dir)):
        return inventory
    from rayimage.base.survey import survey

    inventory = survey(base, progress)
    try:
        store_inventory(cache_dir, inventory)
    except OSError as error:
        progress.warn(f"the inventory of {base.text} could not be cached: {error}")
    return inventory


def _from_shared(base: ResolvedBase, shared: BaseCache, cache_dir: Path) -> Inventory | None:
    raw = shared.inventory(base.digest)
    inventory = decode_inventory(raw, base.digest) if raw else None
    if raw and inventory:
        with suppress(OSError):  # a later pass can ask again
            keep_inventory(cache_dir, base.digest, raw)
    return inventory
