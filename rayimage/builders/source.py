"""When and from what the code was made: the commit, or SOURCE_DATE_EPOCH; never the clock.

An image that changed with every commit would roll the whole cluster for a changed README, and a CI job that commits the
new digest would build for ever. So the commit that counts is the last one that touched what goes into the image.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from rayimage.errors import UsageError

__all__ = ["SourceInfo", "read_source"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceInfo:
    """``created`` is RFC 3339 in UTC, ``revision`` a full commit id, empty when the tree differs from it."""

    created: str
    revision: str = ""
    shallow: bool = False
    """The history ends early (a CI checkout of depth 1), so the commit may be later than the last that matters."""


def read_source(root: Path, *, exclude: Sequence[str] = (), fallback: str) -> SourceInfo:
    """Read the last commit that touched ``root`` outside of ``exclude`` (POSIX paths relative to it).

    SOURCE_DATE_EPOCH wins over the commit's time (reproducible-builds.org/specs/source-date-epoch); ``fallback`` is the
    time used where there is neither. Raises UsageError when SOURCE_DATE_EPOCH is no number.
    """
    epoch = _source_date_epoch()
    scope = ["--", ".", *(f":(exclude,literal){path}" for path in exclude)]
    last = _git(root, "log", "-1", "--format=%H %ct", *scope)
    if not last:
        return SourceInfo(created=epoch or fallback)
    commit, _, seconds = last.partition(" ")
    dirty = bool(_git(root, "status", "--porcelain", "--untracked-files=normal", *scope))
    shallow = _git(root, "rev-parse", "--is-shallow-repository") == "true"
    return SourceInfo(
        created=epoch or _rfc3339(int(seconds)), revision="" if dirty else commit, shallow=shallow and not epoch
    )


def _source_date_epoch() -> str:
    text = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not text:
        return ""
    try:
        return _rfc3339(int(text))
    except (ValueError, OverflowError, OSError) as error:
        fix = "set it to seconds since 1970, for example $(git log -1 --format=%ct)"
        raise UsageError(f"SOURCE_DATE_EPOCH={text!r} is no time", fix=fix) from error


def _rfc3339(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _git(root: Path, *args: str) -> str:
    """The output of a git command, empty when there is no git, no repository or no commit."""
    try:
        command = ["git", "-C", str(root), *args]
        run = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    except OSError:
        return ""
    return run.stdout.strip() if run.returncode == 0 else ""
