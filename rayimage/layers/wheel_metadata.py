"""METADATA of a wheel (the packaging specifications' "core metadata"), as far as an environment needs it."""

from __future__ import annotations

import re
from typing import Final

from packaging.metadata import parse_email
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from rayimage.layers.layer import WheelMetadata
from rayimage.layers.wheel_source import Wheel, refused, unreadable

__all__ = ["parse_metadata", "read_metadata"]

_DESCRIPTION: Final = re.compile(rb"\r?\n\r?\n")


def read_metadata(wheel: Wheel) -> WheelMetadata:
    """What ``wheel`` says about itself; raises WheelError when it does not say what it is."""
    with unreadable(wheel.filename):
        return parse_metadata(wheel.filename, wheel.read_dist_info_bytes("METADATA"))


def parse_metadata(filename: str, data: bytes) -> WheelMetadata:
    """What METADATA says, of a wheel or of what was installed from it; raises WheelError without name or version."""
    raw, _ = parse_email(_DESCRIPTION.split(data, maxsplit=1)[0])
    try:
        name, version = raw["name"], Version(raw["version"])
    except (KeyError, InvalidVersion) as error:
        raise refused(filename, f"its METADATA has no valid name and version ({error})") from error
    return WheelMetadata(
        filename=filename,
        name=canonicalize_name(name),
        version=version,
        requires=tuple(raw.get("requires_dist", ())),
        requires_python=raw.get("requires_python", ""),
    )
