"""Base images: resolve one to a digest, read what it contains from its layers, check that all roles' fit."""

from rayimage.base.checks import check_bases, require_ray
from rayimage.base.inventory import read_inventory
from rayimage.base.remembered import RememberedBases
from rayimage.base.resolve import ResolvedBase, resolve_base

__all__ = ["RememberedBases", "ResolvedBase", "check_bases", "read_inventory", "require_ray", "resolve_base"]
