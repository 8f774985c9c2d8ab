"""Checks between keys, made on the table as written, so that they are reported together with the schema's.

What the schema refuses is skipped here: nothing is reported twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rayimage.config.checks import PROMOTED_FROM
from rayimage.specs.wording import did_you_mean

__all__ = ["across"]


def across(table: Mapping[str, Any]) -> Iterator[str]:
    """Every contradiction between keys, each as ``path.to[0].key: what is wrong``."""
    images = table.get("images", {})
    if isinstance(images, dict):
        roles = {name: role for name, role in images.items() if isinstance(role, dict)}
        yield from _head(images)
        yield from _bases(table, roles)
        yield from _worker_groups(roles)
    environments = table.get("environments", {})
    if isinstance(environments, dict):
        yield from _promotions({name: value for name, value in environments.items() if isinstance(value, dict)})


def _head(images: Mapping[str, Any]) -> Iterator[str]:
    if "head" not in images:
        others = f" (there is {', '.join(images)})" if images else ""
        yield f"images.head: is missing{others}; every cluster has a head: add its table, with a `base`"


def _bases(table: Mapping[str, Any], roles: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for name, role in roles.items():
        if "base" not in role and "base" not in table:
            yield f'images.{name}.base: is missing; name a Ray image, for example "rayproject/ray:2.55.1-py311"'


def _worker_groups(roles: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    owners: dict[str, str] = {}
    default = ""
    for name, role in roles.items():
        if "worker-groups" not in role and name != "head":
            if default:
                yield (
                    f"images.{name}.worker-groups: is missing; {default!r} already takes every group that no role names"
                )
            default = default or name
        groups = role.get("worker-groups", [])
        for position, group in enumerate(groups if isinstance(groups, list) else []):
            owner = owners.setdefault(str(group), name)
            if owner != name:
                yield f"images.{name}.worker-groups[{position}]: {group!r} belongs to {owner!r} already"


def _promotions(environments: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for name, environment in environments.items():
        gates = environment.get("require", [])
        for position, gate in enumerate(gates if isinstance(gates, list) else []):
            if not (isinstance(gate, str) and gate.startswith(PROMOTED_FROM)):
                continue
            origin, where = gate.removeprefix(PROMOTED_FROM), f"environments.{name}.require[{position}]"
            if origin == name:
                yield f"{where}: an environment cannot be promoted from itself"
            elif origin and origin not in environments:
                yield f"{where}: there is no environment {origin!r}{did_you_mean(origin, environments)}"
