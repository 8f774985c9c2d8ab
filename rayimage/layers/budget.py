"""How wheels share the layers that an image may still have; README.md beside this file says why so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rayimage.errors import UsageError
from rayimage.model.digest import Digest
from rayimage.model.layering import Layering
from rayimage.model.lock import LockedWheel

__all__ = ["pack"]

_BUNDLES: Final = 8


def pack(
    wheels: Sequence[LockedWheel], *, room: int, layering: Layering | None = None
) -> tuple[tuple[LockedWheel, ...], ...]:
    """Distribute ``wheels`` over at most ``room`` layers, and as ``layering`` says, bottom layer first.

    * A wheel of ``alone_from`` bytes or more is a layer of its own, big ones at the bottom. When there are more than
      layers for them, the smallest join the bundles.
    * The rest share the bundles. A package's bundle follows from a hash of its *name* and from the number of bundles,
      which depends on ``layering`` and ``room`` alone.

    A wheel of unknown size counts as small. The result does not depend on the order of ``wheels``. Raises UsageError
    when there are wheels and no room.
    """
    layering = layering or Layering()
    if not wheels:
        return ()
    if room < 1:
        fix = "start from a base with fewer layers"
        raise UsageError("no layer is left for wheels", why="the image has as many as runtimes allow", fix=fix)
    most = min(room, layering.max_layers)
    count = min(most, layering.bundles or max(1, min(_BUNDLES, most // 4)))
    big = sorted((w for w in wheels if _size(w) >= layering.alone_from), key=_from_the_bottom)
    alone = big[: most - count]
    bundles: dict[int, list[LockedWheel]] = {}
    for wheel in [*big[len(alone) :], *(w for w in wheels if _size(w) < layering.alone_from)]:
        bundles.setdefault(int(Digest.of(wheel.name.encode()).hex[:16], 16) % count, []).append(wheel)
    shared = (tuple(sorted(bundles[n], key=lambda w: (w.name, w.filename))) for n in sorted(bundles))
    return (*((wheel,) for wheel in alone), *shared)


def _from_the_bottom(wheel: LockedWheel) -> tuple[int, str, str]:
    """By powers of two of the size: two wheels of like size do not change places whenever one of them grows."""
    return (-_size(wheel).bit_length(), wheel.name, wheel.filename)


def _size(wheel: LockedWheel) -> int:
    return wheel.size or 0
