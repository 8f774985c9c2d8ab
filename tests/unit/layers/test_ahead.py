from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from rayimage.layers.ahead import ahead


def counting(job: int, count: int) -> Iterator[tuple[int, int]]:
    for number in range(count):
        yield job, number


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_items_come_in_order_however_many_threads(threads: int) -> None:
    sizes = [0, 1, 50, 3, 0, 20]
    with ahead((counting(job, size) for job, size in enumerate(sizes)), threads) as jobs:
        assert [list(job) for job in jobs] == [list(counting(job, size)) for job, size in enumerate(sizes)]


def test_jobs_run_ahead_but_no_further_than_they_may() -> None:
    made: list[tuple[int, int]] = []
    ready = threading.Event()

    def job(number: int) -> Iterator[int]:
        for item in range(100):
            made.append((number, item))
            if (number, item) == (1, 2):
                ready.set()
            yield item

    before = threading.active_count()
    with ahead(map(job, range(5)), 2) as jobs:
        first = next(jobs)
        assert next(first) == 0
        assert ready.wait(10)
        assert {number for number, _ in made} == {0, 1}
        assert len(made) <= 4 + 3
    assert threading.active_count() == before


@pytest.mark.parametrize("threads", [1, 3])
def test_a_failure_comes_in_its_place_and_ends_the_rest(threads: int) -> None:
    def failing() -> Iterator[tuple[int, int]]:
        yield 1, 0
        raise ValueError("broken")

    taken: list[tuple[int, int]] = []
    before = threading.active_count()
    with suppress(ValueError), ahead([counting(0, 9), failing(), counting(2, 10**9)], threads) as jobs:
        for job in jobs:
            taken.extend(job)
    assert taken[:9] == [*counting(0, 9)]
    assert taken[9:] in ([], [(1, 0)])
    assert threading.active_count() == before


def test_a_failure_is_raised() -> None:
    def broken(error: Callable[[], Exception]) -> Iterator[int]:
        raise error()
        yield 0

    with ahead([broken(KeyError)], 2) as jobs, pytest.raises(KeyError):
        next(next(jobs))


def test_a_caller_that_stops_ends_the_jobs() -> None:
    before = threading.active_count()
    with ahead([counting(n, 10**9) for n in range(6)], 3) as jobs:
        next(next(jobs))
    assert threading.active_count() == before
