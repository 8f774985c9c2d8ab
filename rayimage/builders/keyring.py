"""Passwords from a keyring, asked for as uv and pip do it: by the ``keyring`` program, where it is switched on.

https://docs.astral.sh/uv/reference/environment/#uv_keyring_provider,
https://pip.pypa.io/en/stable/topics/authentication/#keyring-support
"""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import lru_cache

from rayimage.http.urls import host_and_port, redact

__all__ = ["keyring_password"]

_PROVIDERS = ("UV_KEYRING_PROVIDER", "PIP_KEYRING_PROVIDER")


@lru_cache
def keyring_password(url: str, user: str) -> str | None:
    """The password of ``user`` for ``url``, else for its host; None when there is none or no keyring is wanted."""
    program = shutil.which("keyring")
    if program is None or not any(os.environ.get(name) == "subprocess" for name in _PROVIDERS):
        return None
    for service in (redact(url), host_and_port(url)):
        done = subprocess.run(
            [program, "get", service, user], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if not done.returncode and (password := done.stdout.rstrip("\r\n")):
            return password
    return None
