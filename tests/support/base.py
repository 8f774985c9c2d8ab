"""The Ray base image that tests build on: the stand-in of ``scripts/standin_base.py``, or one that the caller names."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support.services import MissingPartError

__all__ = ["TAG", "BaseLayout", "base_reference", "standin_layout"]

ROOT = Path(__file__).parents[2]
TAG = "2.55.1-py311"
CANNOT_BUILD = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseLayout:
    """An OCI layout with a Ray base in it; ``reference`` is how a configuration names it."""

    path: Path
    tag: str

    @property
    def reference(self) -> str:
        """``oci:PATH:TAG``."""
        return f"oci:{self.path}:{self.tag}"


def standin_layout() -> BaseLayout:
    """Build the stand-in, or take it from its cache; raises MissingPartError where that cannot be done."""
    layout = BaseLayout(path=ROOT / ".cache/base", tag=TAG)
    command = [sys.executable, str(ROOT / "scripts/standin_base.py"), "--output", str(layout.path), "--tag", TAG]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no output"]
        if done.returncode == CANNOT_BUILD:
            raise MissingPartError(f"stand-in base: {last[0]}")
        raise AssertionError(f"scripts/standin_base.py → {done.returncode}\n{done.stderr}")
    return layout


def base_reference() -> str:
    """RAYIMAGE_TEST_BASE (a published base, where a registry with one answers), else the stand-in."""
    return os.environ.get("RAYIMAGE_TEST_BASE") or standin_layout().reference
