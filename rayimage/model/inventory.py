"""What a base image contains, as far as locking and layering have to know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath
from typing import NamedTuple

from packaging.utils import NormalizedName
from packaging.version import Version

from rayimage.model.digest import Digest
from rayimage.model.platform import Platform

__all__ = ["DirectoryOwner", "Distribution", "InstallLayout", "InstalledFile", "Inventory"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallLayout:
    """Where a wheel's files go in the image, and who owns them. All paths are absolute, without a trailing slash.

    A wheel layer is a pure function of (wheel, this, layer-format version).
    """

    prefix: str
    purelib: str
    platlib: str
    scripts: str
    data: str
    headers: str
    interpreter: str
    uid: int
    gid: int

    @property
    def roots(self) -> frozenset[str]:
        """The directories that files are installed below, and all directories above them, ``/`` left out."""
        installed = (self.prefix, self.purelib, self.platlib, self.scripts, self.data, self.headers)
        above = {str(parent) for root in installed for parent in PurePosixPath(root).parents}
        return frozenset({*installed, *above} - {"/"})


class InstalledFile(NamedTuple):
    """A file of a distribution: its absolute path in the image and RECORD's ``sha256=<urlsafe base64>`` if any.

    A tuple, as a base has tens of thousands of them.
    """

    path: str
    record_hash: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """An installed distribution (a ``.dist-info`` or ``.egg-info`` of the base)."""

    name: NormalizedName
    version: Version
    requires: tuple[str, ...] = ()
    installer: str = ""
    files: tuple[InstalledFile, ...] = ()
    dist_info: str = ""

    @property
    def is_conda(self) -> bool:
        """Conda's own machinery never moves."""
        return self.installer == "conda"


@dataclass(frozen=True, slots=True)
class DirectoryOwner:
    """A directory's permission bits and numeric owner."""

    mode: int
    uid: int
    gid: int


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """The contents of a base for one platform, found in one pass over its layers."""

    image: Digest
    platform: Platform
    python: Version
    glibc: Version | None
    layout: InstallLayout
    user: str
    workdir: str
    env: Mapping[str, str]
    labels: Mapping[str, str]
    distributions: tuple[Distribution, ...]
    symlinks: Mapping[str, str]
    """Symbolic links (absolute path → target as written) below the prefix and near the root, and those elsewhere that
    lead to directories: nothing may be written through them."""
    directories: Mapping[str, DirectoryOwner] = field(default_factory=dict)
    """Directories that layers on the base can touch without being able to tell what they are like: those near the root,
    the install roots and what lies above them, and those below the prefix that are not 0755 of the image's user."""

    def __hash__(self) -> int:
        """By the image: there is one inventory of it."""
        return hash(self.image)

    @cached_property
    def by_name(self) -> Mapping[NormalizedName, Distribution]:
        """The distributions by normalised name."""
        return {dist.name: dist for dist in self.distributions}

    @property
    def ray(self) -> Distribution | None:
        """The base's Ray, or None when it is not a Ray image."""
        return next((dist for dist in self.distributions if dist.name == "ray"), None)
