"""Dependency specs: what a role asks for, and every file that says so.

``collect_specs`` reads requirements files and pyproject.toml into a ``RoleSpecs`` value. The resolver reads the
files itself; this room answers which files they are (so that a stale lock is noticed), what they ask for directly
(for reports and checks), and where they are wrong.
"""

from __future__ import annotations

from rayimage.specs.collect import RoleSpecs, collect_specs
from rayimage.specs.local import LocalPackage
from rayimage.specs.source import Source

__all__ = ["LocalPackage", "RoleSpecs", "Source", "collect_specs"]
