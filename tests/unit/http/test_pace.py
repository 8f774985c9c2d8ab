from __future__ import annotations

import pytest

from rayimage.http.pace import Pace
from rayimage.http.patience import RetryPolicy


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.naps: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.naps.append(round(seconds, 3))
        self.now += seconds

    def policy(self) -> RetryPolicy:
        return RetryPolicy(sleep=self.sleep, clock=lambda: self.now)


@pytest.fixture
def time() -> Time:
    return Time()


def test_nobody_waits_without_a_reason(time: Time) -> None:
    pace = Pace(time.policy())
    for _ in range(100):
        pace.wait()
    assert time.naps == []


def test_one_that_is_told_to_wait_makes_the_others_wait(time: Time) -> None:
    pace = Pace(time.policy())
    pace.hold(7)
    pace.wait()
    assert time.naps == [7.0]
    pace.wait()
    assert time.naps == [7.0, 0.05], "and then they leave one by one"


def test_further_apart_when_it_happens_again_but_once_for_a_crowd(time: Time) -> None:
    pace = Pace(time.policy())
    for _ in range(16):
        pace.hold(0)
    pace.wait()
    pace.wait()
    assert time.naps == [0.05, 0.05]
    for _ in range(10):
        time.now += 10
        pace.hold(0)
    time.naps.clear()
    pace.wait()
    pace.wait()
    assert time.naps == [1.0, 1.0], "a second at most"


def test_half_a_minute_of_peace_ends_it(time: Time) -> None:
    pace = Pace(time.policy())
    pace.hold(5)
    time.now += 40
    for _ in range(10):
        pace.wait()
    assert time.naps == []


def test_nobody_waits_for_hours(time: Time) -> None:
    pace = Pace(time.policy())
    pace.hold(3600)
    pace.wait()
    assert time.naps == [60.0]
