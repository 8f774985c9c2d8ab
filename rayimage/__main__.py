"""The one place that prints errors and exits."""

from __future__ import annotations

import io
import os
import sys
from dataclasses import dataclass

import click

from rayimage.cli.app import App
from rayimage.cli.interrupt import INTERRUPTED, interruptible
from rayimage.cli.main import cli
from rayimage.errors import ConfigError, RayimageError

__all__ = ["main"]

_BUG = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failure:
    """An error as it is shown; ``traceback`` when it helps whoever reads it."""

    code: int
    name: str
    what: str
    why: str = ""
    fix: str = ""
    problems: tuple[str, ...] = ()
    traceback: bool = False


def main(args: list[str] | None = None) -> None:
    """Run the command line and exit with the code of the error's class (``rayimage.errors``), 0 on success."""
    given = sys.argv[1:] if args is None else args
    app = App()
    _print_always()
    try:
        with interruptible(app):
            try:
                code = cli.main(args=given, obj=app, prog_name="rayimage", standalone_mode=False)
            finally:
                app.close()
    except click.exceptions.NoArgsIsHelpError as help_text:
        help_text.show()
        sys.exit(help_text.exit_code)
    except Exception as error:  # noqa: BLE001
        failure = _failure(error, verbose=app.verbose)
        _print(failure, coloured=_coloured(app))
        if (app.as_json or "--json" in given) and not app.answered:
            _answer(app, failure)
        sys.exit(failure.code)
    if code:  # of click's Exit; commands return nothing
        sys.exit(code)


def _print_always() -> None:
    """A terminal or pipe of another encoding gets ``?`` for an arrow, not a failure in the middle of a build."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and not stream.encoding.lower().startswith("utf"):
            stream.reconfigure(errors="replace")


def _failure(error: Exception, *, verbose: bool) -> _Failure:
    name = type(error).__name__
    if isinstance(error, RayimageError):
        problems = error.problems if isinstance(error, ConfigError) else ()
        return _Failure(
            code=error.exit_code,
            name=name,
            what=error.what,
            why=error.why,
            fix=error.fix,
            problems=problems,
            traceback=verbose,
        )
    if isinstance(error, click.Abort):  # click's name for Ctrl-C
        fix = "run the same command again: finished work is kept, and tags and YAML are written last"
        return _Failure(code=INTERRUPTED, name="Interrupted", what="interrupted", fix=fix)
    if isinstance(error, click.ClickException):
        context = getattr(error, "ctx", None)
        fix = f"see {context.command_path} --help" if context else ""
        return _Failure(code=error.exit_code, name="UsageError", what=error.format_message(), fix=fix)
    fix = "report it with the traceback above"
    return _Failure(code=_BUG, name=name, what="rayimage has a bug", why=repr(error), fix=fix, traceback=True)


def _print(failure: _Failure, *, coloured: bool) -> None:
    """Three lines at most, and one for each problem: the thing, the cause, the next step."""
    if failure.traceback:
        import traceback

        traceback.print_exc()
    red, bold, reset = ("\033[31m", "\033[1m", "\033[0m") if coloured else ("", "", "")
    lines = [f"{red}error:{reset} {bold}{failure.what}{reset}"]
    lines += [f"  - {problem}" for problem in failure.problems]
    lines += [f"  why:  {_indented(failure.why)}"] if failure.why else []
    lines += [f"  next: {_indented(failure.fix)}"] if failure.fix else []
    sys.stderr.write("\n".join(lines) + "\n")


def _answer(app: App, failure: _Failure) -> None:
    """The error as stdout's one JSON document."""
    facts = {"class": failure.name, "code": failure.code, "what": failure.what, "why": failure.why, "fix": failure.fix}
    app.emit_json({"error": {**facts, "problems": list(failure.problems)}})


def _indented(text: str) -> str:
    return text.strip().replace("\n", "\n        ")


def _coloured(app: App) -> bool:
    if app.color != "auto" or os.environ.get("NO_COLOR"):
        return app.color == "always"
    return bool(os.environ.get("FORCE_COLOR")) or sys.stderr.isatty()


if __name__ == "__main__":
    main()
