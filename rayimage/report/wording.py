"""Numbers in words."""

from __future__ import annotations

__all__ = ["count", "human_age", "human_bytes", "shorten"]


def count(number: int, noun: str) -> str:
    """``1 layer``, ``2 layers``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def human_age(seconds: float) -> str:
    """How long ago: ``now``, ``5 min``, ``3 h``, ``12 days``."""
    if seconds < 60:
        return "now"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.0f} days"


def human_bytes(number: float) -> str:
    """``number`` bytes for people, in decimal units as registries count: ``12.3 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 999.5 or unit == "GB":
            return f"{number:.0f} {unit}" if unit == "B" or number >= 100 else f"{number:.1f} {unit}"
        number /= 1000
    raise AssertionError("unreachable")


def shorten(text: str, limit: int) -> str:
    """``text`` on at most ``limit`` characters; a list of many names keeps its first three."""
    names = text.split(", ")
    if len(names) > 4:
        text = f"{', '.join(names[:3])} and {len(names) - 3} more"
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
