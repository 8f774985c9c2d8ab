"""The port between this room and a resolver: a question, its answer, and how to say that there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from packaging.utils import NormalizedName
from packaging.version import Version

from rayimage.errors import LockError
from rayimage.lock.target import Target
from rayimage.model.digest import Digest
from rayimage.model.inventory import Inventory
from rayimage.model.lock import LockedSource
from rayimage.specs import Source

__all__ = ["Engine", "NoSolution", "PackageFile", "Question", "ResolvedPackage"]

_NONE: Final[frozenset[NormalizedName]] = frozenset()


class NoSolution(LockError):
    """The requirements have no solution as asked; other pins might have one.

    ``sources`` are packages of which there is a source distribution, where wheels were asked for.
    """

    def __init__(self, what: str, *, why: str = "", fix: str = "", sources: frozenset[NormalizedName] = _NONE) -> None:
        super().__init__(what, why=why, fix=fix)
        self.sources = sources


@dataclass(frozen=True, kw_only=True)
class Question:
    """What a resolver is asked.

    ``ray`` is required at exactly this version, and so is everything in ``required``. ``constraints`` must hold (by
    public version: a local label may be added) for packages that are part of the solution; ``preferences`` are taken
    where they can be. What ``bases`` contain counts as available, with the dependencies it has there. The packages in
    ``indexes`` (name → URL) are required, too, and taken from that index alone. ``holders`` says in messages who holds
    a constraint: ``the base rayproject/ray:…``, ``role head on linux/amd64``. Of the packages in ``buildable`` a source
    will do; of all others there must be a wheel.
    """

    subject: str
    target: Target
    sources: tuple[Source, ...]
    ray: Version
    bases: tuple[Inventory, ...]
    constraints: Mapping[NormalizedName, Version] = field(default_factory=dict)
    preferences: Mapping[NormalizedName, Version] = field(default_factory=dict)
    required: Mapping[NormalizedName, Version] = field(default_factory=dict)
    indexes: Mapping[NormalizedName, str] = field(default_factory=dict)
    holders: Mapping[NormalizedName, str] = field(default_factory=dict)
    buildable: frozenset[NormalizedName] = _NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageFile:
    """A file that an index offers; ``digest`` is None where the index does not say."""

    filename: str
    url: str
    digest: Digest | None
    size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedPackage:
    """A package of a solution and the files it exists as; ``direct``: the user asked for one file by URL or path.

    ``requires`` are its requirements that apply here, extras included, as ``Requires-Dist`` writes them but without
    markers; None where the resolver does not say.
    """

    name: NormalizedName
    version: Version
    wheels: tuple[PackageFile, ...] = ()
    sdist: str = ""
    source: LockedSource | None = None
    """What a wheel can be built from, where that is wanted."""
    direct: bool = False
    requires: tuple[str, ...] | None = None
    yanked: str | None = None
    """Why its release was withdrawn, perhaps in no words; None where it was not, or the resolver does not say."""


class Engine(Protocol):
    """A resolver. Thread-safe."""

    def solve(self, question: Question) -> tuple[ResolvedPackage, ...]:
        """Every package of the solution, Ray included, sorted by name.

        Raises NoSolution with the cause; LockError when the resolver or an index fails.
        """
        ...
