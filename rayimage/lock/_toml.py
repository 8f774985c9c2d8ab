"""TOML in and, as much as a lock needs, out."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence

if sys.version_info >= (3, 11):
    from tomllib import loads
else:
    from tomli import loads

__all__ = ["Value", "array", "inline", "loads", "string"]

Value = str | int | Mapping[str, str] | Sequence[str]


def string(text: str) -> str:
    """A basic string. JSON escapes are TOML escapes; only DEL is left bare by JSON and forbidden by TOML."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")


def array(items: Sequence[str | Mapping[str, str]]) -> str:
    """An array on one line."""
    return "[" + ", ".join(_value(item) for item in items) + "]"


def inline(table: Mapping[str, Value]) -> str:
    """An inline table; the keys must be bare keys."""
    return "{ " + ", ".join(f"{key} = {_value(value)}" for key, value in table.items()) + " }"


def _value(value: Value) -> str:
    if isinstance(value, str):
        return string(value)
    if isinstance(value, int):
        return str(value)
    return inline(value) if isinstance(value, Mapping) else array(value)
