"""What changed since a lock was made, for whoever has to lock again."""

from __future__ import annotations

from collections.abc import Iterator

from rayimage.lock.request import LockRequest, lock_inputs
from rayimage.model.lock import RoleLock

__all__ = ["what_changed"]


def what_changed(lock: RoleLock, request: LockRequest) -> str:
    """Why ``lock`` is not one of ``request`` as it is now, base first, then file by file; empty when it is."""
    if lock.inputs == lock_inputs(request):
        return ""
    base, now = lock.base, request.inventory
    if base.reference != request.base:
        return f"it was made for base {base.reference}, the configuration says {request.base}"
    if base.digest != now.image:
        return f"the base {request.base} was {base.digest.short} when it was made and is {now.image.short} now"
    if base.python != now.python or lock.platform != request.platform:
        return f"it was made for Python {base.python} on {lock.platform}"
    if files := ", ".join(_files(dict(lock.specs), dict(request.specs.files))):
        return files
    return "which requirements are wanted changed, or base-packages, allow-skew or index: see the configuration"


def _files(before: dict[str, object], now: dict[str, object]) -> Iterator[str]:
    for name in sorted({*before, *now}):
        if name not in before:
            yield f"{name} is new"
        elif name not in now:
            yield f"{name} is not used any more"
        elif before[name] != now[name]:
            yield f"{name} changed"
