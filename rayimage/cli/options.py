"""The global options, once: they may stand before the command or after it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from rayimage.cli.app import App

__all__ = ["examples", "global_options"]


def global_options(*, hidden: bool = False) -> list[click.Option]:
    """Fresh options that fill the App of the context; ``hidden`` leaves them out of a help text."""

    def option(*names: str, **settings: Any) -> click.Option:
        return click.Option([*names], expose_value=False, hidden=hidden, callback=_fill, **settings)

    return [
        option("-C", "directory", type=_DIRECTORY, metavar="DIR", is_eager=True, help="Run as if started in DIR."),
        option("--json", "as_json", is_flag=True, help="One JSON document on stdout, also for an error."),
        option("-q", "--quiet", is_flag=True, help="No progress and prose; warnings and errors only."),
        option("-v", "--verbose", is_flag=True, help="Every layer and every step, and tracebacks."),
        option("--color", type=_WHEN, help="Colours and bars; auto: on a terminal (also NO_COLOR, FORCE_COLOR)."),
    ]


def examples(*lines: str) -> str:
    r"""The epilog of a command's help: ``lines`` as they are (``\b`` keeps click from filling them)."""
    return "\n".join(["\b", "Examples:", *(f"  $ {line}" for line in lines)])


_DIRECTORY = click.Path(file_okay=False, exists=True, path_type=Path)
_WHEN = click.Choice(["auto", "always", "never"])


def _fill(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Set the App's field of the option's name. An option that is not given leaves what is there."""
    app = context.ensure_object(App)
    if not value:
        return
    if parameter.name == "directory":
        os.chdir(value)
        value = Path.cwd()
    setattr(app, str(parameter.name), value)
