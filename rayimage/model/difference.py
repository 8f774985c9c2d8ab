"""Two states of an image's Python environment side by side: what a newer base would change."""

from __future__ import annotations

from dataclasses import dataclass

from packaging.utils import NormalizedName
from packaging.version import Version

from rayimage.model.lock import BaseIdentity
from rayimage.model.platform import Platform

__all__ = ["Change", "Difference"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A package before and after; None where it is absent. ``…_in_base``: the base brings it, not a wheel of ours."""

    name: NormalizedName
    old: Version | None
    new: Version | None
    old_in_base: bool = False
    new_in_base: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What changes for a role on a platform; ``old`` is None when it was not locked before.

    Packages whose version stays are listed where they come from the base now and did not, or the other way round.
    """

    role: str
    platform: Platform
    old: BaseIdentity | None
    new: BaseIdentity
    changes: tuple[Change, ...]

    @property
    def base_moves(self) -> bool:
        """Whether the base is another image than before."""
        return self.old is None or self.old.digest != self.new.digest
