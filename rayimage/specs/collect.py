"""All specs of a role as one value with one digest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

from rayimage.errors import ConfigError
from rayimage.model.digest import Digest
from rayimage.model.manifest import canonical_json
from rayimage.specs.pyproject import Pyproject, Selection
from rayimage.specs.requirements import read_requirements, relative_name

__all__ = ["RoleSpecs", "Source", "collect_specs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file to hand to a resolver, and which part of it is wanted; ``path`` is absolute.

    ``extras``, ``groups`` and ``dependencies`` (whether [project.dependencies] count) are for pyproject.toml only.
    """

    kind: Literal["requirements", "pyproject"]
    path: Path
    extras: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    dependencies: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleSpecs:
    """What a role asks for."""

    sources: tuple[Source, ...]
    files: tuple[tuple[str, Digest], ...]
    """Every file that was read, nested ones included, sorted: posix path relative to the project's root, digest of
    its content. Of pyproject.toml only what a resolution depends on is digested."""
    digest: Digest
    """Of sources and files together; independent of where the project lies."""
    requirements: tuple[Requirement, ...]
    """The direct requirements, in the order of the files, without repetitions."""
    others: tuple[str, ...]
    """Direct requirements that are a URL or a path without a name, as text without credentials."""


def collect_specs(
    *,
    root: Path,
    requirements: Sequence[Path] = (),
    project: bool = False,
    extras: Sequence[str] = (),
    dependency_groups: Sequence[str] = (),
) -> RoleSpecs:
    """Read the specs of a role; relative paths are relative to ``root``, where pyproject.toml is looked for too.

    ``extras`` bring the project's own dependencies with them, as in ``pip install .[extra]``. Raises ConfigError with
    one problem for each line or key that is wrong, ``requirements.in:3: …`` or ``pyproject.toml: project.name: …``.
    """
    root = root.absolute()
    paths = tuple(dict.fromkeys(root / path for path in requirements))
    read = read_requirements(paths, root)
    sources = [Source(kind="requirements", path=path) for path in paths]
    if project or extras or dependency_groups:
        source = Source(
            kind="pyproject",
            path=root / "pyproject.toml",
            extras=tuple(extras),
            groups=tuple(dependency_groups),
            dependencies=project or bool(extras),
        )
        sources.append(source)
        pyproject = Pyproject.read(source.path)
        selection = Selection(dependencies=source.dependencies, extras=source.extras, groups=source.groups)
        direct, problems = pyproject.requirements(selection)
        read.requirements += direct
        read.problems += [f"pyproject.toml: {problem}" for problem in problems]
        read.files["pyproject.toml"] = pyproject.digest(selection, direct)
    if read.problems:
        raise ConfigError("the dependency specs cannot be used", fix="correct the lines", problems=tuple(read.problems))
    files = tuple(sorted(read.files.items()))
    return RoleSpecs(
        sources=tuple(sources),
        files=files,
        digest=_digest(sources, files, root),
        requirements=tuple({str(requirement): requirement for requirement in read.requirements}.values()),
        others=tuple(dict.fromkeys(read.others)),
    )


def _digest(sources: Sequence[Source], files: Sequence[tuple[str, Digest]], root: Path) -> Digest:
    wanted = [
        {
            "kind": source.kind,
            "path": relative_name(source.path, root),
            "extras": sorted(source.extras),
            "groups": sorted(source.groups),
            "dependencies": source.dependencies,
        }
        for source in sources
    ]
    return Digest.of(canonical_json({"sources": wanted, "files": [[name, str(digest)] for name, digest in files]}))
