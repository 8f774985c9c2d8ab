"""Programs of others, run to the end."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence

__all__ = ["BuildFailedError", "run"]

TIMEOUT = 1200
SETTINGS = re.compile(r"(UV|PIP|DOCKER|BUILDAH|STORAGE)_")
"""Variables that would make one contender's work another than the others'."""


class BuildFailedError(Exception):
    """A program did not do its work; the message has the end of what it printed."""


def run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    """Run to the end and return what it printed; raises BuildFailedError."""
    env = {key: value for key, value in os.environ.items() if not SETTINGS.match(key)} | dict(environment or {})
    try:
        done = subprocess.run(
            command, env=env, capture_output=True, text=True, timeout=TIMEOUT, errors="replace", check=False
        )
    except subprocess.TimeoutExpired as error:
        raise BuildFailedError(f"{command[0]} took over {TIMEOUT} s") from error
    if done.returncode:
        tail = "\n".join([*done.stdout.splitlines()[-15:], *done.stderr.splitlines()[-25:]])
        raise BuildFailedError(f"{' '.join(command[:4])} … → {done.returncode}\n{tail}")
    return done.stdout
