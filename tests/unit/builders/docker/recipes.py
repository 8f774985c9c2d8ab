"""Build inputs for tests of the Docker builder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from rayimage.base import read_inventory, resolve_base
from rayimage.builders.direct import BuildInput
from rayimage.builders.planner import RoleSettings, plan_image
from rayimage.builders.source import SourceInfo
from rayimage.layers import collect_code
from rayimage.model.digest import Digest
from rayimage.model.lock import LockedWheel
from tests.support.images import dist_info, make_image, make_layer, ray_base
from tests.support.values import AMD64, SITE, lock, move, wheel

__all__ = ["PIP", "UV", "build_input", "file_wheel"]

PIP = dist_info("pip", "24.3.1")
UV = dist_info("uv", "0.9.0", files={"../../../bin/uv": "uv"}, site=SITE)


def build_input(directory: Path, *wheels: LockedWheel, installed: Any = PIP, **settings: Any) -> BuildInput:
    """A head on a base with Ray and ``old`` 1.0, which the lock replaces where it has another one."""
    files = {**ray_base(), **dist_info("old", "1.0", files={"old/__init__.py": "1"}), **installed}
    make_image(directory / "base", [make_layer(files)], user="1000", tag="2.55.1")
    base = resolve_base("oci:base:2.55.1", AMD64, root=directory)
    inventory = read_inventory(base, cache_dir=directory / "cache")
    moves = tuple(move("old", "1.0", str(each.version)) for each in wheels if each.name == "old")
    locked = lock(*wheels, moves=moves)
    locked = replace(locked, base=replace(locked.base, digest=base.digest))
    project = directory / "project"
    project.mkdir(exist_ok=True)
    values: dict[str, Any] = {"code": "copy", "workdir": "/home/ray/app", **settings}
    role = RoleSettings(name="head", base_name="base:2.55.1", base_layers=1, **values)
    tree = collect_code(project) if role.code == "copy" else None
    plan = plan_image(role, inventory, locked, tree, SourceInfo(created="2026-01-02T03:04:05Z"))
    return BuildInput(plan=plan, base=base, inventory=inventory, lock=locked, project=project, tree=tree)


def file_wheel(file: Path, name: str, version: str) -> LockedWheel:
    """The wheel in ``file``."""
    data = file.read_bytes()
    return replace(wheel(name, version), filename=file.name, digest=Digest.of(data), size=len(data), url=file.as_uri())
