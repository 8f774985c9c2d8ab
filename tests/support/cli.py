"""The command line as a user has it: another process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["rayimage", "rayimage_json"]


def rayimage(
    project: Path, *arguments: str, cache: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``rayimage -C project …`` with its cache below ``cache``, if given, and return what happened."""
    environment = {**os.environ, **({"RAYIMAGE_CACHE_DIR": str(cache)} if cache else {}), **(env or {})}
    command = [sys.executable, "-m", "rayimage", "-C", str(project), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)


def rayimage_json(
    project: Path, *arguments: str, cache: Path | None = None, env: Mapping[str, str] | None = None
) -> Any:
    """The data that ``rayimage --json …`` prints; raises AssertionError with its prose when it fails."""
    done = rayimage(project, "--json", *arguments, cache=cache, env=env)
    if done.returncode:
        raise AssertionError(f"rayimage {' '.join(arguments)} → {done.returncode}\n{done.stdout}\n{done.stderr}")
    return json.loads(done.stdout)
