"""The two consoles: when they have colours, whether anything moves on them, how wide they are."""

from __future__ import annotations

import sys

from rich.console import Console

from rayimage.cli.app import leave_quietly

__all__ = ["open_console"]

_PIPE_WIDTH = 140
"""Columns. A pipe has no width; rich would take 80, which breaks what fits one line of a CI log."""


def open_console(*, stderr: bool, color: str) -> Console:
    """Stdout or stderr; ``color`` is ``always``, ``never``, or ``auto`` for NO_COLOR, FORCE_COLOR and the terminal.

    Bars need a real terminal: a CI that forces colours still gets plain lines.
    """
    stream = sys.stderr if stderr else sys.stdout
    terminal = stream.isatty()
    return _Console(
        stderr=stderr,
        force_terminal={"always": True, "never": False}.get(color),
        no_color={"always": False, "never": True}.get(color),
        force_interactive=None if terminal and color != "never" else False,
        width=None if terminal else _PIPE_WIDTH,
        highlight=False,
        emoji=False,
    )


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """End quietly, with the exit code that shells expect (rich's own way is 1)."""
        leave_quietly()
