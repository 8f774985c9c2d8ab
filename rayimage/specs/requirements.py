"""Requirements files: the closure of nested files, the direct requirements, and the lines that are wrong.

The format is pip's (https://pip.pypa.io/en/stable/reference/requirements-file-format/), read the way pip's
``req_file.py`` does: continuation lines first, then comments, then ``${VARIABLE}``.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from packaging.requirements import InvalidRequirement, Requirement

from rayimage.model.digest import Digest
from rayimage.specs.wording import first_line

__all__ = ["RequirementsFiles", "logical_lines", "read_requirements", "relative_name"]

_COMMENT = re.compile(r"(^|\s+)#.*$")
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_ARCHIVES = (".whl", ".zip", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar")
_OTHER_FORMATS = {
    "pyproject.toml": "set project = true to use the project's own dependencies",
    "setup.py": "set project = true, with the dependencies in pyproject.toml",
    "setup.cfg": "set project = true, with the dependencies in pyproject.toml",
    "uv.lock": "name what it was locked from instead (project = true, or a requirements file)",
    "poetry.lock": "name what it was locked from instead, or export it to a requirements file",
    "Pipfile": "export it to a requirements file",
    "Pipfile.lock": "export it to a requirements file",
}


@dataclass(slots=True)
class RequirementsFiles:
    """What a set of requirements files comes to; ``files`` maps every file read to its digest."""

    files: dict[str, Digest] = field(default_factory=dict)
    requirements: list[Requirement] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def read_requirements(paths: Iterable[Path], root: Path) -> RequirementsFiles:
    """Read requirements files (absolute paths) and what they nest; file names in the result are relative to ``root``.

    Nothing is raised: each fault is a line ``file:line: what is wrong`` in ``problems``. A nested file on a web server
    is left to the resolver: its URL is part of the digest, its contents are not.
    """
    walk = _Walk(root)
    for path in paths:
        walk.read(path, constraint=False)
    return walk.found


def relative_name(path: Path, root: Path) -> str:
    """``path`` as a posix path relative to ``root``, with ``..`` where it lies outside."""
    return Path(os.path.relpath(path, root)).as_posix()


def logical_lines(text: str) -> Iterator[tuple[int, str]]:
    r"""Number and text of each line that says something: joined at ``\``, without comments.

    A comment ends a continued line even when it ends in a backslash itself, as in pip's ``join_lines``.
    """
    start, parts = 0, []
    for number, line in enumerate(text.splitlines(), start=1):
        start = start or number
        is_comment = _COMMENT.match(line)
        if line.endswith("\\") and not is_comment:
            parts.append(line.rstrip("\\"))
            continue
        parts.append(f" {line}" if is_comment else line)
        if joined := _COMMENT.sub("", "".join(parts)).strip():
            yield start, joined
        start, parts = 0, []
    if joined := _COMMENT.sub("", "".join(parts)).strip():
        yield start, joined


class _Walk:
    """Depth first through nested files, in the order in which pip reads them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.found = RequirementsFiles()
        self._done: set[tuple[Path, bool]] = set()

    def read(self, path: Path, *, constraint: bool, place: str = "", trail: tuple[Path, ...] = ()) -> None:
        """Read one file; ``place`` (``file:line: ``) and ``trail`` say from where."""
        path = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links out of the project
        name = relative_name(path, self.root)
        if path in trail:
            chain = " -> ".join(relative_name(step, self.root) for step in (*trail[trail.index(path) :], path))
            self.found.problems.append(f"{place}files include each other: {chain}")
            return
        if (path, constraint) in self._done:
            return
        self._done.add((path, constraint))
        if path.name in _OTHER_FORMATS:
            self.found.problems.append(f"{place}{name} is not a requirements file; {_OTHER_FORMATS[path.name]}")
            return
        try:
            data = path.read_bytes()
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            self.found.problems.append(f"{place}{name} is not UTF-8 text")
            return
        except OSError as error:
            self.found.problems.append(f"{place}cannot read {name}: {error.strerror or error}")
            return
        self.found.files[name] = Digest.of(data)
        for number, line in logical_lines(text):
            self._line(_expand(line), f"{name}:{number}: ", constraint=constraint, trail=(*trail, path))

    def _line(self, line: str, place: str, *, constraint: bool, trail: tuple[Path, ...]) -> None:
        if line.startswith("-"):
            self._options(line, place, constraint=constraint, trail=trail)
            return
        text = _without_options(line)
        if _is_url_or_path(text):
            if not constraint:
                self.found.others.append(_without_secrets(text))
            return
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            self.found.problems.append(f"{place}{first_line(error)} (in {_without_secrets(text)!r})")
            return
        if not constraint:
            self.found.requirements.append(requirement)

    def _options(self, line: str, place: str, *, constraint: bool, trail: tuple[Path, ...]) -> None:
        try:
            options, _ = _PARSER.parse_known_args(shlex.split(line))
        except (ValueError, argparse.ArgumentError) as error:
            self.found.problems.append(f"{place}{_without_secrets(str(error))}")
            return
        if not constraint:
            self.found.others += [f"-e {_without_secrets(text)}" for text in options.editable]
        for target, nested_constraint in options.nested:
            parts = urlsplit(target)
            if parts.scheme in ("http", "https"):
                if not (constraint or nested_constraint):
                    self.found.others.append(f"-r {_without_secrets(target)}")
                continue
            path = Path(unquote(parts.path) if parts.scheme == "file" else target)
            self.read(trail[-1].parent / path, constraint=constraint or nested_constraint, place=place, trail=trail)


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


def _option_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.set_defaults(nested=[])
    parser.add_argument("-r", "--requirement", action=_Nested, const=False)
    parser.add_argument("-c", "--constraint", action=_Nested, const=True)
    parser.add_argument("-e", "--editable", action="append", default=[])
    return parser


_PARSER = _option_parser()


def _expand(line: str) -> str:
    return _VARIABLE.sub(lambda match: os.environ.get(match[1]) or match[0], line)


def _without_options(line: str) -> str:
    """A requirement without the options behind it (``--hash``, ``--config-settings``)."""
    return re.split(r"\s+(?=-)", line, maxsplit=1)[0]


def _is_url_or_path(text: str) -> bool:
    if _URL.match(text) or text.startswith((".", "/", "~")):
        return True
    bare = re.split(r"[\[;@\s]", text, maxsplit=1)[0]
    return "/" in bare or bare.lower().endswith(_ARCHIVES)


def _without_secrets(text: str) -> str:
    return re.sub(r"\?[^#\s'\"]*", "", re.sub(r"//[^/@\s]+@", "//", text))
