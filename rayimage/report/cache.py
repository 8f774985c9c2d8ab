"""The cache for people and for programs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rayimage.cachedir import Entry, Kind, Pruned
from rayimage.report.tables import print_table
from rayimage.report.wording import human_age, human_bytes

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["cache_data", "pruned_data", "pruned_text", "show_cache"]


def show_cache(console: Console, directory: Path, entries: Sequence[Entry], limit: int) -> None:
    """Where it is, how large, and what it holds by kind."""
    total = sum(entry.size for entry in entries)
    console.print(f"{directory}: {human_bytes(total)} of {human_bytes(limit)}", soft_wrap=True, markup=False)
    now = time.time()
    rows = [
        [
            kind.title,
            str(len(found)),
            human_bytes(sum(entry.size for entry in found)),
            human_age(now - max(entry.used for entry in found)),
            human_age(now - min(entry.used for entry in found)),
        ]
        for kind, found in _by_kind(entries)
    ]
    if rows:
        columns = {"kind": "wrap", "entries": "right", "size": "right", "last used": "right", "oldest": "right"}
        print_table(console, columns, rows)


def cache_data(directory: Path, entries: Sequence[Entry], limit: int) -> dict[str, Any]:
    """The same for programs: bytes, and times in seconds since the epoch."""
    return {
        "directory": str(directory),
        "size": sum(entry.size for entry in entries),
        "limit": limit,
        "kinds": {
            kind.name.lower().replace("_", "-"): {
                "entries": len(found),
                "size": sum(entry.size for entry in found),
                "lastUsed": max(entry.used for entry in found),
                "oldest": min(entry.used for entry in found),
            }
            for kind, found in _by_kind(entries)
        },
    }


def pruned_text(pruned: Pruned, *, dry_run: bool) -> str:
    """``312 entries removed, 4.2 GB; 5.0 GB left``."""
    if not pruned.removed:
        text = f"nothing to remove; {human_bytes(pruned.left)} in the cache"
    else:
        entries = "1 entry" if len(pruned.removed) == 1 else f"{len(pruned.removed)} entries"
        done = "would be removed" if dry_run else "removed"
        text = f"{entries} {done}, {human_bytes(pruned.size)}; {human_bytes(pruned.left)} left"
    return f"{text}, {human_bytes(pruned.in_use)} of it in use by running commands" if pruned.in_use else text


def pruned_data(pruned: Pruned, *, dry_run: bool) -> dict[str, Any]:
    """The same for programs, in bytes."""
    kinds = {kind.name.lower().replace("_", "-"): len(found) for kind, found in _by_kind(pruned.removed)}
    facts = {"dryRun": dry_run, "removed": len(pruned.removed), "removedSize": pruned.size}
    return {**facts, "left": pruned.left, "inUse": pruned.in_use, "kinds": kinds}


def _by_kind(entries: Sequence[Entry]) -> list[tuple[Kind, list[Entry]]]:
    found = [(kind, [entry for entry in entries if entry.kind is kind]) for kind in Kind]
    return [(kind, of_kind) for kind, of_kind in found if of_kind]
