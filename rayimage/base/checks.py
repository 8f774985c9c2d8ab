"""What Ray demands of the bases of one cluster, checked before anything is built.

Every node compares its Ray and Python versions with the head's when it joins, and a pod that differs crash-loops
(``check_version_info`` in ray's python/ray/_private/utils.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from rayimage.errors import BaseImageError
from rayimage.model.inventory import Distribution, Inventory
from rayimage.model.progress import SILENT, Progress

__all__ = ["check_bases", "require_ray"]

_SAME_RAY: Final = "choose bases of one Ray version for every role"
_SAME_MINOR: Final = "choose bases of one Python version for every role (-py3XX in Ray's tags)"
_SAME_PATCH: Final = "choose bases that were built together, or one base for every role"


def require_ray(inventory: Inventory, base_text: str) -> Distribution:
    """The Ray of a base; raises BaseImageError that names ``base_text`` when there is none."""
    if inventory.ray is None:
        raise BaseImageError(
            f"base {base_text} is not a Ray image",
            why=f"no distribution named ray is in {inventory.layout.purelib}, where "
            f"{inventory.layout.interpreter} looks for it",
            fix="use a rayproject/ray image, or one that installs Ray for the first Python on its PATH",
        )
    return inventory.ray


def check_bases(inventories: Mapping[str, Inventory], progress: Progress = SILENT) -> None:
    """Check that bases fit into one cluster; keys are what messages call them, such as ``head linux/amd64``.

    Raises BaseImageError when one has no Ray, when Ray versions differ, when Python's minor versions differ, or its
    patch versions on one platform. Ray's images for amd64 and arm64 are separate builds whose patch versions may
    differ (ray#28873): a cluster of one architecture runs with them, so that is a warning.
    """
    for label, inventory in inventories.items():
        require_ray(inventory, f"of {label}")
    _agree("Ray", _by(inventories, lambda found: str(found.ray.version) if found.ray else "none"), _SAME_RAY)
    _agree("Python", _by(inventories, lambda found: f"{found.python.major}.{found.python.minor}"), _SAME_MINOR)
    for platform in sorted({found.platform for found in inventories.values()}):
        here = {label: found for label, found in inventories.items() if found.platform == platform}
        _agree("Python", _by(here, lambda found: str(found.python)), _SAME_PATCH)
    patches = _by(inventories, lambda found: str(found.python))
    if len(patches) > 1:
        progress.warn(
            f"a cluster of mixed architectures will not form: {_told('Python', patches)}, "
            "and Ray compares the patch version of every node"
        )


def _by(inventories: Mapping[str, Inventory], key: Callable[[Inventory], str]) -> dict[str, list[str]]:
    """Labels by the version that ``key`` finds."""
    found: dict[str, list[str]] = {}
    for label, inventory in inventories.items():
        found.setdefault(key(inventory), []).append(label)
    return found


def _agree(what: str, labels: Mapping[str, list[str]], fix: str) -> None:
    if len(labels) > 1:
        raise BaseImageError(f"the bases have different {what} versions", why=_told(what, labels), fix=fix)


def _told(what: str, labels: Mapping[str, list[str]]) -> str:
    return "; ".join(f"{what} {version} in {', '.join(names)}" for version, names in labels.items())
