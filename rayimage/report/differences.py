"""What newer bases would change, package by package: for people, and as data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rayimage.model.difference import Change, Difference
from rayimage.report.tables import print_table
from rayimage.report.wording import count

if TYPE_CHECKING:
    from packaging.version import Version
    from rich.console import Console

__all__ = ["difference_data", "show_differences"]


def show_differences(console: Console, differences: Sequence[Difference]) -> None:
    """A heading with the bases for each image, and its packages; images that change alike are shown once."""
    alike: dict[tuple[object, ...], list[Difference]] = {}
    for each in differences:
        old = each.old.digest if each.old else None
        alike.setdefault((each.platform, old, each.new.digest, each.changes), []).append(each)
    for group in alike.values():
        first = group[0]
        console.print(
            f"{', '.join(each.role for each in group)} on {first.platform}: {_bases(first)}",
            markup=False,
            soft_wrap=True,
        )
        if first.changes:
            columns = {"package": "left", "before": "left", "after": "left"}
            print_table(console, columns, [(c.name, *_sides(c)) for c in first.changes])
        else:
            console.print("  no package changes")


def difference_data(differences: Sequence[Difference]) -> list[dict[str, Any]]:
    """The same as data; versions are null where a package is absent."""
    return [
        {
            "role": each.role,
            "platform": str(each.platform),
            "base": {
                "reference": each.new.reference,
                "from": str(each.old.digest) if each.old else None,
                "to": str(each.new.digest),
            },
            "ray": {"from": str(each.old.ray) if each.old else None, "to": str(each.new.ray)},
            "python": {"from": str(each.old.python) if each.old else None, "to": str(each.new.python)},
            "packages": [
                {
                    "name": change.name,
                    "from": _side_data(change.old, in_base=change.old_in_base),
                    "to": _side_data(change.new, in_base=change.new_in_base),
                }
                for change in each.changes
            ],
        }
        for each in differences
    ]


def _bases(each: Difference) -> str:
    new = each.new
    if each.old is None:
        return f"{new.reference} {new.digest.short}, not locked before"
    if not each.base_moves:
        return f"{new.reference} {new.digest.short}, as locked"
    old = each.old
    there = "" if old.reference == new.reference else f"{new.reference} "
    facts = [f"Ray {old.ray} → {new.ray}"] if old.ray != new.ray else []
    facts += [f"Python {old.python} → {new.python}"] if old.python != new.python else []
    facts.append(f"{count(len(each.changes), 'package')} changed")
    return f"{old.reference} {old.digest.short} → {there}{new.digest.short}; {', '.join(facts)}"


def _sides(change: Change) -> tuple[str, str]:
    return _side(change.old, in_base=change.old_in_base), _side(change.new, in_base=change.new_in_base)


def _side(version: Version | None, *, in_base: bool) -> str:
    return "-" if version is None else f"{version} in the base" if in_base else str(version)


def _side_data(version: Version | None, *, in_base: bool) -> dict[str, str] | None:
    return None if version is None else {"version": str(version), "in": "base" if in_base else "layers"}
