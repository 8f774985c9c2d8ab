"""The Python that wheels are chosen for: the base's, never the host's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from packaging.requirements import Requirement
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from packaging.version import Version

from rayimage.errors import LockError
from rayimage.model.inventory import Inventory
from rayimage.model.platform import MACHINES, Platform

__all__ = ["Target", "applies", "best_wheel"]

# The first glibc with a manylinux policy for the machine (PEP 600; manylinux_2_5 is PEP 513's manylinux1).
_OLDEST_GLIBC: Final = {"x86_64": 5, "aarch64": 17}
_LEGACY: Final = {5: "manylinux1", 12: "manylinux2010", 17: "manylinux2014"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """CPython on a glibc Linux; ``python`` is the full version, ``glibc`` major.minor."""

    python: Version
    platform: Platform
    glibc: Version

    @classmethod
    def of(cls, inventory: Inventory) -> Target:
        """The target that a base is; raises LockError where no wheels exist for it."""
        platform = inventory.platform
        if platform.os != "linux" or platform.architecture not in MACHINES:
            known = ", ".join(f"linux/{arch}" for arch in MACHINES)
            raise LockError(f"cannot lock for {platform}", why="there are no Ray wheels for it", fix=f"use {known}")
        if inventory.glibc is None or inventory.glibc.major != 2:
            raise LockError(
                f"cannot lock for base {inventory.image}",
                why="no glibc was found in it, so it is unknown which wheels it can load",
                fix="use a base on Debian, Ubuntu or another glibc distribution",
            )
        return cls(python=inventory.python, platform=platform, glibc=inventory.glibc)

    @property
    def machine(self) -> str:
        """``platform.machine()`` there."""
        return MACHINES[self.platform.architecture]

    @property
    def minor(self) -> str:
        """The Python version without its patch level: ``3.11``."""
        return f"{self.python.major}.{self.python.minor}"

    @property
    def environment(self) -> Mapping[str, str]:
        """Values of the environment markers (PEP 508); every one, so that none of the host's shows through."""
        return {
            "implementation_name": "cpython",
            "implementation_version": str(self.python),
            "os_name": "posix",
            "platform_machine": self.machine,
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": str(self.python),
            "python_version": self.minor,
            "sys_platform": "linux",
        }

    def platform_tags(self) -> Iterator[str]:
        """Platform tags of wheels that run there, best first."""
        for minor in range(self.glibc.minor, _OLDEST_GLIBC[self.machine] - 1, -1):
            yield f"manylinux_2_{minor}_{self.machine}"
            if minor in _LEGACY:
                yield f"{_LEGACY[minor]}_{self.machine}"
        yield f"linux_{self.machine}"

    def __str__(self) -> str:
        """For messages."""
        return f"Python {self.minor} on {self.platform} (glibc {self.glibc})"


@lru_cache
def _ranks(target: Target) -> Mapping[Tag, int]:
    version = (target.python.major, target.python.minor)
    interpreter = "cp{}{}".format(*version)
    platforms = tuple(target.platform_tags())
    # The ABI is named because packaging would ask the running interpreter for it.
    tags = [*cpython_tags(version, [interpreter], platforms), *compatible_tags(version, interpreter, platforms)]
    return {tag: rank for rank, tag in reversed(list(enumerate(tags)))}


def applies(requirement: Requirement, environment: Mapping[str, str], extras: Iterable[str] = ()) -> bool:
    """Whether a requirement counts in an environment (``Target.environment``), without an extra or for one of them."""
    marker = requirement.marker
    return marker is None or any(marker.evaluate({**environment, "extra": extra}) for extra in ("", *extras))


def best_wheel(filenames: Iterable[str], target: Target) -> str | None:
    """The wheel file name that an installer would take there, or None when none fits.

    The order is that of PEP 425: best tag, then highest build number, then first come.
    """
    ranks = _ranks(target)
    best: tuple[int, Sequence[int | str]] | None = None
    choice = None
    for filename in filenames:
        try:
            _, _, build, tags = parse_wheel_filename(filename)
        except InvalidWheelFilename:
            continue
        fitting = [ranks[tag] for tag in tags if tag in ranks]
        if fitting and (best is None or (-min(fitting), build) > best):
            best = (-min(fitting), build)
            choice = filename
    return choice
