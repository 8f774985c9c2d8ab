"""TOML in, and the little that is written for a resolver out."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from datetime import date, time
from pathlib import Path
from typing import Any

from rayimage.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["inline", "parse_toml", "read_toml", "strings", "table"]


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file; raises ConfigError that names file and line when it cannot be read."""
    try:
        return parse_toml(path.read_bytes(), path)
    except OSError as error:
        why, fix = error.strerror or str(error), "create it, or leave out the keys that need it"
        raise ConfigError(f"cannot read {path}", why=why, fix=fix) from error


def parse_toml(data: bytes, path: Path) -> dict[str, Any]:
    """The tables of a TOML document that ``path`` has; raises ConfigError that names file and line."""
    text = ""
    try:
        text = data.decode()
        return tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not TOML", why=f"not UTF-8: {error.reason}", fix="save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        found = re.search(r" \(at line (\d+), column \d+\)", str(error))
        line = int(found[1]) if found else text.count("\n") + 1
        why = re.sub(r" \(at [^()]*\)$", "", str(error))
        raise ConfigError(f"{path}:{line}: not valid TOML", why=why, fix="correct the line") from error


def table(data: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    """The table at ``keys``; empty when there is none, or something else."""
    for key in keys:
        value = data.get(key)
        data = value if isinstance(value, dict) else {}
    return data


def strings(value: object) -> list[str]:
    """The strings of a list; none of anything else."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def inline(value: object) -> str:
    """A value as TOML writes it on one line. JSON's strings are TOML's, save DEL, which TOML wants escaped."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{inline(key)} = {inline(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return f"[{', '.join(map(inline, value))}]"
    if isinstance(value, date | time):
        return value.isoformat()
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
