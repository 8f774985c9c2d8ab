"""The results as a picture: dots on a logarithmic axis, which has no zero, with the ratio written beside each row.

Dots, not bars: the length of a bar on a logarithmic axis means nothing. The drawing brings its own background, light
or dark as the reader's, so that it can be read on any page.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from benchmarks.cases import CASES
from benchmarks.formats import amount, duration, times
from benchmarks.results import REFERENCE, SUBJECT, Results

__all__ = ["Axis", "Panel", "Row", "draw", "panels_of"]

WIDTH, LEFT, RIGHT = 920, 280, 710
LINE, PANEL_HEAD, PANEL_FOOT, TOP = 30, 44, 40, 64
MARKS = {
    "rayimage": '<circle class="a" cx="{x}" cy="{y}" r="7"/>',
    "docker-uv": '<rect class="b" x="{x0}" y="{y0}" width="11" height="11"/>',
    "docker-pip": '<path class="c" d="M{x} {y}m0 -7l7 12h-14z"/>',
    "buildah-uv": '<path class="d" d="M{x} {y}m0 -7.5l7.5 7.5l-7.5 7.5l-7.5 -7.5z"/>',
}
"""A shape and a colour for each contender."""

STYLE = """\
 text { font: 13px system-ui, sans-serif; fill: #1f2328 } .title { font-size: 16px; font-weight: 600 }
 .head { font-weight: 600 } .faint { fill: #59636e } .page { fill: #ffffff } .grid { stroke: #d1d9e0 }
 .span { stroke: #818b98; stroke-width: 1.5 }
 .a { fill: #0969da } .b { fill: #bc4c00 } .c { fill: #8250df } .d { fill: #1a7f37 }
 @media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc } .faint { fill: #9198a1 } .page { fill: #0d1117 } .grid { stroke: #3d444d }
  .a { fill: #4493f8 } .b { fill: #f0883e } .c { fill: #ab7df8 } .d { fill: #3fb950 }
 }"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """A logarithmic axis over whole powers of ten around some positive values."""

    low: int
    high: int

    @classmethod
    def around(cls, values: Sequence[float]) -> Axis:
        """The shortest axis, of at least one decade, that has all ``values`` on it."""
        low = math.floor(math.log10(min(values)))
        return cls(low=low, high=max(math.ceil(math.log10(max(values))), low + 1))

    @property
    def ticks(self) -> list[float]:
        """The powers of ten."""
        return [10.0**power for power in range(self.low, self.high + 1)]

    def x(self, value: float) -> float:
        """Where ``value`` is, in user units."""
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return round(LEFT + share * (RIGHT - LEFT), 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A label, a value for each contender, and what to write at the end of the line."""

    label: str
    values: Mapping[str, float]
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Rows that share an axis."""

    title: str
    rows: tuple[Row, ...]
    unit: Callable[[float], str]

    @property
    def height(self) -> int:
        """In user units."""
        return PANEL_HEAD + LINE * len(self.rows) + PANEL_FOOT


def draw(results: Results) -> str:
    """An SVG document."""
    panels = panels_of(results)
    height = TOP + sum(panel.height for panel in panels)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" role="img">',
        f"<title>{escape(_summary(results))}</title>",
        f"<style>\n{STYLE}\n</style>",
        f'<rect class="page" width="{WIDTH}" height="{height}" rx="6"/>',
        _text(24, 30, f"Build and push, medians, on {results.machine['cpus']} cores", "title"),
        *_legend(results),
    ]
    top = TOP
    for panel in panels:
        parts += _panel(panel, top)
        top += panel.height
    return "\n".join([*parts, "</svg>", ""])


def panels_of(results: Results) -> tuple[Panel, ...]:
    """Times for each project, then what a node pulls after a bump; only what was measured."""
    panels = [
        Panel(
            title=facts.title,
            rows=tuple(row for name in CASES if (row := _time_row(results, project, name))),
            unit=duration,
        )
        for project, facts in results.projects.items()
    ]
    pulls = tuple(row for project in results.projects if (row := _bytes_row(results, project)))
    panels.append(Panel(title="A node pulls, after one package is bumped", rows=pulls, unit=amount))
    return tuple(panel for panel in panels if panel.rows)


def _time_row(results: Results, project: str, case: str) -> Row | None:
    values = {name: results.seconds(project, case, name) for name in results.contenders}
    measured = {name: value for name, value in values.items() if value}
    ratio = results.ratio(project, case, REFERENCE)
    note = "" if ratio is None else f"{REFERENCE}: {times(ratio)} as long"
    return Row(label=CASES[case].title, values=measured, note=note) if measured else None


def _bytes_row(results: Results, project: str) -> Row | None:
    values = {name: results.node_bytes(project, "bump", name) for name in results.contenders}
    measured = {name: float(value) for name, value in values.items() if value}
    mine, theirs = measured.get(SUBJECT), measured.get(REFERENCE)
    note = f"{REFERENCE}: {times(theirs / mine)} as much" if mine and theirs else ""
    return Row(label=results.projects[project].bump, values=measured, note=note) if measured else None


def _panel(panel: Panel, top: int) -> list[str]:
    axis = Axis.around([value for row in panel.rows for value in row.values.values()])
    bottom = top + PANEL_HEAD + LINE * len(panel.rows)
    parts = [_text(24, top + 28, panel.title, "head")]
    for tick in axis.ticks:
        x = axis.x(tick)
        parts.append(f'<line class="grid" x1="{x}" y1="{top + PANEL_HEAD - 6}" x2="{x}" y2="{bottom}"/>')
        parts.append(_text(x, bottom + 16, panel.unit(tick), "faint", anchor="middle"))
    for number, row in enumerate(panel.rows):
        parts += _row(row, axis, top + PANEL_HEAD + LINE * number + LINE // 2)
    return parts


def _row(row: Row, axis: Axis, y: int) -> list[str]:
    places = {name: axis.x(value) for name, value in row.values.items()}
    first, last = min(places.values()), max(places.values())
    # The subject last, so that it lies on top.
    marks = [_mark(name, places[name], y) for name in reversed(MARKS) if name in places]
    return [
        _text(24, y + 4, row.label),
        f'<line class="span" x1="{first}" y1="{y}" x2="{last}" y2="{y}"/>',
        *marks,
        _text(RIGHT + 20, y + 4, row.note),
    ]


def _legend(results: Results) -> list[str]:
    parts, x = [], 31
    for name in MARKS:
        if results.runs(name):
            label = f"{name} ({results.runs(name)} ×)"
            parts += [_mark(name, x, 50), _text(x + 14, 54, label)]
            x += 40 + 7 * len(label)
    return [*parts, _text(x, 54, "logarithmic axes; left is better", "faint")]


def _mark(name: str, x: float, y: float) -> str:
    return MARKS[name].format(x=x, y=y, x0=round(x - 5.5, 1), y0=y - 5.5)


def _text(x: float, y: float, text: str, css: str = "", *, anchor: str = "") -> str:
    attributes = (f' class="{css}"' if css else "") + (f' text-anchor="{anchor}"' if anchor else "")
    return f'<text x="{x}" y="{y}"{attributes}>{escape(text)}</text>'


def _summary(results: Results) -> str:
    """For those who do not see the picture."""
    return "; ".join(
        f"{panel.title}: " + ", ".join(f"{row.label}: {row.note or 'measured'}" for row in panel.rows)
        for panel in panels_of(results)
    )
