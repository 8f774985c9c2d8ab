"""Sizes and ages as people write them."""

from __future__ import annotations

import os
import re
from typing import Final

from rayimage.errors import UsageError

__all__ = ["DEFAULT_LIMIT", "parse_age", "parse_size", "size_limit"]

DEFAULT_LIMIT: Final = 20 * 10**9
"""Bytes: a handful of projects with CUDA wheels."""
_VARIABLE: Final = "RAYIMAGE_CACHE_SIZE"
_NUMBER: Final = re.compile(r"(\d+(?:\.\d+)?) ?([a-zA-Z]*)")
_SIZES: Final = {"": 1, "b": 1} | {
    f"{letter}{ending}": base**power
    for power, letter in enumerate("kmgt", 1)
    for ending, base in (("", 1000), ("b", 1000), ("ib", 1024))
}
_AGES: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def parse_size(text: str) -> int:
    """Bytes of ``5GB``, ``500 MB``, ``2GiB`` or a plain number; raises UsageError."""
    return int(_parse(text, _SIZES, "a size", "write a number and a unit, as in 500MB, 20GB or 2GiB"))


def parse_age(text: str) -> float:
    """Seconds of ``30d``, ``12h``, ``2w``, ``90m`` or ``10s``; raises UsageError."""
    return _parse(text, _AGES, "an age", "write a number and a unit, as in 12h, 30d or 2w")


def size_limit() -> int:
    """The bytes that the cache may grow to: RAYIMAGE_CACHE_SIZE, or 20 GB. Raises UsageError."""
    text = os.environ.get(_VARIABLE, "").strip()
    if not text:
        return DEFAULT_LIMIT
    try:
        return parse_size(text)
    except UsageError as error:
        raise UsageError(f"{_VARIABLE}: {error.what}", fix=error.fix) from error


def _parse(text: str, units: dict[str, int], kind: str, fix: str) -> float:
    found = _NUMBER.fullmatch(text.strip())
    unit = units.get(found[2].lower()) if found else None
    if found is None or unit is None:
        raise UsageError(f"{text!r} is not {kind}", fix=fix)
    return float(found[1]) * unit
