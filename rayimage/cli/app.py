"""What every command shares: where it runs, how loud it is, where its output goes."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

    from rayimage.report.progress import ConsoleProgress

__all__ = ["App", "pass_app"]


@dataclass(frozen=True, kw_only=True)
class App:
    """The global options, and the two consoles: data goes to ``out`` (stdout), prose and progress to ``err``."""

    directory: Path
    as_json: bool = False
    quiet: bool = False
    verbose: bool = False
    color: str = "auto"

    @cached_property
    def out(self) -> Console:
        """Stdout, for data."""
        return self._console(stderr=False)

    @cached_property
    def err(self) -> Console:
        """Stderr, for everything else."""
        return self._console(stderr=True)

    @cached_property
    def progress(self) -> ConsoleProgress:
        """The listener that stages report to."""
        from rayimage.report.progress import ConsoleProgress

        return ConsoleProgress(self.err, quiet=self.quiet, verbose=self.verbose)

    @cached_property
    def cache_dir(self) -> Path:
        """Where content is cached: RAYIMAGE_CACHE_DIR, else the platform's cache directory."""
        import platformdirs

        return Path(os.environ.get("RAYIMAGE_CACHE_DIR") or platformdirs.user_cache_path("rayimage"))

    def emit_json(self, data: Any) -> None:
        """Write one JSON document to stdout."""
        sys.stdout.write(json.dumps(data, indent=2, ensure_ascii=False) + "\n")

    def emit_text(self, text: str) -> None:
        """Write plain text to stdout, as it is."""
        sys.stdout.write(text)

    def _console(self, *, stderr: bool) -> Console:
        from rich.console import Console

        forced = {"always": True, "never": False}.get(self.color)
        stream = sys.stderr if stderr else sys.stdout
        # A pipe has no width: tables get a fixed one instead of rich's 80, so that references stay on one line.
        width = None if stream.isatty() else 140
        return Console(stderr=stderr, force_terminal=forced, no_color=forced is False or None, width=width)


pass_app = click.make_pass_decorator(App)
"""Give a command its App as first argument."""
