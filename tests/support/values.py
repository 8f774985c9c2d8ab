"""Small model values for tests."""

from __future__ import annotations

from packaging.utils import canonicalize_name
from packaging.version import Version

from rayimage.model.digest import Digest
from rayimage.model.inventory import Distribution, InstalledFile, InstallLayout, Inventory
from rayimage.model.lock import BaseIdentity, LockedWheel, Move, Provided, RoleLock
from rayimage.model.platform import Platform

AMD64 = Platform("linux", "amd64")
PREFIX = "/home/ray/anaconda3"
SITE = f"{PREFIX}/lib/python3.11/site-packages"
LAYOUT = InstallLayout(
    prefix=PREFIX,
    purelib=SITE,
    platlib=SITE,
    scripts=f"{PREFIX}/bin",
    data=PREFIX,
    headers=f"{PREFIX}/include/python3.11",
    interpreter=f"{PREFIX}/bin/python",
    uid=1000,
    gid=100,
)


def digest(text: str) -> Digest:
    """A digest that stands for ``text``."""
    return Digest.of(text.encode())


def distribution(
    name: str, version: str, *files: str, requires: tuple[str, ...] = (), installer: str = "pip"
) -> Distribution:
    """An installed distribution; ``files`` are relative to site-packages."""
    dist_info = f"{SITE}/{name.replace('-', '_')}-{version}.dist-info"
    paths = [*(f"{SITE}/{file}" for file in files), f"{dist_info}/METADATA", f"{dist_info}/RECORD"]
    return Distribution(
        name=canonicalize_name(name),
        version=Version(version),
        requires=requires,
        installer=installer,
        files=tuple(InstalledFile(path, f"sha256={path}") for path in paths),
        dist_info=dist_info,
    )


def inventory(*distributions: Distribution, symlinks: dict[str, str] | None = None) -> Inventory:
    """A Ray base with ``distributions`` and Ray 2.55.1."""
    return Inventory(
        image=digest("base"),
        platform=AMD64,
        python=Version("3.11.11"),
        glibc=Version("2.35"),
        layout=LAYOUT,
        user="1000",
        workdir="/home/ray",
        env={"PATH": f"{PREFIX}/bin:/usr/bin:/bin"},
        labels={},
        distributions=(distribution("ray", "2.55.1", "ray/__init__.py"), *distributions),
        symlinks=symlinks or {},
    )


def wheel(name: str, version: str, size: int | None = 1000) -> LockedWheel:
    """A locked pure-Python wheel."""
    filename = f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    return LockedWheel(
        name=canonicalize_name(name),
        version=Version(version),
        filename=filename,
        digest=digest(filename),
        size=size,
        url=f"https://files.example.com/{filename}",
    )


def lock(
    *wheels: LockedWheel, moves: tuple[Move, ...] = (), provided: tuple[Provided, ...] = (), role: str = "head"
) -> RoleLock:
    """A lock of ``wheels`` on ``inventory()``."""
    return RoleLock(
        role=role,
        platform=AMD64,
        base=BaseIdentity(
            reference="rayproject/ray:2.55.1", digest=digest("base"), ray=Version("2.55.1"), python=Version("3.11.11")
        ),
        inputs=digest("inputs"),
        wheels=wheels,
        provided=provided,
        moves=moves,
    )


def move(name: str, old: str, new: str) -> Move:
    """A replaced base package."""
    return Move(canonicalize_name(name), Version(old), Version(new))
