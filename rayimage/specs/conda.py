"""An environment.yml of conda: its ``pip:`` part is requirements, the rest is said to be left out.

What conda would install is not for an image on a Ray base: the base has its own conda, and wheels go beside it.
The format: conda/conda, docs/source/user-guide/tasks/manage-environments.rst, "Creating an environment file manually".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rayimage.specs.findings import Findings, digest_of, relative_name
from rayimage.specs.requirements import RequirementsReader

if TYPE_CHECKING:
    from ruamel.yaml.nodes import Node

__all__ = ["is_environment", "read_environment"]

_TOOLS = frozenset({"pip", "setuptools", "wheel", "uv", "conda"})
_MATCH = re.compile(r"(?:[\w.-]+::)?(?P<name>[A-Za-z0-9_][\w.-]*)\s*(?P<version>[^\[\s]*)")


def is_environment(path: Path) -> bool:
    """Whether a requirements file is conda's: YAML by its name."""
    return path.suffix in (".yml", ".yaml")


def read_environment(path: Path, found: Findings, reader: RequirementsReader) -> tuple[str, ...]:
    """Read the file at the absolute ``path`` into ``found``; answers the lines of its ``pip:`` part to resolve."""
    name = relative_name(path, found.root)
    try:
        data = path.read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as error:
        found.problems.append(f"cannot read {name}: {error.strerror or error}")
        return ()
    except UnicodeDecodeError:
        found.problems.append(f"{name} is not UTF-8 text")
        return ()
    found.files[name] = digest_of(data)
    lines: list[tuple[int, str]] = []
    for number, item in _dependencies(text, name, found):
        if isinstance(item, str):
            found.notes += _left_out(f"{name}:{number}", item)
        else:
            lines += item
    return reader.lines(lines, name, path)


def _dependencies(text: str, name: str, found: Findings) -> Iterator[tuple[int, str | list[tuple[int, str]]]]:
    """Each dependency and its line: a conda package, or pip's list with the line of each of its items."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError
    from ruamel.yaml.nodes import ScalarNode, SequenceNode

    try:
        root = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        found.problems.append(f"{name}:{line}: not valid YAML: {error.problem}")
        return
    except YAMLError as error:
        found.problems.append(f"{name}: not valid YAML: {error}")
        return
    dependencies = _value(root, "dependencies")
    if not isinstance(dependencies, SequenceNode):
        where = f"{name}:{_line(dependencies)}" if dependencies else name
        found.problems.append(f"{where}: there is no list `dependencies`, so this is no conda environment")
        return
    for item in dependencies.value:
        pip = _value(item, "pip")
        if isinstance(item, ScalarNode):
            yield _line(item), str(item.value)
        elif isinstance(pip, SequenceNode) and all(isinstance(each, ScalarNode) for each in pip.value):
            yield _line(item), [(_line(each), str(each.value)) for each in pip.value]
        else:
            found.problems.append(f"{name}:{_line(item)}: must be a package, or `pip:` with a list of requirements")


def _value(node: Node | None, key: str) -> Node | None:
    from ruamel.yaml.nodes import MappingNode

    if not isinstance(node, MappingNode):
        return None
    return next((value for name, value in node.value if name.value == key), None)


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1


def _left_out(place: str, text: str) -> Iterator[str]:
    """The clear word about a conda package; none about those that make no difference."""
    match = _MATCH.match(text)
    name, version = (match["name"].lower(), match["version"]) if match else (text, "")
    if name in _TOOLS:
        return
    if name == "python":
        yield f"{place}: {text!r} is not used: the image has its base's Python"
        return
    spec = _pip_version(version)
    # Names differ now and then: conda's pytorch is pip's torch.
    example = f", as {f'{name}{spec}'!r} if it has that name there" if spec is not None else ""
    yield f"{place}: {text!r} is not installed, only the `pip:` part is; if the image needs it, add it there{example}"


def _pip_version(version: str) -> str | None:
    """Versions as pip writes them: ``=1.26`` is any 1.26, ``==1.26`` that one; None for what has no such form."""
    exact = re.fullmatch(r"(={1,2})(\w+(?:\.\w+)*)(?:=\w+)?(\.?\*)?", version)
    if exact:
        fuzzy = exact[1] == "=" and "=" not in version[1:]
        return f"=={exact[2]}{'.*' if fuzzy else ''}"
    return version if re.fullmatch(r"((>=|<=|>|<|!=)[\w.]+,?)*", version) else None
