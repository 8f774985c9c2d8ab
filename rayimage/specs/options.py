"""The option lines of requirements files that say which other files and packages there are."""

from __future__ import annotations

import argparse
import shlex

__all__ = ["parse_options"]


def parse_options(line: str) -> tuple[argparse.Namespace, list[str]]:
    """The options of a line, and the words that are none of these; raises ValueError for what does not parse.

    ``nested``: (target, whether ``-c``) in order; ``places``: (long name, value) in order.
    """
    try:
        return _PARSER.parse_known_args(shlex.split(line))
    except argparse.ArgumentError as error:
        raise ValueError(str(error)) from error


class _Nested(argparse.Action):
    """Collects ``-r`` and ``-c`` in the order of the line."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,  # noqa: ARG002
    ) -> None:
        namespace.nested = [*namespace.nested, (str(values), self.const)]


class _Place(argparse.Action):
    """Collects the options that say where packages are, under their long names."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,  # noqa: ARG002
    ) -> None:
        namespace.places = [*namespace.places, (self.option_strings[-1], str(values))]


def _option_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.set_defaults(nested=[], places=[])
    parser.add_argument("-r", "--requirement", action=_Nested, const=False)
    parser.add_argument("-c", "--constraint", action=_Nested, const=True)
    parser.add_argument("-i", "--pypi-url", "--index-url", action=_Place)
    parser.add_argument("--extra-index-url", action=_Place)
    parser.add_argument("-f", "--find-links", action=_Place)
    return parser


_PARSER = _option_parser()
