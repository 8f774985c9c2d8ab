"""Tables for people: what a lock moves, what a plan does, what a build made.

A layer that several images share is one row. Rows are never cut: content wraps on a narrow terminal.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from rayimage.image.plan import ImagePlan, LayerKind, LayerSpec
from rayimage.model.content import Outcome
from rayimage.model.digest import Digest
from rayimage.report.wording import count, human_bytes, shorten

if TYPE_CHECKING:
    from rich.console import Console

    from rayimage.builders.direct import BuiltImage, BuiltLayer

__all__ = ["print_table", "reused", "show_built", "show_plans", "summary"]

_THERE = "already there"
_TO_BUILD = "to build"
_UNCHANGED = frozenset({_THERE, "cached", "of the base"})
_ORDER = [kind.value for kind in LayerKind]
_CONTENT = 100
_NARROW = 72
"""Columns; a narrower terminal has no room for the kind of a layer and the images that have it."""
_BRIEF = 0.05
"""Seconds; less is shown as 0.0."""
_MANY = 3
"""Images of one row that are listed by name."""


def print_table(console: Console, columns: Mapping[str, str], rows: Iterable[Sequence[str]]) -> None:
    """``columns`` maps headings to ``left``, ``right`` or ``wrap`` (left, and the one that gives way); no markup."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for heading, kind in columns.items():
        table.add_column(
            heading, justify="right" if kind == "right" else "left", no_wrap=kind != "wrap", overflow="fold"
        )
    for row in rows:
        table.add_row(*map(Text, row))
    with console.capture() as captured:
        console.print(table)
    # rich fills the last column with blanks, which a log or a diff of two outputs does not need.
    console.out("\n".join(line.rstrip() for line in captured.get().splitlines()), highlight=False)


def show_plans(
    console: Console,
    plans: Sequence[ImagePlan],
    cached: Mapping[Digest, int],
    pushed: Mapping[Digest, int] = MappingProxyType({}),
) -> None:
    """Every layer of every image.

    ``cached`` maps the keys of layers that this machine has to their sizes, ``pushed`` of those in the registry.
    """
    for plan in plans:
        console.print(f"{plan.label} on {plan.base} ({plan.base_digest.short})", style="bold", markup=False)
    names = _names(plans)
    rows = _merged(
        (layer.key or (name, layer.title), name, _planned(layer, cached, pushed))
        for name, plan in zip(names, plans, strict=True)
        for layer in plan.layers
    )
    _print_rows(console, rows, names)
    new = [row for row in rows if row.state == _TO_BUILD]
    text = f"{len(new)} of {count(len(rows), 'layer')} to build" if new else "every layer is built already"
    console.print(text, soft_wrap=True)


def show_built(
    console: Console,
    images: Sequence[BuiltImage],
    outcomes: Mapping[Digest, Outcome],
    *,
    sent: str = "uploaded",
    unchanged: bool = False,
) -> None:
    """The layers that were made or ``sent``, and how many were not; ``unchanged`` lists those, too."""
    names = _names([built.plan for built in images])
    rows = _merged(
        (key, name, row)
        for name, built in zip(names, images, strict=True)
        for key, row in _built_rows(built, outcomes, sent)
    )
    shown = [row for row in rows if unchanged or row.state not in _UNCHANGED]
    if not shown:
        return
    _print_rows(console, shown, names)
    rest = [row for row in rows if row not in shown]
    if rest:
        layers, size = sum(row.layers for row in rest), sum(row.size for row in rest)
        console.print(f"and {count(layers, 'layer')} unchanged, {human_bytes(size)}", style="dim", soft_wrap=True)


def summary(
    images: Sequence[BuiltImage], outcomes: Mapping[Digest, Outcome], *, sent: str, times: Mapping[str, float]
) -> str:
    """``head 417 MB, worker 427 MB: 6.5 kB uploaded, 427 MB there already, in 0.7 s (plan 0.2, push 0.4)``.

    ``times`` are the seconds of each stage; those that are over at once are not worth a word.
    """
    names = _names([built.plan for built in images])
    made = ", ".join(f"{name} {human_bytes(built.image.size)}" for name, built in zip(names, images, strict=True))
    sizes = {blob.descriptor.digest: blob.descriptor.size for built in images for blob in built.blobs}
    moved = sum(size for digest, size in sizes.items() if outcomes.get(digest) is Outcome.UPLOADED)
    spent = f"in {sum(times.values()):.1f} s"
    if stages := ", ".join(f"{name} {seconds:.1f}" for name, seconds in times.items() if seconds >= _BRIEF):
        spent = f"{spent} ({stages})"
    if not outcomes:
        return f"{made}: {sent} {spent}"
    rest = sum(sizes.values()) - moved
    if not moved:
        return f"{made}: everything is there already, {spent}"
    there = f", {human_bytes(rest)} there already" if rest else ""
    return f"{made}: {human_bytes(moved)} {sent}{there}, {spent}"


def reused(images: Sequence[BuiltImage], place: str) -> str:
    """``13 layers of wheels, 68 MB, known from PLACE: no wheel of theirs was fetched``; nothing if there are none."""
    layers = {layer.descriptor.digest: layer for built in images for layer in built.layers if layer.remote}
    if not layers:
        return ""
    size = human_bytes(sum(layer.descriptor.size for layer in layers.values()))
    return f"{count(len(layers), 'layer')} of wheels, {size}, known from {place}: no wheel of theirs was fetched"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    kind: str
    content: str
    size: int
    state: str
    layers: int = 1
    images: tuple[str, ...] = ()


def _planned(layer: LayerSpec, cached: Mapping[Digest, int], pushed: Mapping[Digest, int]) -> _Row:
    known = pushed.get(layer.key, cached.get(layer.key)) if layer.key else None
    state = _TO_BUILD if known is None else _THERE if layer.key in pushed else "cached"
    size = layer.size_hint if known is None else known
    return _Row(kind=layer.kind.value, content=shorten(layer.title, _CONTENT), size=size, state=state)


def _built_rows(built: BuiltImage, outcomes: Mapping[Digest, Outcome], sent: str) -> Iterable[tuple[Hashable, _Row]]:
    base = [layer for layer in built.layers if layer.kind is LayerKind.BASE]
    states = sorted({_state(layer, outcomes, sent) for layer in base})
    yield (
        tuple(layer.descriptor.digest for layer in base),
        _Row(
            kind="base",
            content=f"{count(len(base), 'layer')} of {built.plan.base}",
            size=sum(layer.descriptor.size for layer in base),
            state=", ".join(states),
            layers=len(base),
        ),
    )
    for layer in built.layers[len(base) :]:
        yield (
            layer.descriptor.digest,
            _Row(
                kind=layer.kind.value,
                content=shorten(layer.title, _CONTENT),
                size=layer.descriptor.size,
                state=_state(layer, outcomes, sent),
            ),
        )


def _state(layer: BuiltLayer, outcomes: Mapping[Digest, Outcome], sent: str) -> str:
    outcome = outcomes.get(layer.descriptor.digest)
    if outcome is None:
        return "of the base" if layer.kind is LayerKind.BASE else "cached" if layer.cached else "built"
    return {Outcome.UPLOADED: sent, Outcome.EXISTS: _THERE}.get(outcome, outcome.value)


def _merged(rows: Iterable[tuple[Hashable, str, _Row]]) -> list[_Row]:
    """One row for each key, in the order of the images, with the names of all images that have it."""
    merged: dict[Hashable, _Row] = {}
    for key, name, row in rows:
        known = merged.get(key, row)
        merged[key] = replace(known, images=(*known.images, name))
    return sorted(merged.values(), key=lambda row: _ORDER.index(row.kind))


def _names(plans: Sequence[ImagePlan]) -> list[str]:
    """What the images are called: by role, and by platform if there are several."""
    several = len({plan.platform for plan in plans}) > 1
    return [plan.label if several else plan.role for plan in plans]


def _print_rows(console: Console, rows: Sequence[_Row], names: Sequence[str]) -> None:
    cells = [
        {
            "layer": row.kind,
            "content": row.content,
            "size": human_bytes(row.size) if row.size else "",
            "in": _who(row.images, names),
            "": row.state,
        }
        for row in rows
    ]
    columns = {"layer": "left", "content": "wrap", "size": "right", "in": "left", "": "left"}
    if console.width < _NARROW:
        columns = {heading: kind for heading, kind in columns.items() if heading not in ("layer", "in")}
    print_table(console, columns, [[cell[heading] for heading in columns] for cell in cells])


def _who(images: Sequence[str], names: Sequence[str]) -> str:
    if len(images) <= _MANY:
        return ", ".join(images)
    return "all" if len(images) == len(names) else f"{images[0]} and {len(images) - 1} more"
