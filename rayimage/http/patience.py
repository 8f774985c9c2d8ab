"""How often to try again, and how long to wait in between."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from rayimage.http.failures import ConnectionFailed
from rayimage.http.response import Answer, Response

__all__ = ["Patience", "RetryPolicy", "insist", "pause"]

_PROGRESS: Final = 1024 * 1024

_Answered = TypeVar("_Answered", bound=Answer | Response)


def pause(seconds: float) -> None:
    """Sleep; ``time.sleep`` is looked up at every call, so that whoever tests can replace it."""
    time.sleep(seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often to try (the first time included) and how long to wait in between, in seconds."""

    attempts: int = 5
    base: float = 0.4
    cap: float = 20.0
    retry_after_cap: float = 60.0
    sleep: Callable[[float], None] = pause
    random: Callable[[], float] = random.random
    clock: Callable[[], float] = time.monotonic

    def delay(self, failures: int, retry_after: float = 0.0) -> float:
        """The wait after so many failures: exponential with jitter, and at least what the server asked for."""
        backoff: float = min(self.cap, self.base * 2.0 ** (failures - 1)) * (0.5 + self.random() / 2)
        return max(backoff, min(retry_after, self.retry_after_cap))


class Patience:
    """Counts the failures of one operation; a megabyte of progress makes it fresh again."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._failures = 0
        self._reached = 0

    def wait(self, failure: Exception, *, reached: int = 0, retry_after: float = 0.0) -> None:
        """Sleep before the next try, or raise ``failure`` when there have been enough or it cannot go away."""
        if isinstance(failure, ConnectionFailed) and not failure.temporary:
            raise failure
        if not self.again(reached=reached, retry_after=retry_after):
            raise failure

    def again(self, *, reached: int = 0, retry_after: float = 0.0) -> bool:
        """Sleep and answer True, or False when there have been enough tries.

        ``reached`` is how many bytes have passed so far: a long transfer may be cut more often than a short one.
        """
        if reached >= self._reached + _PROGRESS:
            self._failures, self._reached = 0, reached
        self._failures += 1
        if self._failures >= self._policy.attempts:
            return False
        self._policy.sleep(self._policy.delay(self._failures, retry_after))
        return True


def insist(policy: RetryPolicy, ask: Callable[[], _Answered]) -> _Answered:
    """Ask until there is an answer that time will not change, or patience ends; then the last answer, of any status.

    Raises ConnectionFailed when there is none.
    """
    patience = Patience(policy)
    while True:
        try:
            answer = ask()
        except ConnectionFailed as lost:
            patience.wait(lost)
            continue
        if not answer.retryable or not patience.again(retry_after=answer.retry_after):
            return answer
