from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.cases import CASES, needed
from benchmarks.contenders import CONTENDERS
from benchmarks.projects import PROJECTS
from benchmarks.schedule import ROUGHLY, Plan, estimate, order


def planned(rounds: int, side_rounds: int, *names: str) -> Plan:
    return Plan(
        rounds=rounds,
        side_rounds=side_rounds,
        projects=("small",),
        contenders={name: CONTENDERS[name] for name in names},
        cases=tuple(CASES),
        base="",
        home=Path(),
    )


def test_contenders_alternate_and_those_without_a_target_run_less_often() -> None:
    found = list(planned(2, 1, "rayimage", "docker-uv", "docker-pip").sequences("small"))
    assert [(name, number) for _, name, number in found] == [
        ("rayimage", 1), ("docker-uv", 1), ("docker-pip", 1), ("docker-uv", 2), ("rayimage", 2),
    ]  # fmt: skip


def test_each_round_another_contender_begins() -> None:
    names = ("a", "b", "c")
    assert [order(names, number) for number in (1, 2, 3, 4)] == [
        ("a", "b", "c"), ("b", "c", "a"), ("c", "a", "b"), ("a", "b", "c"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"first"}, ["first"]),
        ({"code"}, ["first", "code"]),
        ({"bump"}, ["first", "bump"]),
        ({"fresh-code"}, ["first", "bump", "fresh-code"]),
        (set(CASES), list(CASES)),
    ],
)
def test_cases_bring_those_that_lead_to_them(wanted: set[str], found: list[str]) -> None:
    assert needed(wanted) == found


def test_estimate_prefers_what_was_seen_and_skips_what_is_done() -> None:
    contenders = ("rayimage", "docker-uv")
    plan = planned(2, 1, *contenders)
    rough = ROUGHLY["small"]
    assert estimate(plan, {}, set()) == 2 * (rough["rayimage"] + rough["docker-uv"])
    done = {("small", "rayimage", 1), ("small", "docker-uv", 1)}
    assert estimate(plan, {("small", "rayimage"): 1.0, ("small", "docker-uv"): 10.0}, done) == 11.0


def test_there_is_a_guess_for_everything() -> None:
    assert {project: set(guesses) for project, guesses in ROUGHLY.items()} == {
        name: set(CONTENDERS) for name in PROJECTS
    }
