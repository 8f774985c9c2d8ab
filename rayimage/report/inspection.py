"""An image as data, and the same for people."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rayimage.base import ResolvedBase
from rayimage.model.image_config import ImageConfig
from rayimage.model.inventory import Inventory
from rayimage.model.manifest import Manifest
from rayimage.report.tables import print_table
from rayimage.report.wording import count, human_bytes, shorten

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["inspection", "show_inspection"]

_OURS = re.compile(r"rayimage (?P<kind>\w+): (?P<content>.*)", re.DOTALL)
# What Docker's builders put around an instruction: the shell, build arguments, BuildKit's mark.
_SHELL = re.compile(r"^(?:RUN )?(?:\|\d+ .*? )?/bin/(?:ba)?sh -c (?:#\(nop\)\s*)?|\s*# buildkit$", re.DOTALL)
_CONTENT = 100
"""Characters of an instruction that are shown to people."""


def inspection(image: ResolvedBase, inventory: Inventory) -> dict[str, Any]:
    """What there is to know about an image, as plain JSON data with stable keys; sizes in bytes."""
    labels = {**image.config.labels, **image.manifest.annotations}
    ray = inventory.ray
    return {
        "reference": image.text,
        "digest": str(image.digest),
        "index": str(image.index_digest) if image.index_digest else None,
        "platform": str(image.platform),
        "created": image.config.data.get("created"),
        "size": image.manifest.config.size + sum(layer.size for layer in image.manifest.layers),
        "ray": str(ray.version) if ray else None,
        "python": str(inventory.python),
        "interpreter": inventory.layout.interpreter,
        "glibc": str(inventory.glibc) if inventory.glibc else None,
        "user": inventory.user,
        "uid": inventory.layout.uid,
        "gid": inventory.layout.gid,
        "workdir": inventory.workdir,
        "role": labels.get("io.rayimage.role"),
        "base": {
            "name": labels.get("org.opencontainers.image.base.name"),
            "digest": labels.get("org.opencontainers.image.base.digest"),
        },
        "lock": labels.get("io.rayimage.lock"),
        "revision": labels.get("org.opencontainers.image.revision"),
        "env": dict(image.config.env),
        "labels": dict(sorted(labels.items())),
        "packages": {dist.name: str(dist.version) for dist in sorted(inventory.distributions, key=lambda d: d.name)},
        "layers": list(_layers(image.manifest, image.config)),
    }


def show_inspection(console: Console, found: Mapping[str, Any], *, with_packages: bool) -> None:
    """``inspection`` for people: the facts, the layers, and the packages if asked for."""
    for name, value in _facts(found):
        console.print(f"{name:<10}{value}", markup=False, soft_wrap=True)
    console.print()
    layers = [
        (layer["kind"] or "", shorten(layer["content"] or layer["digest"], _CONTENT), human_bytes(layer["size"]))
        for layer in found["layers"]
    ]
    if any(kind for kind, _, _ in layers):
        print_table(console, {"layer": "left", "content": "wrap", "size": "right"}, layers)
    else:
        print_table(console, {"layer": "wrap", "size": "right"}, [row[1:] for row in layers])
    if with_packages:
        console.print()
        print_table(console, {"package": "left", "version": "left"}, found["packages"].items())


def _facts(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Those that are known, in the order in which they are asked for."""
    base = found["base"]
    facts = {
        "image": found["reference"],
        "digest": found["digest"],
        "platform": found["platform"],
        "size": f"{human_bytes(found['size'])} in {count(len(found['layers']), 'layer')}",
        "created": found["created"],
        "role": found["role"],
        "ray": found["ray"] or "none",
        "python": f"{found['python']} ({found['interpreter']})",
        "glibc": found["glibc"] or "none",
        "packages": str(len(found["packages"])),
        "user": f"{found['user']} ({found['uid']}:{found['gid']})",
        "workdir": found["workdir"],
        "base": base["name"],
        "": base["digest"],
        "lock": found["lock"],
        "revision": found["revision"],
    }
    return ((name, value) for name, value in facts.items() if value)


def _layers(manifest: Manifest, config: ImageConfig) -> Iterator[dict[str, Any]]:
    """Each layer with what its line of the history says; ``kind`` is ours, ``base`` below ours, else None."""
    history = _history(config, len(manifest.layers))
    ours = [_OURS.fullmatch(line) for line in history]
    first = next((position for position, match in enumerate(ours) if match), 0)
    for position, (layer, line, match) in enumerate(zip(manifest.layers, history, ours, strict=True)):
        yield {
            "kind": match["kind"] if match else "base" if position < first else None,
            "content": match["content"] if match else _instruction(line),
            "digest": str(layer.digest),
            "size": layer.size,
            "media-type": layer.media_type,
        }


def _history(config: ImageConfig, layers: int) -> list[str]:
    """What made each layer; empty lines where the history and the layers differ in number."""
    entries = [entry for entry in config.data.get("history") or () if isinstance(entry, dict)]
    lines = [str(entry.get("created_by") or "") for entry in entries if not entry.get("empty_layer")]
    return lines if len(lines) == layers else [""] * layers


def _instruction(line: str) -> str | None:
    return " ".join(_SHELL.sub("", line).split()) or None
