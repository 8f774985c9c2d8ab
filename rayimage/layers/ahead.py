"""Work that runs ahead in threads and comes back in order."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import islice
from queue import Empty, Queue
from typing import Final, Generic, TypeVar

__all__ = ["THREADS", "ahead"]

Item = TypeVar("Item")

_MAX_THREADS: Final = 4
"""For one layer; several are made at once. More would wait for the thread that hashes the archive: inflating and
hashing a file takes about three times as long as that."""
_WAITING: Final = 2
"""Items of one job that wait to be taken: what bounds the memory, as a job may have any number of them."""


def _usable_cores() -> int:
    """Cores that this process may run on (``taskset``, cpusets), which are fewer than the machine's at times."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


THREADS: Final = min(_MAX_THREADS, _usable_cores())
"""Threads that are worth having for one layer."""


@contextmanager
def ahead(jobs: Iterable[Iterable[Item]], threads: int) -> Iterator[Iterator[Iterator[Item]]]:
    """The items of each job; the caller takes those of one job, all of them, then those of the next.

    Meanwhile the next ``threads`` jobs run, each in one thread, and pause when some items wait. With one thread
    nothing runs ahead. What a job raises is raised where its next item would have been. Whatever still runs when the
    context ends, ends at its next item.
    """
    if threads <= 1:
        yield map(iter, jobs)
        return
    running: deque[_Running[Item]] = deque()
    waiting = iter(jobs)

    def each(pool: ThreadPoolExecutor) -> Iterator[Iterator[Item]]:
        while True:
            for job in islice(waiting, threads - len(running)):
                running.append(_Running(job))
                pool.submit(running[-1].run)
            if not running:
                return
            yield running[0].items()
            running.popleft()

    with ThreadPoolExecutor(threads) as pool:
        try:
            yield each(pool)
        finally:
            for job in running:
                job.stop()


class _Running(Generic[Item]):
    """A job and those of its items that nobody has taken yet."""

    def __init__(self, job: Iterable[Item]) -> None:
        self._job = job
        self._queue: Queue[tuple[Item] | BaseException | None] = Queue(_WAITING)
        self._stopped = threading.Event()

    def run(self) -> None:
        end: BaseException | None = None
        try:
            for item in self._job if not self._stopped.is_set() else ():
                self._queue.put((item,))
                if self._stopped.is_set():
                    return
        except BaseException as error:  # noqa: BLE001 - raised again by whoever takes the items
            end = error
        self._queue.put(end)

    def items(self) -> Iterator[Item]:
        while (item := self._queue.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item[0]

    def stop(self) -> None:
        """Let ``run`` end: whoever waits to put an item finds room, and room is left for one more after it."""
        self._stopped.set()
        with suppress(Empty):
            while True:
                self._queue.get_nowait()
