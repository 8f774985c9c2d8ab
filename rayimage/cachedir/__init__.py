"""The cache directory: what lies where in it, who may write, what is in use, and what goes when it grows.

Everything in it can be made again, and is an entry: a file or directory named by the digest of what it is or is made
from. Entries appear in one step and never change. Their modification time is their last use.

Builds share the directory. Each has a session for as long as it runs; an entry that was used since the oldest living
session began is never pruned. Whoever deletes holds the root's lock alone, whoever marks an entry as used shares it:
what was found is there.
"""

from __future__ import annotations

from rayimage.cachedir.command import CommandCache
from rayimage.cachedir.directory import CacheDir
from rayimage.cachedir.kinds import Kind
from rayimage.cachedir.pruning import Entry, Pruned, prune, survey
from rayimage.cachedir.room import Room, cannot_write
from rayimage.cachedir.session import Session
from rayimage.cachedir.sizes import parse_age, parse_size, size_limit

__all__ = [
    "CacheDir",
    "CommandCache",
    "Entry",
    "Kind",
    "Pruned",
    "Room",
    "Session",
    "cannot_write",
    "parse_age",
    "parse_size",
    "prune",
    "size_limit",
    "survey",
]
