"""All specs of a role as one value with one digest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import NormalizedName

from rayimage.errors import ConfigError
from rayimage.model.digest import Digest
from rayimage.model.manifest import canonical_json
from rayimage.specs.conda import is_environment, read_environment
from rayimage.specs.findings import Findings, relative_name
from rayimage.specs.indexes import project_indexes
from rayimage.specs.local import LocalPackage, add_nested
from rayimage.specs.pyproject import Selection
from rayimage.specs.requirements import RequirementsReader
from rayimage.specs.source import Source

__all__ = ["RoleSpecs", "collect_specs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleSpecs:
    """What a role asks for. Only ``sources``, ``indexes`` and ``accounts`` may hold credentials."""

    sources: tuple[Source, ...] = field(repr=False)
    files: tuple[tuple[str, Digest], ...]
    """Every file that was read, nested ones included, sorted: posix path relative to the project's root, digest of
    its content. Of pyproject.toml only what a resolution depends on is digested; local packages end in ``/``."""
    digest: Digest
    """Of sources and files together; independent of where the project lies."""
    requirements: tuple[Requirement, ...]
    """The direct requirements, in the order of the files, without repetitions."""
    others: tuple[str, ...]
    """Direct requirements that are a URL or a path without a name, as text without credentials."""
    origins: Mapping[str, str] = field(default_factory=dict)
    """The text of each direct requirement → where it stands: ``requirements.in:3``, ``uv.lock``."""
    local: tuple[LocalPackage, ...] = ()
    """The packages that are built from directories, those that others of them require included."""
    hashes: Mapping[NormalizedName, frozenset[str]] = field(default_factory=dict)
    """Hex sha256 digests, one of which a package's file must have, for packages whose specs give hashes."""
    python: Mapping[str, str] = field(default_factory=dict)
    """File → the Python versions that it is for, as a specifier."""
    notes: tuple[str, ...] = ()
    """What was left out on purpose, for people."""
    indexes: tuple[str, ...] = field(default=(), repr=False)
    """Index URLs of the specs, as uv writes them: ``URL`` or ``name=URL``."""
    accounts: tuple[str, ...] = field(default=(), repr=False)
    """URLs in the specs with credentials in them."""

    def with_local(self, built: Sequence[LocalPackage]) -> RoleSpecs:
        """These specs with their local packages built; their contents become part of the digest."""
        if not built:
            return self
        wheels = tuple((package.name, package.wheel) for package in built if package.wheel)
        contents = [[package.name, str(package.digest)] for package in built]
        trees = {f"local package {package.name}": package.digest for package in built if package.digest}
        return replace(
            self,
            sources=tuple(replace(source, wheels=wheels) for source in self.sources),
            local=tuple(built),
            files=tuple(sorted({**dict(self.files), **trees}.items())),
            digest=Digest.of(canonical_json({"specs": str(self.digest), "local": contents})),
        )


def collect_specs(  # noqa: PLR0913 - one for each key of the configuration
    *,
    root: Path,
    requirements: Sequence[Path] = (),
    project: bool = False,
    extras: Sequence[str] = (),
    dependency_groups: Sequence[str] = (),
    from_lock: Path | None = None,
    cache_dir: Path | None = None,
) -> RoleSpecs:
    """Read the specs of a role; relative paths are relative to ``root``, where pyproject.toml is looked for too.

    ``extras`` bring the project's own dependencies with them, as in ``pip install .[extra]``. With ``from_lock`` the
    project, extras and groups are those of that lock, all of its project where none is named. ``cache_dir`` keeps the
    answers of slow exporters. Raises ConfigError with one problem for each line or key that is wrong,
    ``requirements.in:3: …`` or ``pyproject.toml:7: project.dependencies[2]: …``.
    """
    root = root.absolute()
    found = Findings(root=root)
    sources = _requirements([root / path for path in requirements], found)
    selection = Selection(
        dependencies=project or bool(extras) or found.own is not None or bool(from_lock and not dependency_groups),
        extras=tuple(dict.fromkeys((*extras, *(found.own or ())))),
        groups=tuple(dependency_groups),
    )
    if from_lock is not None:
        path = root / from_lock
        from rayimage.specs.locks import read_lock_file

        lines, tables = read_lock_file(path, selection, found, cache_dir)
        sources.append(_chosen(Source(kind="lines", path=path, lines=lines, tables=tables), selection))
    elif selection.dependencies or selection.groups:
        from rayimage.specs.project import read_project

        sources += read_project(root, selection, found)
    add_nested(found)
    found.indexes += project_indexes(root)
    if found.problems:
        problems = tuple(dict.fromkeys(found.problems))
        raise ConfigError("the dependency specs cannot be used", fix="correct the lines", problems=problems)
    return _role_specs(found, sources)


def _chosen(source: Source, selection: Selection) -> Source:
    return replace(source, extras=selection.extras, groups=selection.groups, dependencies=selection.dependencies)


def _requirements(paths: Sequence[Path], found: Findings) -> list[Source]:
    reader = RequirementsReader(found)
    sources = []
    for path in dict.fromkeys(paths):
        lines = read_environment(path, found, reader) if is_environment(path) else reader.read(path)
        plain = Source(kind="requirements", path=path)
        sources.append(plain if lines is None else Source(kind="lines", path=path, lines=lines))
    return sources


def _role_specs(found: Findings, sources: Sequence[Source]) -> RoleSpecs:
    files = tuple(sorted(found.files.items()))
    local = [LocalPackage(name=name, directory=directory) for name, directory in sorted(found.local.items())]
    return RoleSpecs(
        sources=tuple(sources),
        files=files,
        digest=_digest(sources, files, found.root),
        requirements=tuple({str(requirement): requirement for requirement in found.requirements}.values()),
        others=tuple(dict.fromkeys(found.others)),
        origins=dict(found.origins),
        local=tuple(local),
        hashes={name: frozenset(digests) for name, digests in found.hashes.items()},
        python=dict(found.python),
        notes=tuple(dict.fromkeys(found.notes)),
        indexes=tuple(dict.fromkeys(found.indexes)),
        accounts=tuple(dict.fromkeys(found.accounts)),
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
