"""The one place that prints errors and exits."""

from __future__ import annotations

import os
import sys
import traceback

import click

from rayimage.cli.main import cli
from rayimage.errors import ConfigError, RayimageError

__all__ = ["main"]

_INTERRUPTED = 130
_BUG = 1


def main(args: list[str] | None = None) -> None:
    """Run the command line and exit with the code of the error's class (``rayimage.errors``), 0 on success."""
    verbose = any(arg in ("-v", "--verbose") for arg in (sys.argv[1:] if args is None else args))
    try:
        cli.main(args=args, standalone_mode=False)
    except click.exceptions.Exit as exit_:
        sys.exit(exit_.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _print("interrupted", fix="run the same command again: finished work is kept, nothing was tagged")
        sys.exit(_INTERRUPTED)
    except BrokenPipeError:
        # The reader (head, less) went away: not an error of ours. Keep the interpreter from flushing into the pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(_INTERRUPTED + 11)
    except RayimageError as error:
        if verbose:
            traceback.print_exc()
        problems = error.problems if isinstance(error, ConfigError) else ()
        _print(error.what, error.why, error.fix, problems)
        sys.exit(error.exit_code)
    except Exception as error:  # noqa: BLE001
        traceback.print_exc()
        _print("rayimage has a bug", repr(error), "report it with the traceback above")
        sys.exit(_BUG)


def _print(what: str, why: str = "", fix: str = "", problems: tuple[str, ...] = ()) -> None:
    """Three lines at most, and one for each problem: the thing, the cause, the next step."""
    red, bold, reset = ("\033[31m", "\033[1m", "\033[0m") if _coloured() else ("", "", "")
    lines = [f"{red}error:{reset} {bold}{what}{reset}"]
    lines += [f"  - {problem}" for problem in problems]
    lines += [f"  why:  {_indented(why)}"] if why else []
    lines += [f"  next: {_indented(fix)}"] if fix else []
    sys.stderr.write("\n".join(lines) + "\n")


def _indented(text: str) -> str:
    return text.strip().replace("\n", "\n        ")


def _coloured() -> bool:
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or sys.stderr.isatty()


if __name__ == "__main__":
    main()
