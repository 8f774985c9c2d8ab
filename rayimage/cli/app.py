"""What every command shares: where it runs, how loud it is, where its output goes."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

    from rayimage.cachedir import CommandCache
    from rayimage.model.reference import Reference
    from rayimage.registry import Registries, Repository
    from rayimage.report.progress import ConsoleProgress

__all__ = ["App", "leave_quietly", "pass_app"]

_READER_GONE = 128 + 13
"""What a shell calls a program that SIGPIPE ended."""


@dataclass(kw_only=True)
class App:
    """The global options, and the two consoles: data goes to ``out`` (stdout), prose and progress to ``err``.

    Made before the command line is read and filled while it is, so that an error knows how to show itself.
    """

    directory: Path = field(default_factory=Path.cwd)
    as_json: bool = False
    quiet: bool = False
    verbose: bool = False
    color: str = "auto"
    answered: bool = False
    """Whether stdout has its JSON document."""

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

    @property
    def cache_home(self) -> Path:
        """The directory of the cache: RAYIMAGE_CACHE_DIR, else the platform's cache directory."""
        import platformdirs

        return Path(os.environ.get("RAYIMAGE_CACHE_DIR") or platformdirs.user_cache_path("rayimage")).absolute()

    @cached_property
    def cache(self) -> CommandCache:
        """The cache, opened when it is first needed."""
        from rayimage.cachedir import CommandCache, size_limit

        return CommandCache(self.cache_home, size_limit(), self.progress.warn)

    @property
    def cache_dir(self) -> Path:
        """Where this command finds and keeps content: the cache, or a stand-in for one that cannot be written."""
        return self.cache.root

    def close(self) -> None:
        """Leave the cache, which may then shrink to its limit."""
        if "cache" in vars(self):
            pruned = self.cache.close()
            if pruned and pruned.removed:
                from rayimage.report.wording import human_bytes

                self.progress.detail(f"cache: {human_bytes(pruned.size)} removed, {human_bytes(pruned.left)} left")

    @cached_property
    def registries(self) -> Registries:
        """Every registry that the command speaks to."""
        from rayimage.cachedir import Kind
        from rayimage.registry import Registries

        return Registries(uploads=self.cache_dir / Kind.UPLOADS.directory)

    def open_repository(self, name: Reference) -> Repository:
        """The repository of ``name``, to read from; only a command that reads from one loads what speaks HTTP."""
        return self.registries.open(name)

    def shown(self, file: Path) -> str:
        """``file`` as a person in this directory would write it."""
        return min(os.path.relpath(file, self.directory), str(file), key=len)

    def next_step(self, text: str) -> None:
        """What a person does now; on stderr, unless quiet or asked for JSON."""
        if not self.as_json:
            self.progress.hint(text)

    def emit_json(self, data: Any) -> None:
        """Write the one JSON document to stdout."""
        import json

        self.answered = True
        self.emit_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n")

    def emit_text(self, text: str) -> None:
        """Write plain text to stdout, as it is."""
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except BrokenPipeError:
            leave_quietly()

    def _console(self, *, stderr: bool) -> Console:
        from rayimage.cli.console import open_console

        return open_console(stderr=stderr, color=self.color)


def leave_quietly() -> None:
    """End the command because the reader of its output (``head``, ``less``) went away: not an error of ours."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())  # or the interpreter would complain when it flushes at its end
    raise click.exceptions.Exit(_READER_GONE)


pass_app = click.make_pass_decorator(App)
"""Give a command its App as first argument."""
