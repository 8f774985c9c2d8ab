"""Base images: resolve one to a digest, read what it contains from its layers, check that all roles' fit."""

from rayimage.base.cache import FORMAT as INVENTORY_FORMAT
from rayimage.base.cache import encode_inventory
from rayimage.base.checks import check_bases, require_ray
from rayimage.base.inventory import BaseCache, read_inventory
from rayimage.base.remembered import RememberedBases
from rayimage.base.resolve import ResolvedBase, resolve_base

__all__ = [
    "INVENTORY_FORMAT",
    "BaseCache",
    "RememberedBases",
    "ResolvedBase",
    "check_bases",
    "encode_inventory",
    "read_inventory",
    "require_ray",
    "resolve_base",
]
