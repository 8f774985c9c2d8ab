"""Numbers for people, with two or three significant digits."""

from __future__ import annotations

__all__ = ["amount", "duration", "times"]


def duration(seconds: float) -> str:
    """``0.18 s``, ``1.8 s``, ``18 s``, ``180 s``."""
    return f"{_short(seconds)} s"


def amount(size: float) -> str:
    """Bytes in decimal units: ``980 B``, ``1.5 kB``, ``271 MB``."""
    for unit in ("B", "kB", "MB"):
        if size < 999.5:
            return f"{_short(size) if unit != 'B' else round(size)} {unit}"
        size /= 1000
    return f"{_short(size)} GB"


def times(ratio: float) -> str:
    """``0.21 ×``, ``6.3 ×``, ``104 ×``."""
    return f"{_short(ratio)} ×"


def _short(value: float) -> str:
    digits = 0 if value >= 9.95 else 1 if value >= 0.995 else 2 if value >= 0.0995 else 3
    return f"{value:.{digits}f}"
