"""Environment markers whose extras and groups are decided: ``extra == "gpu" and sys_platform == "linux"``.

Locks say with markers which extra or group a package is for (``"gpu" in extras``, PEP 751; ``extra == "gpu"``, Poetry).
A role knows which it wants, but not yet the platform, so the rest of the marker stays.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from packaging.markers import Marker
from packaging.utils import canonicalize_name

__all__ = ["any_of", "decide"]

_TOKEN = re.compile(r"""\s*("[^"]*"|'[^']*'|\(|\)|[<>=!~]+|[A-Za-z_][A-Za-z0-9_.]*)""")
_LISTS = {"extras": "extras", "dependency_groups": "groups"}
_Verdict = str | bool
"""True, False, or a marker that is still to be evaluated."""


def decide(marker: Marker | str | None, *, extras: Collection[str], groups: Collection[str] = ()) -> str | bool:
    """``marker`` where exactly these extras and groups are wanted: True, False, or what is left of it."""
    if marker is None:
        return True
    # The text of a Marker is in one form: double quotes, single spaces, no needless parentheses.
    reader = _Reader(_TOKEN.findall(str(Marker(str(marker)))), _names(extras), _names(groups))
    return reader.either()


def any_of(verdicts: Collection[str | bool]) -> str | bool:
    """The verdict where one of several is enough; False of none."""
    return _joined(list(verdicts), "or")


def _names(names: Collection[str]) -> frozenset[str]:
    return frozenset(canonicalize_name(name) for name in names)


class _Reader:
    """Recursive descent over the grammar of markers (dependency specifiers, "Environment Markers")."""

    def __init__(self, tokens: list[str], extras: frozenset[str], groups: frozenset[str]) -> None:
        self._tokens = tokens[::-1]
        self._wanted = {"extras": extras, "groups": groups}

    def either(self) -> _Verdict:
        found = [self._both()]
        while self._next("or"):
            found.append(self._both())
        return _joined(found, "or")

    def _both(self) -> _Verdict:
        found = [self._one()]
        while self._next("and"):
            found.append(self._one())
        return _joined(found, "and")

    def _one(self) -> _Verdict:
        if self._next("("):
            inner = self.either()
            self._next(")")
            return inner
        left, operator = self._tokens.pop(), self._tokens.pop()
        if operator == "not":
            operator = f"not {self._tokens.pop()}"
        right = self._tokens.pop()
        return self._decided(left, operator, right)

    def _next(self, token: str) -> bool:
        if self._tokens and self._tokens[-1] == token:
            self._tokens.pop()
            return True
        return False

    def _decided(self, left: str, operator: str, right: str) -> _Verdict:
        if operator.endswith("in") and right in _LISTS:
            found = canonicalize_name(left[1:-1]) in self._wanted[_LISTS[right]]
        elif "extra" in (left, right) and operator in ("==", "!="):
            found = canonicalize_name((right if left == "extra" else left)[1:-1]) in self._wanted["extras"]
        else:
            return f"{left} {operator} {right}"
        return found != (operator in ("not in", "!="))


def _joined(verdicts: list[_Verdict], word: str) -> _Verdict:
    """``and`` or ``or`` of verdicts."""
    neutral = word == "and"
    if (not neutral) in verdicts:
        return not neutral
    rest = list(dict.fromkeys(verdict for verdict in verdicts if isinstance(verdict, str)))
    if not rest:
        return neutral
    if word == "and" and len(rest) > 1:
        rest = [f"({text})" if _has_or(text) else text for text in rest]
    return f" {word} ".join(rest)


def _has_or(text: str) -> bool:
    """Whether there is an ``or`` outside of parentheses and quotes."""
    depth = 0
    for word in _TOKEN.findall(text):
        depth += (word == "(") - (word == ")")
        if word == "or" and not depth:
            return True
    return False
