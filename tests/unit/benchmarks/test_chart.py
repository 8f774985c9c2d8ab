from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.chart import LEFT, MARKS, RIGHT, Axis, draw, panels_of
from benchmarks.contenders import CONTENDERS
from tests.unit.benchmarks.test_results import results

ROWS = (
    ("first", "rayimage", 9.0, 1000),
    ("first", "docker-uv", 56.0, 1000),
    ("bump", "rayimage", 0.5, 1000),
    ("bump", "docker-uv", 50.0, 271000),
    ("unchanged", "rayimage", 0.3, 0),
    ("unchanged", "docker-uv", 0.1, 0),
)
SVG = "{http://www.w3.org/2000/svg}"


def test_every_contender_has_a_mark() -> None:
    assert set(MARKS) == set(CONTENDERS)


def test_panels_have_the_rows_that_were_measured_and_their_ratios() -> None:
    times, pulls = panels_of(results(*ROWS))
    assert [row.note for row in times.rows] == [
        "docker-uv: 6.2 × as long",
        "docker-uv: 0.33 × as long",
        "docker-uv: 100 × as long",
    ]
    assert [(row.label, row.note) for row in pulls.rows] == [("demo 1.0 → 1.1", "docker-uv: 271 × as much")]


def test_the_picture_is_well_formed_and_everything_is_inside() -> None:
    root = ET.fromstring(draw(results(*ROWS)))
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    assert len(root.findall(f"{SVG}circle")) == 1 + 4  # the legend's, and one a row
    assert len(root.findall(f"{SVG}rect")) == 1 + 1 + 4  # the page's, too
    for text in root.findall(f"{SVG}text"):
        assert 0 < float(text.attrib["x"]) < width
        assert 0 < float(text.attrib["y"]) < height
    assert "6.2 × as long" in root.findtext(f"{SVG}title", "")


def test_titles_are_escaped() -> None:
    assert ET.fromstring(draw(results(*ROWS))).find(f"{SVG}style") is not None
    assert "prefers-color-scheme: dark" in draw(results(*ROWS))


def test_nothing_measured_draws_no_panel() -> None:
    assert panels_of(results()) == ()
    ET.fromstring(draw(results()))


@pytest.mark.parametrize(
    ("values", "low", "high"), [([1.0], 0, 1), ([10.0], 1, 2), ([0.11, 99.0], -1, 2), ([0.09, 101.0], -2, 3)]
)
def test_axes_end_at_powers_of_ten(values: list[float], low: int, high: int) -> None:
    assert Axis.around(values) == Axis(low=low, high=high)


@given(st.lists(st.floats(1e-3, 1e10), min_size=1))
def test_every_value_is_on_the_axis_in_order(values: list[float]) -> None:
    axis = Axis.around(values)
    places = [axis.x(value) for value in sorted(values)]
    assert places == sorted(places)
    assert LEFT <= places[0] <= places[-1] <= RIGHT
    assert 0 not in axis.ticks
