"""Which layers of a build need not be made, since the registry has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rayimage.builders.inputs import BuildInput
from rayimage.builders.planner import lock_digest
from rayimage.builders.remote_cache import KnownLayer, Record, RemoteCache, current_checked_name
from rayimage.image.plan import LayerKind
from rayimage.layers import LayerCache, WheelMetadata
from rayimage.model.digest import Digest
from rayimage.model.inventory import InstallLayout

__all__ = ["RemoteLayers", "checked_by"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteLayers:
    """Layers by key that the registry has and this machine has not, and what must be known of them besides."""

    layers: Mapping[Digest, KnownLayer] = field(default_factory=dict)
    records: Mapping[Digest, Record] = field(default_factory=dict)
    """By the layer's key, where files must be compared."""
    packages: Mapping[Digest, tuple[WheelMetadata, ...]] = field(default_factory=dict)
    """By ``checked_by``, where they were compared before."""

    @classmethod
    def find(cls, remote: RemoteCache | None, inputs: Sequence[BuildInput], local: LayerCache) -> RemoteLayers:
        """Ask for all wheel layers of ``inputs`` that are not in ``local``.

        A layer whose files must be compared and are nowhere recorded is left out: to build it is the way to know them.
        """
        if remote is None:
            return cls()
        keys = {item.plan.label: _wheel_keys(item) for item in inputs}
        missing = [key for key in dict.fromkeys(key for each in keys.values() for key in each) if not local.get(key)]
        if not missing:
            return cls()
        layers = dict(remote.find(missing))
        partly = [item for item in inputs if layers.keys() & keys[item.plan.label]]
        checked = [item for item in partly if _is_checked(item, remote)]
        compared = {key for item in partly if item not in checked for key in keys[item.plan.label] if key in layers}
        records = remote.records([layers[key] for key in layers if key in compared])
        return cls(
            layers={key: layer for key, layer in layers.items() if key not in compared or key in records},
            records=records,
            packages=remote.packages(map(checked_by, checked)),
        )


def checked_by(item: BuildInput) -> Digest:
    """The name of what a build of ``item`` has compared: base and wheels, by their content."""
    return current_checked_name(lock_digest(item.lock))


def _wheel_keys(item: BuildInput) -> list[Digest]:
    return [spec.key for spec in item.plan.layers if spec.kind is LayerKind.WHEELS and spec.key]


def _is_checked(item: BuildInput, remote: RemoteCache) -> bool:
    """Whether an earlier build compared these wheels on this base, and the code is not among them."""
    code = any(spec.kind is LayerKind.CODE for spec in item.plan.layers)
    apart = not code or (item.tree is not None and _is_apart(item.plan.config.workdir, item.inventory.layout))
    return apart and remote.was_checked(checked_by(item))


def _is_apart(workdir: str, layout: InstallLayout) -> bool:
    """Whether no file below ``workdir`` can meet one of a wheel, which all lie below the install roots."""
    roots = (layout.prefix, layout.purelib, layout.platlib, layout.scripts, layout.data, layout.headers)
    below = f"{workdir.rstrip('/')}/"
    return not any(below.startswith(f"{root.rstrip('/')}/") or f"{root}/".startswith(below) for root in roots)
