"""The ``rayimage`` command line: global options, and commands imported only when they run."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

import click

from rayimage import __version__
from rayimage.cli.app import App

__all__ = ["cli"]

# name → what it does; the module of that name in rayimage.cli holds the command. `--help` imports none of them.
COMMANDS = {
    "lock": "Lock every role's packages against its base image.",
    "plan": "Show what a build would do.",
    "build": "Build, push and write the digests into the KubeRay YAML.",
    "emit": "Write image references and rayVersion into KubeRay YAML.",
}


class _Commands(click.Group):
    """A group whose commands are modules."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            self._suggest(ctx, cmd_name)
            return None
        module = importlib.import_module(f"rayimage.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    @staticmethod
    def _suggest(ctx: click.Context, name: str) -> None:
        import difflib

        close = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.6)
        if close:
            ctx.fail(f"No such command {name!r}. Did you mean {close[0]!r}?")


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "--version", prog_name="rayimage")
@click.option(
    "-C",
    "directory",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    default=Path(),
    metavar="DIR",
    help="Run as if started in DIR.",
)
@click.option("--json", "as_json", is_flag=True, help="Print data as JSON on stdout, and nothing else there.")
@click.option("-q", "--quiet", is_flag=True, help="Only warnings and errors.")
@click.option("-v", "--verbose", is_flag=True, help="Every step, and tracebacks.")
@click.option("--color", type=click.Choice(["auto", "always", "never"]), default="auto", help="Colours and bars.")
@click.pass_context
def cli(ctx: click.Context, *, directory: Path, as_json: bool, quiet: bool, verbose: bool, color: str) -> None:
    """Turn a Python project into the container images a Ray cluster on Kubernetes runs."""
    os.chdir(directory)
    ctx.obj = App(directory=Path.cwd(), as_json=as_json, quiet=quiet, verbose=verbose, color=color)
