"""What a build starts from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from rayimage.base import ResolvedBase
from rayimage.image.plan import ImagePlan
from rayimage.layers import CodeTree
from rayimage.model.inventory import Inventory
from rayimage.model.lock import LockedWheel, RoleLock
from rayimage.specs import RoleSpecs

__all__ = ["BuildInput"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildInput:
    """A plan and what it was made from."""

    plan: ImagePlan
    base: ResolvedBase
    inventory: Inventory
    lock: RoleLock
    project: Path
    tree: CodeTree | None
    indexes: tuple[str, ...] = field(default=(), repr=False)
    """Package indexes that the specs name, as uv writes them: ``URL`` or ``name=URL``."""
    accounts: tuple[str, ...] = field(default=(), repr=False)
    """Other URLs of the specs with credentials in them."""
    specs: RoleSpecs | None = field(default=None, repr=False)
    """What the role asks for; None where there is nothing to hold the image against."""
    build: Callable[[LockedWheel], Path] | None = field(default=None, repr=False)
    """Makes the lock's wheels that are built from sources."""
