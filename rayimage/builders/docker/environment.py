"""The part of this process's environment that says where packages come from, as a container can use it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from rayimage.builders.docker.step import WORK

__all__ = ["in_container"]

_FILES: Final = ("CURL_CA_BUNDLE", "NETRC", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "UV_CONFIG_FILE")
_PROXIES: Final = frozenset(f"{scheme}_PROXY" for scheme in ("ALL", "HTTP", "HTTPS", "NO"))
# About this machine's Python, cache and projects.
_HERE: Final = ("UV_CACHE", "UV_PROJECT", "UV_PYTHON", "UV_SYSTEM", "UV_TOOL", "UV_WORKING", "UV_KEYRING")


def in_container(environ: Mapping[str, str]) -> tuple[dict[str, str], dict[str, Path | bytes]]:
    """Variables, and the files that they name (by path in the container): proxies, certificates, netrc, uv's settings.

    Nothing of it is kept: the variables are those of one container, and the files lie where no layer is made of.
    """
    home = Path(environ.get("HOME", "/nonexistent"))
    named = {"NETRC": str(home / ".netrc"), "UV_CONFIG_FILE": str(home / ".config/uv/uv.toml")}
    given = {key: environ.get(key) or named.get(key, "") for key in _FILES}
    files = {key: Path(path) for key, path in given.items() if path and Path(path).is_file()}
    variables = {key: value for key, value in environ.items() if key.upper() in _PROXIES}
    variables |= {
        key: value
        for key, value in environ.items()
        if key.startswith("UV_") and not key.startswith(_HERE) and key not in _FILES
    }
    variables |= {key: f"{WORK}/settings/{key.lower()}" for key in files}
    return variables, {f"{WORK}/settings/{key.lower()}": path for key, path in files.items()}
