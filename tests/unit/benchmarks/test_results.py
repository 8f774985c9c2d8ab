from __future__ import annotations

import json
from dataclasses import replace

import pytest

from benchmarks.results import Measurement, ProjectFacts, Results, from_json, to_json, verdicts

FACTS = ProjectFacts(title="a project", wheels=3, wheel_bytes=3000, bump="demo 1.0 → 1.1", bumped_wheel_bytes=1000)


def results(*rows: tuple[str, str, float, int]) -> Results:
    """Of (case, contender, seconds, bytes): rows alike are further rounds."""
    rounds: dict[tuple[str, str], int] = {}
    measurements = []
    for case, contender, seconds, size in rows:
        number = rounds[case, contender] = rounds.get((case, contender), 0) + 1
        measurements.append(
            Measurement(project="p", contender=contender, case=case, round=number, seconds=seconds, node_bytes=size)
        )
    return Results(
        date="2026-01-01",
        machine={"cpus": 2, "memory_gib": 8, "system": "Linux x86_64"},
        contenders={"rayimage": "rayimage 1", "docker-uv": "Docker 2"},
        projects={"p": FACTS},
        measurements=tuple(measurements),
        skipped={"buildah-uv": "not here"},
    )


def test_median_and_ratio() -> None:
    found = results(
        ("bump", "rayimage", 3.0, 10),
        ("bump", "rayimage", 1.0, 10),
        ("bump", "rayimage", 2.0, 40),
        ("bump", "docker-uv", 60.0, 500),
    )
    assert found.seconds("p", "bump", "rayimage") == 2.0
    assert found.node_bytes("p", "bump", "rayimage") == 10
    assert found.ratio("p", "bump", "docker-uv") == 30.0
    assert found.ratio("p", "bump", "rayimage") == 1.0
    assert (found.runs("rayimage"), found.runs("docker-uv"), found.runs("buildah-uv")) == (3, 1, 0)


def test_what_was_not_measured_has_no_ratio() -> None:
    found = results(("first", "docker-uv", 5.0, 1))
    assert found.seconds("p", "first", "rayimage") is None
    assert found.node_bytes("p", "bump", "docker-uv") is None
    assert found.ratio("p", "first", "docker-uv") is None
    assert verdicts(found) == ()


@pytest.mark.parametrize(("theirs", "met"), [(30.0, True), (29.9, False)])
def test_a_target_is_met_at_its_bound(theirs: float, met: bool) -> None:
    found = verdicts(results(("bump", "rayimage", 1.0, 5000), ("bump", "docker-uv", theirs, 1)))
    assert [(each.measured, each.met) for each in found] == [(theirs, met), (5.0, False)]


@pytest.mark.parametrize(("pulled", "met"), [(1100, True), (1101, False), (900, True)])
def test_node_bytes_are_compared_with_the_wheel(pulled: int, met: bool) -> None:
    [verdict] = verdicts(results(("bump", "rayimage", 1.0, pulled)))
    assert (verdict.measured, verdict.met) == (pulled / 1000, met)


def test_every_target_has_a_verdict() -> None:
    cases = ("first", "code", "bump", "fresh-code")
    rows = [(case, name, 1.0, 1) for case in cases for name in ("rayimage", "docker-uv")]
    found = verdicts(results(*rows))
    assert len(found) == 5
    assert [each.met for each in found] == [False, False, False, True, True]


def test_json_and_back() -> None:
    found = results(("first", "rayimage", 1.5, 7), ("first", "docker-uv", 3.0, 8), ("code", "docker-uv", 1.0, 8))
    text = to_json(found)
    assert from_json(text) == found
    medians = json.loads(text)["medians"]
    assert medians[1] == {
        "project": "p", "case": "first", "contender": "docker-uv", "seconds": 3.0, "times_rayimage": 2.0, "node_bytes": 8,
    }  # fmt: skip
    assert medians[2]["times_rayimage"] is None


@pytest.mark.parametrize("text", ["", "[]", '{"format": 0}', '{"format": 1}'])
def test_other_json_is_refused(text: str) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        from_json(text)


def test_a_run_is_resumed_only_on_the_same_machine_with_the_same_programs() -> None:
    earlier = results(("first", "rayimage", 1.5, 7))
    today = replace(earlier, measurements=(), date="2026-01-02")
    assert today.resumed(earlier).measurements == earlier.measurements
    for other in (replace(today, machine={"cpus": 4}), replace(today, contenders={"rayimage": "rayimage 2"})):
        with pytest.raises(ValueError, match="another machine"):
            other.resumed(earlier)
