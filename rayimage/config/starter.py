"""A ``Proposal`` as text, and the file that it is written to."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rayimage.config.load import read_project
from rayimage.config.project import Project
from rayimage.config.proposal import Proposal
from rayimage.errors import ConfigError
from rayimage.files import write_atomic
from rayimage.specs.pyproject import Pyproject

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["Start", "start"]

_CHECK_BASE = "# No KubeRay file names a rayproject/ray image: check the versions of Ray and Python."


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A configuration that is checked and not written yet: ``table`` is new, ``content`` the file as it will be."""

    file: Path
    table: str
    content: bytes
    project: Project

    def write(self) -> None:
        """Write the file, whole or not at all; raises ConfigError."""
        try:
            write_atomic(self.file, self.content)
        except OSError as error:
            fix = "make the directory writable, or print the table with `rayimage init --dry-run`"
            raise ConfigError(f"cannot write {self.file}", why=error.strerror or str(error), fix=fix) from error


def start(root: Path, proposal: Proposal) -> Start:
    """Add ``proposal`` to pyproject.toml if ``root`` has one, else to a new rayimage.toml.

    Raises ConfigError when pyproject.toml cannot be extended, or when the result would not be a valid configuration.
    """
    file = root / "pyproject.toml"
    if not file.is_file():
        table = render(proposal, prefix="")
        data = tomllib.loads(table)
        project = read_project(root / "rayimage.toml", data, None)
        return Start(file=root / "rayimage.toml", table=table, content=table.encode(), project=project)
    before = file.read_bytes()
    newline = b"\r\n" if b"\r\n" in before else b"\n"
    table = render(proposal, prefix="tool.rayimage")
    gap = b"" if not before.strip() else newline if before.endswith(b"\n") else newline * 2
    content = before + gap + table.encode().replace(b"\n", newline)
    try:
        data = tomllib.loads(content.decode())
    except tomllib.TOMLDecodeError as error:
        fix = "add the table by hand: `rayimage init --dry-run` prints it"
        raise ConfigError(f"{file} cannot be extended", why=str(error), fix=fix) from error
    project = read_project(file, data["tool"]["rayimage"], Pyproject(file, data))
    return Start(file=file, table=table, content=content, project=project)


def render(proposal: Proposal, *, prefix: str) -> str:
    """The TOML of ``proposal``, its tables below ``prefix``."""
    return "\n".join([*_top(proposal, prefix), *_roles(proposal, prefix), *_environments(proposal, prefix)]) + "\n"


def _top(proposal: Proposal, prefix: str) -> Iterator[str]:
    yield from [f"[{prefix}]"] if prefix else []
    if not proposal.repository_known:
        yield "# Where images are pushed. A placeholder: write your own."
    entries = {"repository": _string(proposal.repository)}
    if proposal.requirements:
        entries["requirements"] = _list(proposal.requirements)
    if proposal.project:
        entries["project"] = "true"
    if proposal.platform != "linux/amd64":
        entries["platforms"] = _list([proposal.platform])
    if proposal.code != "copy":
        entries["code"] = _string(proposal.code)
    yield from _aligned(entries)
    if not (proposal.requirements or proposal.project or any(role.requirements for role in proposal.roles)):
        yield '# requirements = ["requirements.in"]'
    if len({role.base for role in proposal.roles}) == 1:
        yield from [] if proposal.base_known else [_CHECK_BASE]
        yield f"base = {_string(proposal.roles[0].base)}"
    if proposal.code == "copy":
        yield "# Ray starts processes outside of the working directory; they import the code, too."
        yield 'env = { PYTHONPATH = "/home/ray/app" }'


def _roles(proposal: Proposal, prefix: str) -> Iterator[str]:
    several = len({role.base for role in proposal.roles}) > 1
    for role in proposal.roles:
        entries = {"base": _string(role.base)} if several else {}
        if role.requirements:
            entries["requirements"] = _list(role.requirements)
        if role.worker_groups:
            entries["worker-groups"] = _list(role.worker_groups)
        yield from ("", f"[{_dotted(prefix, 'images', role.name)}]", *_aligned(entries))


def _environments(proposal: Proposal, prefix: str) -> Iterator[str]:
    if not proposal.environments:
        yield from ("", f"# [{_dotted(prefix, 'environments', 'dev')}]", '# manifests = ["deploy/dev/*.yaml"]')
    for environment in proposal.environments:
        entries = {"repository": _string(environment.repository)} if environment.repository else {}
        entries["manifests"] = _list(environment.manifests)
        yield from ("", f"[{_dotted(prefix, 'environments', environment.name)}]", *_aligned(entries))


def _aligned(entries: dict[str, str]) -> Iterator[str]:
    width = max(map(len, entries), default=0)
    return (f"{key:<{width}} = {value}" for key, value in entries.items())


def _dotted(*parts: str) -> str:
    return ".".join(part for part in parts if part)


def _list(texts: Sequence[str]) -> str:
    return f"[{', '.join(map(_string, texts))}]"


def _string(text: str) -> str:
    """A basic string. JSON escapes are TOML escapes; only DEL is left bare by JSON and forbidden by TOML."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")
