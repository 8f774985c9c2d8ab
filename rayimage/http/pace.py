"""How fast a server may be asked, by all threads together."""

from __future__ import annotations

import threading
from typing import Final

from rayimage.http.patience import RetryPolicy

__all__ = ["Pace"]

_FIRST_GAP: Final = 0.05
_LONGEST_GAP: Final = 1.0
_QUIET: Final = 30.0


class Pace:
    """When the next request to one server may leave. Thread-safe.

    A server that limits requests counts those of all threads: when one is told to wait (429, or 503 with
    ``Retry-After``), the others wait with it, and afterwards requests leave one by one, further apart each time it
    happens again. Half a minute without a complaint ends that.
    """

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._lock = threading.Lock()
        self._next = 0.0
        self._gap = 0.0

    def wait(self) -> None:
        """Sleep until the next request may leave, if it may not yet."""
        with self._lock:
            now = self._policy.clock()
            if now > self._next + _QUIET:
                self._gap = 0.0
            if not self._gap:
                return
            start = max(now, self._next)
            self._next = start + self._gap
        if start > now:
            self._policy.sleep(start - now)

    def hold(self, seconds: float) -> None:
        """The server complained, and named so many seconds (0: none): nothing leaves before."""
        with self._lock:
            now = self._policy.clock()
            if now >= self._next:  # else this is an answer to what had left before the last complaint
                self._gap = min(max(self._gap * 2, _FIRST_GAP), _LONGEST_GAP)
            pause = max(self._gap, min(seconds, self._policy.retry_after_cap))
            self._next = max(self._next, now + pause)
