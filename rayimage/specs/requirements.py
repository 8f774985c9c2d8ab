"""Requirements files: the closure of nested files, the direct requirements, and the lines that are wrong.

The format is pip's (https://pip.pypa.io/en/stable/reference/requirements-file-format/), read the way pip's
``req_file.py`` does: continuation lines first, then comments, then ``${VARIABLE}``.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from packaging.requirements import InvalidRequirement, Requirement

from rayimage.specs.findings import Findings, digest_of, relative_name, without_secrets
from rayimage.specs.local import ARCHIVES, LocalLine, file_path, project_name
from rayimage.specs.options import parse_options
from rayimage.specs.wording import first_line

__all__ = ["RequirementsReader", "logical_lines", "read_requirements"]

_COMMENT = re.compile(r"(^|\s+)#.*$")
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
# With what follows: Poetry exports ``-e file:///… ; marker``.
_EDITABLE = re.compile(r"(?:-e|--editable)(?:\s+|=)(['\"]?)(.+)\1$")
_SHA256 = re.compile(r"--hash[=\s]\s*['\"]?sha256:([0-9a-fA-F]{64})\b")
_OTHER_FORMATS = {
    "pyproject.toml": "set project = true to use the project's own dependencies",
    "setup.py": "set project = true, with the dependencies in pyproject.toml or setup.cfg",
    "setup.cfg": "set project = true to use the project's own dependencies",
    "uv.lock": 'set from-lock = "uv.lock" to take what it locks',
    "poetry.lock": 'set from-lock = "poetry.lock" to take what it locks',
    "pdm.lock": 'set from-lock = "pdm.lock" to take what it locks',
    "pylock.toml": 'set from-lock = "pylock.toml" to take what it locks',
    "Pipfile": "export it to a requirements file",
    "Pipfile.lock": "export it to a requirements file",
}


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


def read_requirements(paths: Iterable[Path], root: Path) -> Findings:
    """What requirements files (absolute paths) come to; see ``RequirementsReader``."""
    reader = RequirementsReader(Findings(root=root))
    for path in paths:
        reader.read(path)
    return reader.found


class RequirementsReader:
    """Reads requirements files and what they nest into ``found``, depth first, in the order in which pip reads them.

    Nothing is raised: each fault is a line ``file:line: what is wrong`` in ``found.problems``. A nested file on a web
    server is left to the resolver: its URL is part of the digest, its contents are not.
    """

    def __init__(self, found: Findings) -> None:
        self.found = found
        self._done: set[tuple[Path, bool]] = set()
        self._flat: list[str] = []
        self._is_flat = False

    def read(self, path: Path) -> tuple[str, ...] | None:
        """Read the file at the absolute ``path``.

        Where a resolver cannot be given the file as it is, because it requires directories that have to be built,
        answers the lines to give instead: nested files drawn in, packages in directories by their names.
        """
        self._flat, self._is_flat = [], False
        self._file(path, constraint=False)
        return tuple(self._flat) if self._is_flat else None

    def lines(self, lines: Iterable[tuple[int, str]], name: str, path: Path) -> tuple[str, ...]:
        """Read ``lines`` (with their numbers) of the file ``path``, called ``name``; answers the lines to resolve."""
        self._flat = []
        for number, line in lines:
            self._line(_expand(line), f"{name}:{number}", constraint=False, trail=(path,))
        return tuple(self._flat)

    def _file(self, path: Path, *, constraint: bool, place: str = "", trail: tuple[Path, ...] = ()) -> None:
        """Read one file; ``place`` (``file:line``) and ``trail`` say from where."""
        path = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links out of the project
        name, start = relative_name(path, self.found.root), f"{place}: " if place else ""
        if path in trail:
            chain = " -> ".join(relative_name(step, self.found.root) for step in (*trail[trail.index(path) :], path))
            self.found.problems.append(f"{start}files include each other: {chain}")
            return
        if (path, constraint) in self._done:
            return
        self._done.add((path, constraint))
        if path.name in _OTHER_FORMATS:
            self.found.problems.append(f"{start}{name} is not a requirements file; {_OTHER_FORMATS[path.name]}")
            return
        try:
            data = path.read_bytes()
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            self.found.problems.append(f"{start}{name} is not UTF-8 text")
            return
        except OSError as error:
            self.found.problems.append(f"{start}cannot read {name}: {error.strerror or error}")
            return
        self.found.files[name] = digest_of(data)
        for number, line in logical_lines(text):
            self._line(_expand(line), f"{name}:{number}", constraint=constraint, trail=(*trail, path))

    def _line(self, line: str, place: str, *, constraint: bool, trail: tuple[Path, ...]) -> None:
        self.found.note_accounts(line)
        try:
            if editable := _EDITABLE.match(line):
                self._editable(_split_options(editable[2])[0], place, trail[-1], constraint=constraint)
            elif line.startswith("-"):
                self._options(line, place, constraint=constraint, trail=trail)
            else:
                self._requirement(line, place, trail[-1], constraint=constraint)
        except InvalidRequirement as error:
            text = _split_options(line)[0]
            self.found.problems.append(f"{place}: {first_line(error)} (in {without_secrets(text)!r})")

    def _requirement(self, line: str, place: str, file: Path, *, constraint: bool) -> None:
        text, options = _split_options(line)
        is_path = _is_url_or_path(text)
        requirement = None if is_path else Requirement(text)
        if self._local(text, place, file, is_path=is_path, constraint=constraint) or constraint:
            return
        if requirement is None:
            self.found.others.append(without_secrets(text))
            path = None if _URL.match(text) else file_path(text, self.found.root, file.parent)
            self._flat.append(str(path) if path and path.exists() else line)
            return
        if requirement.url and not _URL.match(requirement.url):
            self.found.problems.append(f"{place}: {without_secrets(requirement.url)!r} is not a URL")
            return
        self._flat.append(line)
        self.found.require(requirement, place, hashes=(found.lower() for found in _SHA256.findall(options)))

    def _editable(self, text: str, place: str, file: Path, *, constraint: bool) -> None:
        if not self._local(text, place, file, is_path=True, constraint=constraint) and not constraint:
            self.found.others.append(f"-e {without_secrets(text)}")
            self._flat.append(f"-e {text}")

    def _local(self, text: str, place: str, file: Path, *, is_path: bool, constraint: bool = False) -> bool:
        """Take a requirement of a directory; False when it is none."""
        line = LocalLine.parse(text, is_path=is_path)
        if line is None:
            return False
        self._is_flat = True
        # As for pip and uv, paths are relative to the working directory: the project's root.
        directory = file_path(line.target, self.found.root, file.parent)
        name = line.name or project_name(directory)
        if constraint:
            self.found.problems.append(f"{place}: a directory cannot be a constraint; require it where it is needed")
        elif not directory.is_dir():
            self.found.problems.append(f"{place}: there is no directory {line.target}")
        elif directory == self.found.root:
            self.found.own = [*(self.found.own or ()), *line.requirement("own").extras]
        elif not name:
            where = relative_name(directory, self.found.root)
            self.found.problems.append(f"{place}: {where} has no name that can be read without building it")
        else:
            requirement = line.requirement(name)
            self._flat.append(str(requirement))
            self.found.add_local(name, directory, place)
            self.found.require(requirement, place)
        return True

    def _options(self, line: str, place: str, *, constraint: bool, trail: tuple[Path, ...]) -> None:
        try:
            options, rest = parse_options(line)
        except ValueError as error:
            self.found.problems.append(f"{place}: {without_secrets(str(error))}")
            return
        flat = [shlex.join(rest)] if rest else []
        for option, value in options.places:
            self.found.indexes += [value] if option != "--find-links" and _URL.match(value) else []
            path = None if _URL.match(value) else file_path(value, trail[-1].parent, self.found.root)
            flat.append(f"{option} {path if path and path.exists() else value}")
        self._flat += [] if constraint else flat
        for target, nested_constraint in options.nested:
            self._nested(target, place, constraint=constraint, nested_constraint=nested_constraint, trail=trail)

    def _nested(
        self, target: str, place: str, *, constraint: bool, nested_constraint: bool, trail: tuple[Path, ...]
    ) -> None:
        parts = urlsplit(target)
        if parts.scheme in ("http", "https"):
            self._flat += [] if constraint else [f"{'-c' if nested_constraint else '-r'} {target}"]
            if not (constraint or nested_constraint):
                self.found.others.append(f"-r {without_secrets(target)}")
            return
        path = Path(unquote(parts.path) if parts.scheme == "file" else target)
        path = trail[-1].parent / path
        if nested_constraint and not constraint:
            self._flat.append(f"-c {shlex.quote(os.path.abspath(path))}")  # noqa: PTH100 - links stay
        self._file(path, constraint=constraint or nested_constraint, place=place, trail=trail)


def _expand(line: str) -> str:
    return _VARIABLE.sub(lambda match: os.environ.get(match[1]) or match[0], line)


def _split_options(line: str) -> tuple[str, str]:
    """A requirement, and the options behind it (``--hash``, ``--config-settings``)."""
    text, *options = re.split(r"\s+(?=-)", line, maxsplit=1)
    return text, "".join(options)


def _is_url_or_path(text: str) -> bool:
    if _URL.match(text) or text.startswith((".", "/", "~")):
        return True
    bare = re.split(r"[\[;@\s]", text, maxsplit=1)[0]
    return "/" in bare or bare.lower().endswith(ARCHIVES)
