"""``.dockerignore`` as Docker reads it (moby/patternmatcher): close to, and not the same as, ``.gitignore``.

Patterns are anchored at the root, ``*`` and ``?`` stop at ``/``, ``**`` does not, the last pattern that matches wins, a
match of a directory is a match of everything below it, and ``!`` brings back even what lies in an excluded directory.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass

from rayimage.errors import UsageError

__all__ = ["DockerPatterns"]

_WILD = re.compile(r"[*?\[\\]")


@dataclass(frozen=True, slots=True)
class _Pattern:
    regex: re.Pattern[str]
    restores: bool
    literal: tuple[str, ...]
    """Leading path components without wildcards."""
    is_literal: bool


@dataclass(frozen=True, slots=True)
class DockerPatterns:
    """An ordered list of patterns."""

    patterns: tuple[_Pattern, ...] = ()

    @classmethod
    def parse(cls, lines: Iterable[str], origin: str = "exclude") -> DockerPatterns:
        """Read the lines of ``origin``; raises UsageError for a pattern that Docker would refuse, too."""
        patterns = []
        for line in lines:
            text = "" if line.startswith("#") else line.strip()
            restores = text.startswith("!")
            text = text[1:].strip() if restores else text
            if restores and not text:
                raise UsageError(
                    f"{origin}: a ! without a pattern", fix="write what it brings back, or remove the line"
                )
            if text:
                patterns.append(_parse(text, origin, restores=restores))
        return cls(tuple(patterns))

    def excludes(self, path: str, *, already: bool = False) -> bool:
        """Whether ``path`` (relative, ``/``) stays out; ``already`` is what was decided before these patterns."""
        excluded = already
        for pattern in self.patterns:
            if pattern.restores == excluded and pattern.regex.match(path):
                excluded = not pattern.restores
        return excluded

    def may_restore_below(self, directory: str) -> bool:
        """Whether a ``!`` pattern could match something below ``directory``; if not, it need not be read."""
        parts = tuple(directory.split("/"))
        for pattern in self.patterns:
            shorter = min(len(parts), len(pattern.literal))
            on_the_way = parts[:shorter] == pattern.literal[:shorter]
            # A literal pattern that ends at or above the directory matched it, and lost against a later one.
            goes_on = len(pattern.literal) > len(parts) or not pattern.is_literal
            if pattern.restores and on_the_way and goes_on:
                return True
        return False


def _parse(text: str, origin: str, *, restores: bool) -> _Pattern:
    cleaned = posixpath.normpath(text).lstrip("/") or "/"
    parts = cleaned.split("/")
    wild = next((n for n, part in enumerate(parts) if _WILD.search(part)), len(parts))
    try:
        # Docker matches every parent of a path as well as the path: a match may be followed by more.
        regex = re.compile(f"{_translate(cleaned)}(?:/.*)?\\Z", re.DOTALL)
    except re.error as error:
        raise UsageError(f"{origin}: {text!r} is not a pattern", why=str(error), fix="escape [ as \\[") from error
    return _Pattern(regex, restores, tuple(parts[:wild]), wild == len(parts))


def _translate(pattern: str) -> str:
    """The regular expression of a pattern, piece by piece as patternmatcher builds it."""
    out, position, in_class = "", 0, False
    while position < len(pattern):
        char = pattern[position]
        position += 1
        if in_class:
            in_class = char != "]"
            # In Go's and Docker's classes only ^ - \\ ] are special; Python warns of a [ within.
            out += "\\[" if char == "[" else char
        elif pattern.startswith("**", position - 1):
            position += 1 + pattern.startswith("/", position + 1)
            out += ".*" if position >= len(pattern) else "(?:.*/)?"
        elif char == "*":
            out += "[^/]*"
        elif char == "?":
            out += "[^/]"
        elif char == "[":
            in_class = True
            out += char
        elif char == "\\":
            out += re.escape(pattern[position : position + 1] or "\\")
            position += 1
        else:
            out += re.escape(char)
    return out
