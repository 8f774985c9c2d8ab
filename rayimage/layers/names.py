"""Names that must not reach a layer."""

from __future__ import annotations

import re

__all__ = ["WHITEOUT", "fault_in"]

WHITEOUT = ".wh."
"""Prefix of a whiteout (OCI image specification, layer.md); no real file may start with it."""

_DRIVE = re.compile(r"[A-Za-z]:")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_MAX_NAME = 255
_USUAL = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_.+~@=-]{0,254}/)*[A-Za-z0-9_][A-Za-z0-9_.+~@=-]{0,254}")
"""Nearly all paths there are; each part is plain ASCII and does not start with a dot."""
_MAX_PATH = 4095


def fault_in(path: str) -> str:
    """Why the relative path ``path`` must not be written below a directory of the image; ``""`` if it may."""
    if _USUAL.fullmatch(path) and len(path) <= _MAX_PATH:
        return ""
    names = path.split("/")
    faults = (
        (not path or path.startswith("/"), "the path is absolute or empty"),
        ("\\" in path, "the path has a backslash in it"),
        (_CONTROL.search(path), "the path has a control character in it"),
        (_DRIVE.match(path), "the path starts with a drive letter"),
        (_SURROGATE.search(path), "the path is not UTF-8"),
        (not {"", ".", ".."}.isdisjoint(names), "the path has an empty, . or .. part"),
        (any(name.startswith(WHITEOUT) for name in names), f"{WHITEOUT}* means removed files in an image"),
        (_length(path) > _MAX_PATH or max(map(_length, names)) > _MAX_NAME, "the path is longer than Linux allows"),
    )
    return next((why for is_fault, why in faults if is_fault), "")


def _length(text: str) -> int:
    return len(text.encode("utf-8", "replace"))
