"""Words of error messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from packaging.utils import canonicalize_name

__all__ = ["did_you_mean", "first_line", "unknown"]


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """``; did you mean 'x'?`` for the word most like ``word``, else nothing: to be put behind an error message."""
    close = difflib.get_close_matches(word, list(words), n=1, cutoff=0.7)
    return f"; did you mean {close[0]!r}?" if close else ""


def first_line(error: Exception) -> str:
    """The first line of an error's text: packaging draws the position of the fault below it."""
    return str(error).partition("\n")[0]


def unknown(kind: str, wanted: Iterable[str], known: Iterable[str]) -> list[str]:
    """What to say of names that are not among the known ones; the spelling of names counts as for packages."""
    names = [canonicalize_name(name) for name in known]
    missing = [name for name in wanted if canonicalize_name(name) not in names]
    return [f"has no {kind} {name!r}{did_you_mean(canonicalize_name(name), names)}" for name in missing]
