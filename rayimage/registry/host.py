"""What is known of one registry, and shared by everything that speaks to it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from rayimage.http.pace import Pace
from rayimage.http.response import Answer, Response
from rayimage.http.transport import Transport

__all__ = ["CONNECTIONS", "UPLOADS", "Challenge", "Host"]

CONNECTIONS: Final = 16
"""Requests to one registry at a time. Questions and mounts are cheap, so as many as that are asked at once."""
UPLOADS: Final = 4
"""Bodies on their way to one registry at a time: what good uploaders converge on."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """One entry of ``WWW-Authenticate``: a lower-case scheme and its parameters."""

    scheme: str
    parameters: Mapping[str, str]


class Host:
    """The connections to a registry, how it logs people in, and how much it may be asked at once. Thread-safe."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.uploads = threading.BoundedSemaphore(UPLOADS)
        self.challenge: Challenge | None = None
        """What it answered to a request without credentials, about any of its repositories."""
        self.pace = Pace(transport.policy)
        self._first = threading.Lock()
        self._met = False

    @contextmanager
    def introduction(self) -> Iterator[None]:
        """Hold this during a request: the very first goes alone, its answer tells all others how to log in."""
        with self._first:
            if not self._met:
                try:
                    yield
                finally:
                    self._met = True
                return
        yield

    def heed(self, response: Response | Answer) -> None:
        """Note that the registry wants to be asked less."""
        if response.status == 429 or (response.status == 503 and response.retry_after):
            self.pace.hold(response.retry_after)
