"""The port through which a package that exists as source only becomes a wheel."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from packaging.utils import NormalizedName
from packaging.version import Version

from rayimage.model.digest import Digest
from rayimage.model.lock import LockedSource

__all__ = ["BuildWheel", "BuiltWheel"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltWheel:
    """A wheel that was made of a source, and lies at ``path`` until the cache is emptied."""

    path: Path
    filename: str
    digest: Digest
    size: int


class BuildWheel(Protocol):
    """Builds wheels for one role on one platform. Thread-safe."""

    def __call__(self, name: NormalizedName, version: Version, source: LockedSource) -> BuiltWheel:
        """The wheel of ``source``, built now or before.

        Raises WheelError when it cannot be built or must not be installed there, EngineError when it has to be built
        in the base and no Engine answers.
        """
        ...
