from __future__ import annotations

import io

import pytest
from rich.console import Console

from benchmarks.formats import amount, duration, times
from benchmarks.tables import show
from tests.unit.benchmarks.test_results import results


@pytest.mark.parametrize(
    ("value", "text"), [(0.0412, "0.041 s"), (0.18, "0.18 s"), (0.997, "1.0 s"), (1.84, "1.8 s"), (9.96, "10 s"), (180.4, "180 s")]
)  # fmt: skip
def test_durations(value: float, text: str) -> None:
    assert duration(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0 B"), (980, "980 B"), (1500, "1.5 kB"), (999_600, "1.0 MB"), (271e6, "271 MB"), (1.2e9, "1.2 GB")]
)  # fmt: skip
def test_amounts(value: float, text: str) -> None:
    assert amount(value) == text


def test_ratios() -> None:
    assert [times(0.21), times(6.3), times(103.7)] == ["0.21 ×", "6.3 ×", "104 ×"]


def test_tables_say_times_ratios_bytes_targets_and_what_is_missing() -> None:
    found = results(
        ("bump", "rayimage", 0.5, 1000), ("bump", "docker-uv", 50.0, 271_000), ("first", "docker-uv", 56.0, 5000)
    )
    output = io.StringIO()
    show(found, Console(file=output, width=160))
    lines = [" ".join(line.split()) for line in output.getvalue().splitlines()]
    assert "one package bumped 0.50 s 50 s 100 ×" in lines
    assert "one package bumped 1.0 kB 271 kB" in lines
    assert "first build, wheels and base at hand 56 s" in lines
    assert "p bump: ≥ 30 × as fast as docker-uv 100 × met" in lines
    assert "did not run: buildah-uv: not here" in lines
    assert not any(line.startswith("nothing changed") for line in lines)
