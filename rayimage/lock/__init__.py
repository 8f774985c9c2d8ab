"""Lock roles against their bases: resolve, check the final environment, read and write pylock.toml.

``joint.resolve`` is imported from its module by those who lock: a build whose locks are there does not load it.
"""

from __future__ import annotations

from rayimage.lock.difference import difference
from rayimage.lock.engine import Engine, NoSolution, PackageFile, Question, ResolvedPackage
from rayimage.lock.environment import EnvironmentReport, Problem, check_environment, wheel_requires
from rayimage.lock.exchanged import EXCHANGED
from rayimage.lock.final import check_final
from rayimage.lock.pylock import NewerFormat, lock_path, read_lock, read_previous, write_lock, write_locks
from rayimage.lock.request import LOCK_FORMAT, LockRequest, Options, Rules, lock_inputs
from rayimage.lock.requirements import export_requirements, read_preferences
from rayimage.lock.stale import what_changed

__all__ = [
    "EXCHANGED",
    "LOCK_FORMAT",
    "Engine",
    "EnvironmentReport",
    "LockRequest",
    "NewerFormat",
    "NoSolution",
    "Options",
    "PackageFile",
    "Problem",
    "Question",
    "ResolvedPackage",
    "Rules",
    "check_environment",
    "check_final",
    "difference",
    "export_requirements",
    "lock_inputs",
    "lock_path",
    "read_lock",
    "read_preferences",
    "read_previous",
    "what_changed",
    "wheel_requires",
    "write_lock",
    "write_locks",
]
