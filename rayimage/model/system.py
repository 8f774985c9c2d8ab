"""What the operating system of a base gets besides what it has: the steps, and what came of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rayimage.model.digest import Digest
from rayimage.model.manifest import canonical_json

__all__ = ["LockedStep", "RunStep", "Secret", "SystemLock", "SystemSettings", "SystemStep"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemSettings:
    """Where packages of the operating system come from, besides the base's own sources.

    ``repositories`` are lines as in sources.list, ``keys`` the contents of OpenPGP keys that sign them, ``snapshot`` is
    a time as the snapshot archives write it (``20260101T000000Z``), empty for today's packages.
    """

    repositories: tuple[str, ...] = ()
    keys: tuple[bytes, ...] = field(default=(), repr=False)
    snapshot: str = ""

    def identity(self) -> dict[str, object]:
        """What makes two of them the same, for a key."""
        keys = [str(Digest.of(key)) for key in self.keys]
        return {"repositories": list(self.repositories), "keys": keys, "snapshot": self.snapshot}


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A file of this machine, or an environment variable, that a step reads as ``/run/secrets/NAME``."""

    name: str
    file: Path | None = None
    variable: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStep:
    """A user's own step: lines for the shell, and the files and directories of the project that they see.

    ``inputs`` are relative to ``root``; ``user`` is empty for the base's own.
    """

    script: str
    root: Path
    inputs: tuple[str, ...] = ()
    secrets: tuple[Secret, ...] = ()
    user: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemStep:
    """A step on a base: packages of the operating system, or a step of the user's.

    ``identity`` is what its result depends on besides the base; secrets are no part of it.
    """

    identity: Mapping[str, object]
    packages: tuple[str, ...] = ()
    settings: SystemSettings = field(default_factory=SystemSettings)
    run: RunStep | None = None

    @property
    def title(self) -> str:
        """For people."""
        if self.run is None:
            return f"system packages {', '.join(self.packages)}"
        first, *rest = self.run.script.strip().splitlines()
        return f"run {first if len(first) < 60 else f'{first[:59]}…'}{' …' if rest else ''}"

    def key(self, below: Digest) -> Digest:
        """The key of its layer on what has the digest or key ``below``."""
        return Digest.of(canonical_json({"format": 1, "on": str(below), **self.identity}))


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedStep:
    """The layer that a step came to; ``packages`` are those of the operating system that it added or changed."""

    title: str
    key: Digest
    layer: Digest
    size: int
    diff_id: Digest
    packages: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemLock:
    """The base of a role with its steps done: ``image`` is the digest of the manifest that they and ``base`` make."""

    reference: str
    base: Digest
    image: Digest
    steps: tuple[LockedStep, ...]
