"""One pattern of a ``.gitignore`` (gitignore(5), git's wildmatch.c), matched against one entry at a time.

``pathspec`` translates the same patterns, but for whole paths: there ``*/`` also matches every file in a directory, and
``!packages/`` brings back ``packages/node_modules``, which git, going down directory by directory, ignores.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["GitPattern"]

_POSIX = {
    "alnum": "a-zA-Z0-9", "alpha": "a-zA-Z", "blank": " \\t", "cntrl": "\\x00-\\x1f\\x7f", "digit": "0-9",
    "graph": "!-~", "lower": "a-z", "print": " -~", "punct": "!-/:-@\\[-`{-~", "space": "\\s", "upper": "A-Z",
    "xdigit": "0-9a-fA-F",
}  # fmt: skip
_CLASS = re.compile(r"\[(?P<not>[!^]?)(?P<items>\]?(?:\[:[a-z]+:\]|\\.|[^\]\\])*)\]", re.DOTALL)
_ITEM = re.compile(r"\[:(?P<posix>[a-z]+):\]|(?P<low>\\.|[^\\])(?:-(?P<high>\\.|[^\\]))?", re.DOTALL)
_ESCAPED_SLASH = re.compile(r"(?<!\\)((?:\\\\)*)\\/")
_TRAILING = re.compile(r"(?<!\\)((?:\\\\)*) +\Z")


@dataclass(frozen=True, slots=True)
class GitPattern:
    """A pattern; ``restores`` if it starts with ``!``."""

    regex: re.Pattern[str]
    restores: bool
    only_directories: bool
    by_name: bool

    @classmethod
    def parse(cls, line: str) -> GitPattern | None:
        """Read a line; None if it is a comment, blank, or a pattern that git lets match nothing."""
        text = "" if line.startswith("#") else _TRAILING.sub(r"\1", line)
        restores = text.startswith("!")
        text = text[restores:]
        only_directories = text.endswith("/")
        text = text.removesuffix("/")
        if not text:
            return None
        try:
            by_name = "/" not in text
            regex = _glob(text) if by_name else _path(text.removeprefix("/"))
            return cls(re.compile(f"{regex}\\Z", re.DOTALL), restores, only_directories, by_name)
        except (ValueError, re.error):
            return None

    def matches(self, path: str, *, is_directory: bool) -> bool:
        """Whether the entry at ``path`` (relative to the file the pattern is from) is meant."""
        if self.only_directories and not is_directory:
            return False
        return bool(self.regex.match(path.rpartition("/")[2] if self.by_name else path))


def _path(pattern: str) -> str:
    parts = _ESCAPED_SLASH.sub(r"\1/", pattern).split("/")
    regex = ""
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        if len(part) > 1 and not part.strip("*"):  # three stars are two, to git
            regex += ".+" if last else "(?:.*/)?"
        else:
            regex += _glob(part) + ("" if last else "/")
    return regex


def _glob(part: str) -> str:
    """A pattern without ``/`` in it; raises ValueError for one that matches nothing."""
    regex, position = "", 0
    while position < len(part):
        char = part[position]
        if char == "[":
            found = _CLASS.match(part, position)
            if not found:
                raise ValueError(part)
            regex += _class(found)
            position = found.end()
            continue
        if char == "\\":
            position += 1
            if position == len(part):
                raise ValueError(part)
            regex += re.escape(part[position])
        else:
            regex += {"*": "[^/]*", "?": "[^/]"}.get(char) or re.escape(char)
        position += 1
    return regex


def _class(found: re.Match[str]) -> str:
    items = ""
    for item in _ITEM.finditer(found["items"]):
        if item["posix"]:
            if item["posix"] not in _POSIX:
                raise ValueError(found[0])
            items += _POSIX[item["posix"]]
        else:
            low, high = (re.escape((item[end] or "")[-1:]) for end in ("low", "high"))
            items += f"{low}-{high}" if high else low
    return f"(?!/)[{'^' if found['not'] else ''}{items}]"
