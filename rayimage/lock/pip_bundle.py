"""pip-tools for another interpreter: copies of what is installed here, which is pure Python all through.

A base has pip but no pip-tools. Copies need no package index, and are of the versions that work together here.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from rayimage.cachedir import CacheDir, Kind
from rayimage.errors import LockError
from rayimage.lock.target import Target, applies
from rayimage.model.digest import Digest

__all__ = ["copy_tools"]

_ROOT = "pip-tools"
_LEFT_OUT = (".pyc", ".so", ".exe")


def copy_tools(target: Target, parent: Path) -> Path:
    """A directory below ``parent`` to put on ``sys.path`` of the target's Python; made once for each set of versions.

    Raises LockError when something is missing here, or does not run in that Python.
    """
    tools = _closure(target)
    for tool in tools:
        if not SpecifierSet(tool.metadata["Requires-Python"] or "").contains(target.python, prereleases=True):
            raise LockError(
                f"pip-tools cannot run in Python {target.minor}",
                why=f"{tool.name} {tool.version} here is for Python {tool.metadata['Requires-Python']}",
                fix=f"install rayimage with an older Python, or an older {tool.name}; or lock with --engine uv",
            )
    key = Digest.of("\n".join(sorted(f"{tool.name} {tool.version}" for tool in tools)).encode())
    cache = CacheDir(parent)
    directory = cache.path(Kind.PIP_TOOLS, key.short)
    if not cache.use(directory):
        try:
            cache.make(directory, lambda target: _copy(tools, target))
        except OSError as error:
            raise LockError(f"cannot write {directory}", why=str(error), fix="make the cache writable") from error
    return directory


def _closure(target: Target) -> tuple[Distribution, ...]:
    """pip-tools and all that it requires with the target's Python."""
    found: dict[str, Distribution] = {}
    pending, environment = [_ROOT], target.environment
    while pending:
        name = pending.pop()
        if name in found:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError as error:
            raise LockError(
                f"pip-tools cannot run in Python {target.minor}",
                why=f"it needs {name} there, and it is taken from here, where {name} is not installed",
                fix=f"pip install {name}, or lock with --engine uv",
            ) from error
        requirements = map(Requirement, found[name].requires or ())
        pending += [canonicalize_name(each.name) for each in requirements if applies(each, environment)]
    return tuple(found.values())


def _copy(tools: Iterable[Distribution], directory: Path) -> None:
    for tool in tools:
        for file in tool.files or ():
            # Programs lie outside of site-packages, as ../../bin/pip.
            if ".." not in file.parts and file.suffix not in _LEFT_OUT:
                (directory / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(str(file.locate()), directory / file)
