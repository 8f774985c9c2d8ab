"""A program that runs inside a base image, and the port through which one is run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import CompletedProcess

from rayimage.model.digest import Digest

__all__ = ["BaseCommand", "RunInBase"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseCommand:
    """A program and what it sees of this machine, at the paths that things have here.

    ``image`` is the digest of the base's manifest, ``arguments`` begin with a path in the image, ``directory`` is the
    working directory. ``readable`` and ``writable`` are absolute paths of files and directories that exist here.
    """

    image: Digest
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    directory: Path
    readable: tuple[Path, ...] = ()
    writable: tuple[Path, ...] = field(default=())


RunInBase = Callable[[BaseCommand], "CompletedProcess[str]"]
"""Runs a command as the current user and with the host's network; its output is captured.

Thread-safe. Raises EngineError when the base cannot be run here; that the program failed is in its return code.
"""
