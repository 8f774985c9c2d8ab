"""The lock of one role on one platform, as a value. ``lock.pylock`` reads and writes it as pylock.toml."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from packaging.utils import NormalizedName
from packaging.version import Version

from rayimage.model.digest import Digest
from rayimage.model.platform import Platform

__all__ = ["BaseIdentity", "LockedSource", "LockedWheel", "Move", "Provided", "RoleLock"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseIdentity:
    """The base that a lock was made for: as the user names it, and as the bytes name it."""

    reference: str
    digest: Digest
    ray: Version
    python: Version


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedSource:
    """What a wheel is built from: a source archive, by its hash, or a commit of a git repository.

    ``url`` is where it is: https: or file:, for git also ssh:; without credentials.
    """

    url: str
    filename: str = ""
    """Of an archive."""
    digest: Digest | None = None
    """Of an archive."""
    size: int | None = None
    commit: str = ""
    """The full commit id; empty for an archive."""
    subdirectory: str = ""
    """Where in it the package lies."""
    direct: bool = False
    """Whether it was asked for by URL: not a version's sdist in an index."""

    @property
    def identity(self) -> str:
        """What it is, wherever it comes from."""
        return "#".join(filter(None, (str(self.digest) if self.digest else f"git:{self.commit}", self.subdirectory)))

    def __str__(self) -> str:
        """For messages."""
        return f"{self.url} at {self.commit[:12]}" if self.commit else self.filename or self.url


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedWheel:
    """A wheel that goes into the image; the hash is its identity, ``url`` (https: or file:) a hint where to get it."""

    name: NormalizedName
    version: Version
    filename: str
    digest: Digest
    size: int | None = None
    url: str = ""
    directory: Path | None = None
    """Of a local package, the absolute directory that the wheel is built from; ``url`` is then this machine's."""
    source: LockedSource | None = None
    """Where no wheel was published, what this one is built from; ``url`` is then this machine's."""
    dependencies: tuple[NormalizedName, ...] = ()
    """The other wheels of the lock that this one requires, sorted; empty also where the resolver does not say."""


@dataclass(frozen=True, slots=True, order=True)
class Provided:
    """A requirement that the base's own copy meets."""

    name: NormalizedName
    version: Version


@dataclass(frozen=True, slots=True, order=True)
class Move:
    """A base package that is replaced.

    ``because`` is the chain of requirements that forces it, for people: the one that the old version does not meet
    first, then what requires the package that has it, up to a requirement of the project. Empty where unknown.
    """

    name: NormalizedName
    old: Version
    new: Version
    because: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleLock:
    """Everything that is installed for a role on a platform, sorted by name."""

    role: str
    platform: Platform
    base: BaseIdentity
    inputs: Digest
    """Digest of everything the resolution depended on besides the indexes: spec files, options, base."""
    wheels: tuple[LockedWheel, ...]
    provided: tuple[Provided, ...]
    moves: tuple[Move, ...]
    specs: tuple[tuple[str, Digest], ...] = ()
    """The spec files that it was made of: path relative to the project's root, digest of the content."""

    @property
    def added(self) -> tuple[LockedWheel, ...]:
        """Wheels of packages that the base does not have."""
        moved = {move.name for move in self.moves}
        return tuple(wheel for wheel in self.wheels if wheel.name not in moved)
