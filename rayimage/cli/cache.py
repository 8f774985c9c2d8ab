"""``rayimage cache``: what is kept between runs, and pruning it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rayimage.cli.app import App, pass_app
from rayimage.cli.options import examples, global_options
from rayimage.errors import RayimageError, UsageError

if TYPE_CHECKING:
    from rayimage.cachedir import Entry, Pruned

__all__ = ["command"]


@click.group(
    "cache",
    invoke_without_command=True,
    epilog=examples("rayimage cache", "rayimage cache prune --max-size 5GB", "rayimage cache --json | jq .size"),
)
@click.pass_context
def command(context: click.Context) -> None:
    """Show what is kept between runs: where, of which kinds, how large, and when it was last used.

    The directory is that of RAYIMAGE_CACHE_DIR, else the system's usual one. After a command it shrinks to
    RAYIMAGE_CACHE_SIZE (20GB), the least recently used first.
    """
    if context.invoked_subcommand is None:
        _show(context.ensure_object(App))


@command.command(
    "prune",
    params=global_options(hidden=True),
    epilog=examples(
        "rayimage cache prune                     # to the limit, as each build does by itself",
        "rayimage cache prune --older-than 30d",
        "rayimage cache prune --all --dry-run",
    ),
)
@click.option("--max-size", metavar="SIZE", help="Until so much is left: 500MB, 5GB, 2GiB.")
@click.option("--older-than", metavar="AGE", help="What was not used for so long: 12h, 30d, 2w.")
@click.option("--all", "everything", is_flag=True, help="Everything.")
@click.option("--dry-run", is_flag=True, help="Say what would go, and remove nothing.")
@pass_app
def _prune(app: App, *, max_size: str | None, older_than: str | None, everything: bool, dry_run: bool) -> None:
    """Remove the least recently used, but nothing that a running command uses."""
    from rayimage.cachedir import parse_age, parse_size, size_limit
    from rayimage.report.cache import pruned_data, pruned_text

    if everything and (max_size or older_than):
        raise UsageError("--all goes with neither --max-size nor --older-than", fix="leave one of them out")
    before = time.time() - parse_age(older_than) if older_than else float("inf") if everything else None
    most = parse_size(max_size) if max_size else size_limit() if before is None else None
    pruned = _pruned(app.cache_home, most, before, dry_run=dry_run)
    if app.as_json:
        app.emit_json(pruned_data(pruned, dry_run=dry_run))
    else:
        app.progress.note(pruned_text(pruned, dry_run=dry_run))


def _show(app: App) -> None:
    from rayimage.cachedir import size_limit
    from rayimage.report.cache import cache_data, show_cache

    directory, limit = app.cache_home, size_limit()
    entries = _entries(directory)
    if app.as_json:
        app.emit_json(cache_data(directory, entries, limit))
    else:
        show_cache(app.out, directory, entries, limit)


def _entries(directory: Path) -> tuple[Entry, ...]:
    from rayimage.cachedir import survey

    _check(directory)
    try:
        return survey(directory)
    except OSError as error:
        raise RayimageError(
            f"cannot read the cache {directory}", why=str(error), fix="make it yours, or set RAYIMAGE_CACHE_DIR"
        ) from error


def _pruned(directory: Path, most: int | None, before: float | None, *, dry_run: bool) -> Pruned:
    from rayimage.cachedir import Pruned, prune

    _check(directory)
    if not directory.exists():
        return Pruned(removed=(), left=0, in_use=0)
    try:
        return prune(directory, most=most, before=before, dry_run=dry_run)
    except OSError as error:
        raise RayimageError(
            f"cannot prune the cache {directory}",
            why=str(error),
            fix="run this as the user who owns it, or set RAYIMAGE_CACHE_DIR",
        ) from error


def _check(directory: Path) -> None:
    if directory.exists() and not directory.is_dir():
        raise UsageError(
            f"the cache directory {directory} is no directory",
            why="it is a file",
            fix="set RAYIMAGE_CACHE_DIR to a directory, or to nothing for the usual one",
        )
