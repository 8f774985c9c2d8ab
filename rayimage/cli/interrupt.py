"""Ctrl-C: the first stops what runs at its next block of bytes, the second stops at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from rayimage.cli.app import App

__all__ = ["INTERRUPTED", "interruptible"]

INTERRUPTED: Final = 130
"""The exit code that shells expect after Ctrl-C."""


@contextmanager
def interruptible(app: App) -> Iterator[None]:
    """Let Ctrl-C reach the threads that move bytes, too: only the main thread gets Python's KeyboardInterrupt.

    A program that was started with Ctrl-C ignored (``nohup``, ``cmd &`` in a script) stays so.
    """

    def stop(_signal: int, _frame: FrameType | None) -> None:
        if "progress" in vars(app):
            if app.progress.stopped:
                _leave(app)
            app.progress.stop()
        raise KeyboardInterrupt

    usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not usual or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _leave(app: App) -> None:
    """End the process without waiting for its threads; what they leave is continued or ignored by the next run."""
    app.err.show_cursor()
    sys.stderr.write("\nerror: interrupted before everything had stopped\n")
    sys.stderr.flush()
    os._exit(INTERRUPTED)
