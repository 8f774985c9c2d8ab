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
from rayimage.files import UNFINISHED

__all__ = ["SourceInfo", "read_source"]

_ELSEWHERE = frozenset({"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"})


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
    time used outside of a repository and before its first commit. Raises UsageError when SOURCE_DATE_EPOCH is no
    number, and when git cannot read the repository: the same tree would have another digest here than elsewhere.
    With SOURCE_DATE_EPOCH the revision is left out then.
    """
    epoch = _source_date_epoch()
    if not any((directory / ".git").exists() for directory in (root, *root.resolve().parents)):
        return SourceInfo(created=epoch or fallback)
    scope = ["--", ".", f":(exclude,glob)**/*{UNFINISHED}", *(f":(exclude,literal){path}" for path in exclude)]
    try:
        last = _git(root, "log", "-1", "--no-show-signature", "--format=%H %ct", *scope)
        dirty = bool(_git(root, "status", "--porcelain", "--untracked-files=normal", *scope))
        shallow = _git(root, "rev-parse", "--is-shallow-repository") == "true"
    except UsageError:
        if not epoch:
            raise
        return SourceInfo(created=epoch)
    if not last:
        return SourceInfo(created=epoch or fallback)
    commit, _, seconds = last.partition(" ")
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
    """The output of a git command, empty before the first commit. Raises UsageError when git does not answer."""
    # A hook's variables are about the repository that it runs for; messages are matched below.
    env = {key: value for key, value in os.environ.items() if key not in _ELSEWHERE} | {"LC_ALL": "C"}
    try:
        command = ["git", "-C", str(root), *args]
        run = subprocess.run(command, env=env, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    except OSError as error:
        raise _unknown(root, f"git cannot be started: {error.strerror or error}") from error
    if run.returncode == 0:
        return run.stdout.strip()
    if "does not have any commits yet" in run.stderr:
        return ""
    raise _unknown(root, run.stderr.strip() or f"git {args[0]} ended with {run.returncode}")


def _unknown(root: Path, why: str) -> UsageError:
    fix = "make `git status` work here, or set SOURCE_DATE_EPOCH to build without the commit"
    return UsageError(f"cannot tell the commit of {root}", why=why, fix=fix)
