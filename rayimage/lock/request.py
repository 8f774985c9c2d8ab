"""What is asked of the lock: one request for each role and platform, and options common to all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from packaging.utils import NormalizedName
from packaging.version import Version

from rayimage.errors import BaseImageError
from rayimage.lock.explain import redact
from rayimage.model.building import BuildWheel
from rayimage.model.digest import Digest
from rayimage.model.execution import RunInBase
from rayimage.model.inventory import Distribution, Inventory
from rayimage.model.manifest import canonical_json
from rayimage.model.platform import Platform
from rayimage.specs import RoleSpecs

__all__ = ["LOCK_FORMAT", "BasePackages", "EngineName", "LockRequest", "Options", "Rules", "lock_inputs"]

LOCK_FORMAT = 2
"""Version of what a lock says and how it comes about; locks of another format are stale."""


EngineName = Literal["uv", "pip-tools"]

BasePackages = Literal["prefer", "pin"]
"""What the base's versions are to a resolution: taken where they can be, or constraints."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the project decides about a role's lock besides its requirements.

    ``allow_skew`` names packages that may have different versions in different roles and on different platforms.
    ``indexes`` are the index URLs of packages that come from one index alone, ``build`` what compiles are built with.
    """

    base_packages: BasePackages = "prefer"
    allow_skew: frozenset[NormalizedName] = frozenset()
    indexes: Mapping[NormalizedName, str] = field(default_factory=dict)
    build: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class LockRequest:
    """One role on one platform; ``base`` is the reference as the user wrote it."""

    role: str
    platform: Platform
    base: str
    inventory: Inventory
    specs: RoleSpecs
    rules: Rules = field(default_factory=Rules)

    @property
    def key(self) -> tuple[str, str]:
        """Role and platform."""
        return self.role, str(self.platform)

    @property
    def subject(self) -> str:
        """For messages: ``role worker on linux/amd64``."""
        return f"role {self.role} on {self.platform}"

    @property
    def ray(self) -> Distribution:
        """The base's Ray; raises BaseImageError when there is none."""
        if self.inventory.ray is None:
            raise BaseImageError(
                f"{self.base} is not a Ray image",
                why=f"no distribution named ray is installed in {self.inventory.layout.purelib}",
                fix="choose a base with Ray, for example rayproject/ray:<version>-py311",
            )
        return self.inventory.ray


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to resolve.

    ``upgrade`` forgets the previous locks and ``preferences``, not the base; ``upgrade_packages`` (names) forgets the
    base's copy of these packages as well. ``indexes`` are asked before the user's own; ``find_links`` are directories
    or URLs. ``directory`` is where the engine looks for its own configuration (uv.toml) and what relative paths in
    requirements are relative to, as with pip: give the project's root; None is the working directory. ``cache_dir``
    keeps small helper files between runs; without one they are written anew each time. ``engine`` names the resolver;
    pip-tools runs inside the base through ``run_in_base`` where this machine is not like it. ``build`` makes wheels of
    sources, for each role and platform; without it, what has no wheel has no solution.
    """

    upgrade: bool = False
    upgrade_packages: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    indexes: tuple[str, ...] = ()
    preferences: Mapping[NormalizedName, Version] = field(default_factory=dict)
    directory: Path | None = None
    cache_dir: Path | None = None
    engine: EngineName = "uv"
    run_in_base: RunInBase | None = None
    build: Mapping[tuple[str, str], BuildWheel] = field(default_factory=dict)


def lock_inputs(request: LockRequest) -> Digest:
    """The digest of what the request's lock depends on besides the indexes; a lock with another one is stale."""
    inputs = {
        "format": LOCK_FORMAT,
        "specs": str(request.specs.digest),
        "base": str(request.inventory.image),
        "platform": str(request.platform),
        "python": str(request.inventory.python),
        "base-packages": request.rules.base_packages,
        "allow-skew": sorted(request.rules.allow_skew),
        "index": {name: redact(url) for name, url in request.rules.indexes.items()},
        **({"build": list(request.rules.build)} if request.rules.build else {}),
    }
    return Digest.of(canonical_json(inputs))
