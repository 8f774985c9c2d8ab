"""Programs of others, run to the end."""

from __future__ import annotations

import os
import re
import signal
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
    with subprocess.Popen(
        command,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            output, errors = process.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired as error:
            raise BuildFailedError(f"{command[0]} took over {TIMEOUT} s") from error
        finally:
            if process.poll() is None:  # With all that it started: buildah's steps would go on without it.
                os.killpg(process.pid, signal.SIGKILL)
    if process.returncode:
        tail = "\n".join([*output.splitlines()[-15:], *errors.splitlines()[-25:]])
        raise BuildFailedError(f"{' '.join(command[:4])} … → {process.returncode}\n{tail}")
    return output
