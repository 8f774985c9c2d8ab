"""Inventories as gzipped JSON files, one per image digest and format version."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path
from typing import Any, Final

from packaging.utils import NormalizedName
from packaging.version import Version

from rayimage.cachedir import CacheDir, Kind
from rayimage.errors import RayimageError
from rayimage.files import write_atomic
from rayimage.model.digest import Digest
from rayimage.model.inventory import DirectoryOwner, Distribution, InstalledFile, InstallLayout, Inventory
from rayimage.model.platform import Platform

__all__ = [
    "FORMAT",
    "decode_inventory",
    "encode_inventory",
    "from_json",
    "keep_inventory",
    "load_inventory",
    "store_inventory",
    "to_json",
]

FORMAT: Final = 4
"""To be raised with every change of what an inventory says about the same image, not only of its form."""


_MOST_BYTES: Final = 512 << 20
"""Inflated: it may come from a registry. That of a large Ray image has a fiftieth of it."""


def load_inventory(cache_dir: Path, image: Digest) -> Inventory | None:
    """The inventory of ``image``, or None when there is none, or none that can be used."""
    path = _path(cache_dir, image)
    try:
        raw = path.read_bytes()
    except OSError:
        return None
    inventory = decode_inventory(raw, image)
    return inventory if inventory and CacheDir(cache_dir).use(path) else None


def store_inventory(cache_dir: Path, inventory: Inventory) -> None:
    """Keep ``inventory``; raises OSError."""
    keep_inventory(cache_dir, inventory.image, encode_inventory(inventory))


def keep_inventory(cache_dir: Path, image: Digest, raw: bytes) -> None:
    """Keep the inventory of ``image`` that is encoded already; raises OSError."""
    write_atomic(_path(cache_dir, image), raw)


def encode_inventory(inventory: Inventory) -> bytes:
    """The inventory as the bytes of a file."""
    data = json.dumps(to_json(inventory), sort_keys=True, separators=(",", ":")).encode()
    return gzip.compress(data, compresslevel=1, mtime=0)


def decode_inventory(raw: bytes, image: Digest) -> Inventory | None:
    """The inventory in a file's bytes; None when it is damaged, of another format, or not of ``image``."""
    inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        data = inflater.decompress(raw, _MOST_BYTES)
        inventory = from_json(json.loads(data)) if inflater.eof else None
    except (zlib.error, ValueError, KeyError, TypeError, AttributeError, RecursionError, RayimageError):
        return None
    return inventory if inventory and inventory.image == image else None


def _path(cache_dir: Path, image: Digest) -> Path:
    return CacheDir(cache_dir).path(Kind.INVENTORIES, f"{image.hex}-v{FORMAT}.json.gz")


def to_json(inventory: Inventory) -> dict[str, Any]:
    """The inventory as a JSON object; ``from_json`` reads it back."""
    layout = {name: getattr(inventory.layout, name) for name in InstallLayout.__slots__}
    return {
        "format": FORMAT,
        "image": str(inventory.image),
        "platform": str(inventory.platform),
        "python": str(inventory.python),
        "glibc": str(inventory.glibc) if inventory.glibc else None,
        "layout": layout,
        "user": inventory.user,
        "workdir": inventory.workdir,
        "env": dict(inventory.env),
        "labels": dict(inventory.labels),
        "distributions": [_distribution_to_json(dist) for dist in inventory.distributions],
        "symlinks": dict(inventory.symlinks),
        "directories": {path: [o.mode, o.uid, o.gid] for path, o in inventory.directories.items()},
    }


def from_json(data: dict[str, Any]) -> Inventory:
    """The inventory of a JSON object; raises ValueError, KeyError, TypeError or AttributeError if it is no such."""
    if data["format"] != FORMAT:
        raise ValueError(f"inventory format {data['format']!r}")
    return Inventory(
        image=Digest.parse(data["image"]),
        platform=Platform.parse(data["platform"]),
        python=Version(data["python"]),
        glibc=Version(data["glibc"]) if data["glibc"] else None,
        layout=InstallLayout(**data["layout"]),
        user=data["user"],
        workdir=data["workdir"],
        env=dict(data["env"]),
        labels=dict(data["labels"]),
        distributions=tuple(_distribution_from_json(dist) for dist in data["distributions"]),
        symlinks=dict(data["symlinks"]),
        directories={path: DirectoryOwner(*owner) for path, owner in data["directories"].items()},
    )


def _distribution_to_json(dist: Distribution) -> dict[str, Any]:
    return {
        "name": dist.name,
        "version": str(dist.version),
        "requires": list(dist.requires),
        "installer": dist.installer,
        "files": [[file.path, file.record_hash] for file in dist.files],
        "dist-info": dist.dist_info,
    }


def _distribution_from_json(data: dict[str, Any]) -> Distribution:
    return Distribution(
        name=NormalizedName(data["name"]),
        version=Version(data["version"]),
        requires=tuple(data["requires"]),
        installer=data["installer"],
        files=tuple(map(InstalledFile._make, data["files"])),
        dist_info=data["dist-info"],
    )
