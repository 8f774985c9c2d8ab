"""pip's settings that say where packages come from: files and PIP_* variables as one environment.

pip's other settings (a target directory, required hashes, constraints of the machine) are about installing there; as
with uv, they are no part of a lock's inputs. Credentials stay in the environment: arguments are visible to everyone.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from rayimage.errors import LockError
from rayimage.lock.explain import redact

__all__ = ["host_environment", "index_settings", "named_files", "network_variables", "parse_settings"]

_KEYS = frozenset(
    {
        "cert",
        "client-cert",
        "default-timeout",
        "extra-index-url",
        "find-links",
        "index-url",
        "keyring-provider",
        "no-index",
        "pre",
        "prefer-binary",
        "proxy",
        "retries",
        "timeout",
        "trusted-host",
        "uploaded-prior-to",
        "use-deprecated",
        "use-feature",
    }
)
_SECTIONS = ("global", "install", ":env:")
"""Later ones win. pip-compile reads them as ``pip install`` does."""
_NETWORK = frozenset(
    {"CURL_CA_BUNDLE", "NETRC", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"}
    | {f"{scheme}_PROXY" for scheme in ("ALL", "HTTP", "HTTPS", "NO")}
)
_FILES = ("PIP_CERT", "PIP_CLIENT_CERT", "PIP_FIND_LINKS", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL")


def index_settings(work: Path) -> dict[str, str]:
    """The PIP_* variables that stand for pip's settings on this machine; raises LockError when pip cannot say.

    ``work`` is any directory without Python modules in it.
    """
    command = [sys.executable, "-m", "pip", "config", "list"]
    done = subprocess.run(
        command, cwd=work, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", check=False
    )
    if done.returncode:
        why = redact(" ".join(done.stderr.split()) or f"exit code {done.returncode}")
        raise LockError("pip's settings cannot be read", why=why, fix="see: python -m pip config debug")
    return parse_settings(done.stdout)


def parse_settings(text: str) -> dict[str, str]:
    """Read ``pip config list``: a line ``section.key='value'`` for each setting, values as Python writes them."""
    found: dict[tuple[str, str], str] = {}
    for line in text.splitlines():
        setting = re.fullmatch(r"(:env:|\w+)\.([\w-]+)=(.+)", line)
        if setting and setting[2] in _KEYS:
            found[(setting[1], setting[2])] = " ".join(str(ast.literal_eval(setting[3])).split())
    return {
        f"PIP_{key.upper().replace('-', '_')}": value
        for section in _SECTIONS
        for (there, key), value in sorted(found.items())
        if there == section and value
    }


def host_environment(environ: Mapping[str, str], settings: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with ``settings`` in the place of every setting of pip and pip-tools."""
    kept = {key: value for key, value in environ.items() if not key.startswith("PIP_")}
    return {**kept, **settings, "PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def network_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables for proxies, certificates and .netrc that pip heeds; ~/.netrc is named where it exists."""
    found = {key: value for key, value in environ.items() if key.upper() in _NETWORK}
    netrc = Path(environ.get("HOME", "/nonexistent")) / ".netrc"
    return ({"NETRC": str(netrc)} if netrc.is_file() else {}) | found


def named_files(environment: Mapping[str, str]) -> Iterator[Path]:
    """Files and directories of this machine that an environment of pip's names, as paths or as file: URLs."""
    for key, value in environment.items():
        if key not in _FILES and key not in _NETWORK:
            continue
        for word in value.split() if key in _FILES else [value]:
            url = urlsplit(word)
            path = Path(unquote(url.path))
            if url.scheme in ("", "file") and path.is_absolute() and path.exists():
                # The files of an index lie beside its pages, not below them.
                yield path.parent if key.endswith("INDEX_URL") else path
