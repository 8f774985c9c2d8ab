"""TOML in and, as much as a lock needs, out."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping

if sys.version_info >= (3, 11):
    from tomllib import loads
else:
    from tomli import loads

__all__ = ["inline", "loads", "string"]


def string(text: str) -> str:
    """A basic string. JSON escapes are TOML escapes; only DEL is left bare by JSON and forbidden by TOML."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")


def inline(table: Mapping[str, str | int | Mapping[str, str]]) -> str:
    """An inline table; the keys must be bare keys."""
    return "{ " + ", ".join(f"{key} = {_value(value)}" for key, value in table.items()) + " }"


def _value(value: str | int | Mapping[str, str]) -> str:
    if isinstance(value, str):
        return string(value)
    return str(value) if isinstance(value, int) else inline(value)
