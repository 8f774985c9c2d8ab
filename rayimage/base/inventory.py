"""The inventory of a base: scanned once, then found under its digest."""

from __future__ import annotations

from pathlib import Path

from rayimage.base.cache import load_inventory, store_inventory
from rayimage.base.resolve import ResolvedBase
from rayimage.model.inventory import Inventory
from rayimage.model.progress import SILENT, Progress

__all__ = ["read_inventory"]


def read_inventory(base: ResolvedBase, *, cache_dir: Path, progress: Progress = SILENT) -> Inventory:
    """What ``base`` contains, from ``cache_dir`` if it was read before, else in one pass over its layers.

    Raises BaseImageError for an image without a Python whose version can be told, ContentError for damaged layers,
    and what the base's source raises. A damaged cache is made anew, one that cannot be written costs a warning.
    """
    cached = load_inventory(cache_dir, base.digest)
    if cached is not None:
        return cached
    from rayimage.base.survey import survey

    inventory = survey(base, progress)
    try:
        store_inventory(cache_dir, inventory)
    except OSError as error:
        progress.warn(f"the inventory of {base.text} could not be cached: {error}")
    return inventory
