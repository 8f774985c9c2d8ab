"""What uv's resolver says while it works (``RUST_LOG=uv_resolver=debug``): which package requires what.

uv's answers name no requirements, neither as pylock.toml nor as requirements.txt. Its log does, and costs nothing:
no second resolution, no metadata fetched again. The log is no interface of uv's, so what is not understood here is
left out, and reports then say less; nothing that is locked depends on it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import InvalidVersion, Version

__all__ = ["FILTER", "requirements_of", "specifier", "without_log", "yanked_in"]

FILTER = "uv_resolver=debug"
"""The value of RUST_LOG that turns these lines on."""

_LINE = re.compile(r"(?:TRACE|DEBUG|INFO) ")
_PROGRESS = re.compile(
    r"warning: |\s*(?:Building|Built|Downloading|Downloaded|Fetching|Fetched|Prepared|Resolved|Updating|Updated) \S"
)
_EDGE = re.compile(
    r"DEBUG Adding transitive dependency for (?P<by>[A-Za-z0-9._-]+)(?:\[[^\]]*\])?==(?P<version>\S+): "
    r"(?P<name>[A-Za-z0-9._-]+)(?P<extra>\[[^\]]*\])?(?:\{[^}]*\})?(?P<range>[^{}\[\]@\n]*)$",
    re.MULTILINE,
)
_YANKED = re.compile(r"warning: `(?P<name>[A-Za-z0-9._-]+)==\S+` is yanked(?: \(reason: \"(?P<why>.*)\"\))?")
Solution = Mapping[NormalizedName, Version]


def without_log(stderr: str) -> str:
    """``stderr`` without the lines of the log, of progress and of warnings: the error that ended uv."""
    lines = stderr.splitlines(keepends=True)
    return "".join(line for line in lines if not (_LINE.match(line) or _PROGRESS.match(line)))


def requirements_of(stderr: str, solution: Solution) -> dict[NormalizedName, tuple[str, ...]]:
    """The requirements of each package of ``solution`` (names and versions), sorted, as PEP 508 text.

    Empty when the log says nothing at all: then nothing is known of any package.
    """
    edges = list(_EDGE.finditer(stderr))
    found: dict[NormalizedName, set[str]] = {name: set() for name in solution} if edges else {}
    for edge in edges:
        by, name = canonicalize_name(edge["by"]), canonicalize_name(edge["name"])
        if by == name or by not in found or not _is(edge["version"], solution[by]):
            continue  # An extra of the package itself, or a version that was tried and dropped.
        found[by].add(f"{name}{edge['extra'] or ''}{specifier(edge['range'])}")
    return {name: tuple(sorted(requirements)) for name, requirements in found.items()}


def yanked_in(stderr: str) -> dict[NormalizedName, str]:
    """The packages whose release was withdrawn from the index (PEP 592), and why: uv warns when it takes one."""
    return {canonicalize_name(found["name"]): found["why"] or "" for found in _YANKED.finditer(stderr)}


def _is(text: str, version: Version) -> bool:
    try:
        return Version(text) == version
    except InvalidVersion:
        return False


def specifier(text: str) -> str:
    """A range as uv's resolver writes it, as a version specifier; empty where it has no such form.

    uv writes ranges as intervals: ``>=2, <2.6 | >=2.6+`` for ``>=2,!=2.6`` (the plus stands for 2.6 with any local
    label) and ``>=2.6.dev0, <2.7.dev0`` for ``==2.6.*``.
    """
    text = text.strip()
    if text == "*":
        return ""
    text = re.sub(r"<(\S+)\.dev0 \| >=(\S+)\.dev0", lambda m: _wildcard("!=", m), text)
    text = re.sub(r"<(\S+) \| >=?(\S+?)\+?(?=,|$| \|)", lambda m: f"!={m[1]}" if m[1] == m[2] else m[0], text)
    text = re.sub(r">=(\S+)\.dev0, <(\S+)\.dev0", lambda m: _wildcard("==", m), text)
    text = re.sub(r">=(\S+), <(\S+)\+(?=,|$)", lambda m: f"=={m[1]}" if m[1] == m[2] else m[0], text)
    text = re.sub(r"<=(\S+)\+(?=,|$)", r"<=\1", text)
    text = re.sub(r"<(\S+)\.dev0(?=,|$)", r"<\1", text)
    try:
        return str(SpecifierSet(text.replace(" ", "")))
    except InvalidSpecifier:
        return ""


def _wildcard(operator: str, found: re.Match[str]) -> str:
    """``==2.6.*`` for the bounds 2.6 and 2.7; anything else as it was."""
    try:
        low, high = Version(found[1]).release, Version(found[2]).release
    except InvalidVersion:
        return found[0]
    following = (*low[:-1], low[-1] + 1)
    return f"{operator}{found[1]}.*" if high == following else found[0]
