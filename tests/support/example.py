"""A copy of the example project to work on, so that the checkout stays as it is."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

__all__ = ["copy_example"]

ROOT = Path(__file__).parents[2]
BASE = "oci:../../.cache/base:2.55.1-py311"
REPOSITORY = "registry.example.com/team/fraud"


def copy_example(scratch: Path, *, repository: str, base: str | None = None) -> Path:
    """Copy ``examples/fraud`` and ``lockfiles`` below ``scratch``, to push to ``repository``; returns the project.

    The copy lies as deep as the original, and sees the same ``.cache``, so relative paths hold. ``base`` takes the
    place of the stand-in.
    """
    project = scratch / "examples/fraud"
    ignore = shutil.ignore_patterns("__pycache__", "pylock.*", "build")
    shutil.copytree(ROOT / "examples/fraud", project, ignore=ignore)
    if (ROOT / "lockfiles").is_dir():
        shutil.copytree(ROOT / "lockfiles", scratch / "lockfiles", ignore=ignore)
    (scratch / ".cache").symlink_to(os.path.relpath(ROOT / ".cache", scratch))
    config = project / "pyproject.toml"
    text = config.read_text(encoding="utf-8")
    for old, new in ((BASE, base or BASE), (REPOSITORY, repository)):
        if old not in text:
            raise AssertionError(f"{config} does not name {old!r} any more")
        text = text.replace(old, new)
    config.write_text(text, encoding="utf-8")
    return project
