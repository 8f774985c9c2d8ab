"""The ``rayimage`` command line: global options, and commands imported only when they run."""

from __future__ import annotations

import importlib

import click

from rayimage import __version__
from rayimage.cli.app import App
from rayimage.cli.options import global_options

__all__ = ["cli"]

# name → what it does; the module of that name in rayimage.cli holds the command. `--help` imports none of them.
COMMANDS = {
    "init": "Write a first configuration from what the project has.",
    "lock": "Lock every role's packages against its base image.",
    "plan": "Show what a build would do.",
    "build": "Build, push and write the digests into the KubeRay YAML.",
    "dockerfile": "Print the Dockerfile of a role, as the Docker builder builds it.",
    "emit": "Write image references and rayVersion into KubeRay YAML.",
    "inspect": "Show what an image contains.",
    "cache": "Show and prune what is kept between runs.",
}


class _Commands(click.Group):
    """A group whose commands are modules."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            self._suggest(ctx, cmd_name)
            return None
        command: click.Command = importlib.import_module(f"rayimage.cli.{cmd_name}").command
        if not any(parameter.name == "as_json" for parameter in command.params):
            command.params += global_options(hidden=True)
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


@click.group(
    cls=_Commands,
    params=global_options(),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Global options may also follow the command. `rayimage COMMAND --help` has examples.",
)
@click.version_option(__version__, "--version", prog_name="rayimage")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Turn a Python project into the container images a Ray cluster on Kubernetes runs."""
    ctx.ensure_object(App)
