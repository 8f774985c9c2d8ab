"""How wheels share the layers that an image may still have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rayimage.errors import UsageError
from rayimage.model.digest import Digest
from rayimage.model.lock import LockedWheel

__all__ = ["pack"]

_ALONE_FROM: Final = 8 << 20
_BUNDLES: Final = 8


def pack(wheels: Sequence[LockedWheel], *, max_layers: int) -> tuple[tuple[LockedWheel, ...], ...]:
    """Distribute ``wheels`` over at most ``max_layers`` layers, bottom layer first.

    * A wheel of 8 MiB or more is a layer of its own, biggest first: it is worth a request of its own, and a change of
      any other wheel leaves it where it is on every node. The biggest lie at the bottom because a runtime unpacks
      again whatever lies above a changed layer.
    * The rest, and big ones for which no layer is left, share at most 8 bundles. A package's bundle follows from a
      hash of its *name*: another version, or one package more or less, changes that one layer and no other. A hash
      over sizes or positions would move packages that did not change.
    * With few layers the bundles get a quarter of them, at least one; so the number of bundles depends on
      ``max_layers`` alone.

    A wheel of unknown size counts as small. The result does not depend on the order of ``wheels``. Raises UsageError
    when there are wheels and ``max_layers`` is below 1.
    """
    if not wheels:
        return ()
    if max_layers < 1:
        fix = "start from a base with fewer layers"
        raise UsageError("no layer is left for wheels", why="the image has as many as runtimes allow", fix=fix)
    count = min(_BUNDLES, max(1, max_layers // 4))
    big = sorted((w for w in wheels if _size(w) >= _ALONE_FROM), key=lambda w: (-_size(w), w.name, w.filename))
    alone = big[: max_layers - count]
    bundles: dict[int, list[LockedWheel]] = {}
    for wheel in [*big[len(alone) :], *(w for w in wheels if _size(w) < _ALONE_FROM)]:
        bundles.setdefault(int(Digest.of(wheel.name.encode()).hex[:16], 16) % count, []).append(wheel)
    shared = (tuple(sorted(bundles[n], key=lambda w: (w.name, w.filename))) for n in sorted(bundles))
    return (*((wheel,) for wheel in alone), *shared)


def _size(wheel: LockedWheel) -> int:
    return wheel.size or 0
