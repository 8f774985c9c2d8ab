"""Package indexes that the project's files name, for what is downloaded when images are built.

Resolving is the resolver's: uv reads its settings itself. Here they only say whose credentials are for which host.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from rayimage.errors import ConfigError
from rayimage.specs.local import workspace
from rayimage.specs.toml import read_toml, table

__all__ = ["index_entries", "index_names", "project_indexes", "user_indexes"]


def project_indexes(root: Path) -> tuple[str, ...]:
    """The index URLs of the project in ``root`` and of its workspace, ``name=URL`` where they have names.

    From uv.toml, and from pyproject.toml the settings of uv, Poetry and PDM.
    """
    with suppress(ConfigError):  # Whoever needs the file says what is wrong with it.
        above, _ = workspace(root)
        places = dict.fromkeys((root, above or root))
        return tuple(dict.fromkeys(url for place in places for url in _of_directory(place)))
    return ()


def user_indexes(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The same of the user's and the machine's uv.toml (or the one that ``UV_CONFIG_FILE`` names instead)."""
    if environ.get("UV_NO_CONFIG"):
        return ()
    home = environ.get("XDG_CONFIG_HOME") or (f"{environ['HOME']}/.config" if environ.get("HOME") else "")
    named = environ.get("UV_CONFIG_FILE")
    files = [named] if named else [*([f"{home}/uv/uv.toml"] if home else []), "/etc/uv/uv.toml"]
    with suppress(ConfigError):  # uv says what is wrong with them.
        return tuple(dict.fromkeys(url for f in map(Path, files) if f.is_file() for url in _of_uv(read_toml(f))))
    return ()


def index_entries(uv: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The entries of ``[[index]]`` in settings of uv."""
    return _entries(uv.get("index"))


def index_names(data: Mapping[str, Any]) -> Mapping[str, str]:
    """The indexes that a pyproject.toml names, for uv or Poetry: URL → name."""
    entries = [*index_entries(table(data, "tool", "uv")), *_entries(table(data, "tool", "poetry").get("source"))]
    return {str(e["url"]).rstrip("/"): str(e["name"]) for e in entries if "url" in e and "name" in e}


def _of_directory(directory: Path) -> Iterator[str]:
    settings, pyproject = directory / "uv.toml", directory / "pyproject.toml"
    if settings.is_file():
        yield from _of_uv(read_toml(settings))
    data = read_toml(pyproject) if pyproject.is_file() else {}
    yield from _of_uv(table(data, "tool", "uv"))
    for tool in ("poetry", "pdm"):
        yield from _urls(_entries(table(data, "tool", tool).get("source")))


def _of_uv(uv: Mapping[str, Any]) -> Iterator[str]:
    yield from _urls(index_entries(uv))
    extra = uv.get("extra-index-url")
    old = [uv.get("index-url"), *(extra if isinstance(extra, list) else [])]
    yield from (str(url) for url in old if url and "://" in str(url))


def _urls(entries: list[Mapping[str, Any]]) -> Iterator[str]:
    for entry in entries:
        url = str(entry.get("url", ""))
        if "://" in url:
            yield f"{entry['name']}={url}" if "name" in entry else url


def _entries(value: object) -> list[Mapping[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []
