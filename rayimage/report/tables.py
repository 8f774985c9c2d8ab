"""Tables for people: what a lock moves, what a plan does, what a build made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rayimage.builders.direct import BuiltImage
from rayimage.builders.publish import PublishedRole
from rayimage.image.plan import ImagePlan, LayerKind
from rayimage.model.content import Outcome
from rayimage.model.digest import Digest
from rayimage.model.lock import RoleLock
from rayimage.report.progress import human_bytes

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["show_built", "show_locks", "show_plans", "show_published"]

_EXCHANGED = frozenset({"cloudpickle", "numpy", "pandas", "pyarrow", "pydantic", "protobuf", "grpcio", "msgpack"})
"""Packages whose objects travel between head and workers: a move of one is worth a second look."""


def show_locks(console: Console, locks: Sequence[RoleLock]) -> None:
    """Per role: counts, and every move off a base version by name."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("role", "platform", "provided by base", "added", "moved"):
        table.add_column(column, overflow="fold")
    for lock in locks:
        table.add_row(
            lock.role, str(lock.platform), str(len(lock.provided)), str(len(lock.added)), str(len(lock.moves))
        )
    console.print(table)
    for text in move_lines(locks):
        console.print(text, highlight=False, markup=False, soft_wrap=True)


def move_lines(locks: Sequence[RoleLock]) -> list[str]:
    """``pandas 1.5.3 → 2.3.3 (head, worker)``, each move once."""
    who: dict[tuple[str, str, str], list[str]] = {}
    for lock in locks:
        for move in lock.moves:
            roles = who.setdefault((move.name, str(move.old), str(move.new)), [])
            roles += [lock.role] if lock.role not in roles else []
    return [
        f"  moved: {name} {old} → {new} ({', '.join(roles)})"
        + ("; head and workers exchange its objects" if name in _EXCHANGED else "")
        for (name, old, new), roles in sorted(who.items())
    ]


def show_plans(console: Console, plans: Sequence[ImagePlan], cached: Mapping[Digest, int]) -> None:
    """Every layer of every image; ``cached`` maps the keys of layers that exist already to their sizes."""
    for plan in plans:
        table = _layer_table(f"{plan.label}  on {plan.base}")
        for layer in plan.layers:
            known = cached.get(layer.key) if layer.key else None
            size = known if known is not None else layer.size_hint
            state = "cached" if known is not None else "to build"
            table.add_row(layer.kind.value, _shorten(layer.title), human_bytes(size) if size else "", state)
        console.print(table)


def show_built(
    console: Console, images: Sequence[BuiltImage], outcomes: Mapping[Digest, Outcome], sent: str = "uploaded"
) -> None:
    """Every layer of every image, its size, and whether it was made, cached, ``sent`` or there already."""
    for built in images:
        table = _layer_table(f"{built.plan.label}  {human_bytes(built.image.size)}")
        base = [layer for layer in built.layers if layer.kind is LayerKind.BASE]
        rows = [layer for layer in built.layers if layer.kind is not LayerKind.BASE]
        states = sorted({_state(outcomes.get(layer.descriptor.digest), sent, "base") for layer in base})
        size = sum(layer.descriptor.size for layer in base)
        table.add_row("base", f"{len(base)} layers of {built.plan.base}", human_bytes(size), ", ".join(states))
        for layer in rows:
            made = "cached" if layer.cached else "built"
            state = _state(outcomes.get(layer.descriptor.digest), sent, made)
            table.add_row(layer.kind.value, _shorten(layer.title), human_bytes(layer.descriptor.size), state)
        console.print(table)


def show_published(
    console: Console, roles: Sequence[PublishedRole], times: Mapping[str, float], sent: str = "uploaded"
) -> None:
    """One line: bytes sent, bytes reused, seconds per stage."""
    sizes = {blob.descriptor.digest: blob.descriptor.size for r in roles for i in r.images for blob in i.blobs}
    outcomes = roles[0].outcomes if roles else {}
    moved = sum(size for digest, size in sizes.items() if outcomes.get(digest) is Outcome.UPLOADED)
    total = sum(sizes.values())
    spent = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in times.items())
    text = f"[bold]{human_bytes(moved)}[/] {sent}, {human_bytes(total - moved)} reused; {spent}"
    console.print(text, highlight=False, soft_wrap=True)


def _layer_table(title: str) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="dim")
    table.add_column("layer")
    table.add_column("content", overflow="ellipsis", no_wrap=True, max_width=80)
    table.add_column("size", justify="right")
    table.add_column("")
    return table


def _state(outcome: Outcome | None, sent: str, otherwise: str) -> str:
    if outcome is Outcome.UPLOADED:
        return sent
    return outcome.value if outcome else otherwise


def _shorten(title: str) -> str:
    names = title.split(", ")
    return title if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more"
