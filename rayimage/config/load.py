"""Finding the configuration, and turning the validated table into a ``Project``."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rayimage.config.project import Environment, Project, Role
from rayimage.errors import ConfigError
from rayimage.model.layering import Layering
from rayimage.model.platform import Platform
from rayimage.model.system import RunStep, Secret, SystemSettings
from rayimage.specs.pyproject import Pyproject
from rayimage.specs.toml import read_toml

if TYPE_CHECKING:
    from rayimage.config.schema import Common, Config, RoleTable, RunTable, SystemTable

__all__ = ["find_configuration", "load_project", "read_project"]

_DEFAULT_PLATFORM = "linux/amd64"
_DEFAULT_WORKDIR = "/home/ray/app"


def load_project(directory: Path) -> Project:
    """Read the nearest configuration in ``directory`` or above it.

    That is rayimage.toml, or a pyproject.toml with a [tool.rayimage] table; other pyproject.toml files are passed by.
    Raises ConfigError when there is none, when one directory has both, when a file is not TOML, and when the table is
    wrong: then with one problem for each fault.
    """
    found = _find(directory.absolute())
    if found is None:
        raise ConfigError(
            f"no configuration in {directory.absolute()} or above it",
            why="there is no rayimage.toml, and no pyproject.toml with a [tool.rayimage] table",
            fix="run `rayimage init` in the project's directory",
        )
    return read_project(*found)


def find_configuration(directory: Path) -> Path | None:
    """The file that ``load_project`` would read, None when there is none; raises ConfigError as it does on the way."""
    found = _find(directory.absolute())
    return found[0] if found else None


def read_project(source: Path, table: Mapping[str, Any], pyproject: Pyproject | None) -> Project:
    """The project that ``table``, in the file ``source``, describes; raises ConfigError for a wrong one."""
    from rayimage.config.across import across
    from rayimage.config.checks import Facts
    from rayimage.config.schema import parse

    parsed = parse(table, Facts(root=source.parent, pyproject=pyproject, has_lock=_names_lock(table)))
    problems = (*(parsed if isinstance(parsed, tuple) else ()), *across(table))
    if isinstance(parsed, tuple) or problems:
        count = f"{len(problems)} problems" if len(problems) > 1 else "a problem"
        name = "[tool.rayimage]" if source.name == "pyproject.toml" else "the configuration"
        raise ConfigError(f"{source}: {count} in {name}", fix="correct the keys named above", problems=problems)
    return _project(source, parsed)


def _names_lock(table: Mapping[str, Any]) -> bool:
    """Whether any role takes its versions from a lock of another tool."""
    images = table.get("images")
    roles = images.values() if isinstance(images, dict) else ()
    return any(isinstance(each, Mapping) and "from-lock" in each for each in (table, *roles))


def _find(start: Path) -> tuple[Path, Mapping[str, Any], Pyproject | None] | None:
    """The file, its table, and the pyproject.toml beside it (which may be the file); None when there is none."""
    for place in (start, *start.parents):
        own, shared = place / "rayimage.toml", place / "pyproject.toml"
        pyproject = Pyproject.read(shared) if shared.is_file() else None
        tool = pyproject.data.get("tool", {}) if pyproject else {}
        embedded = tool.get("rayimage") if isinstance(tool, dict) else None
        if own.is_file():
            if embedded is not None:
                why = "both rayimage.toml and pyproject.toml's [tool.rayimage] are there"
                raise ConfigError(f"{place} has two configurations", why=why, fix="keep one of them")
            return own, read_toml(own), pyproject
        if embedded is not None:
            if not isinstance(embedded, dict):
                raise ConfigError(f"{shared}: tool.rayimage must be a table", fix="write [tool.rayimage]")
            return shared, embedded, pyproject
    return None


def _project(source: Path, config: Config) -> Project:
    root = source.parent
    environments = {
        name: Environment(
            name=name,
            repository=table.repository,
            manifests=tuple(table.manifests),
            require=tuple(table.require),
        )
        for name, table in config.environments.items()
    }
    return Project(
        root=root,
        source=source,
        repository=config.repository,
        platforms=_platforms(config),
        roles=tuple(_role(name, config, table, root) for name, table in config.images.items()),
        environments=environments,
        default_environment=next(iter(environments), None),
        lockfiles=Path(os.path.normpath(root / config.lockfiles)),
        base_packages=config.base_packages,
        allow_skew=tuple(config.allow_skew),
        allow_unmet=tuple(config.allow_unmet),
        layering=_layering(config),
        cache_from=tuple(config.cache_from),
        cache_trust=config.cache_trust,
    )


def _role(name: str, common: Config, own: RoleTable, root: Path) -> Role:
    return Role(
        name=name,
        base=own.base or common.base or "",
        platforms=_platforms(own, common),
        requirements=tuple(root / path for path in _joined(common.requirements, own.requirements)),
        project=bool(own.project if own.project is not None else common.project),
        from_lock=root / from_lock if (from_lock := own.from_lock or common.from_lock) else None,
        extras=_joined(common.extras, own.extras),
        dependency_groups=_joined(common.dependency_groups, own.dependency_groups),
        code=own.code or common.code or "copy",
        workdir=own.workdir or common.workdir or _DEFAULT_WORKDIR,
        env={**common.env, **own.env},
        labels={**common.labels, **own.labels},
        worker_groups=tuple(own.worker_groups or ()),
        exclude=_joined(common.exclude, own.exclude),
        index={**common.index, **own.index},
        build_packages=_joined(common.build_packages, own.build_packages),
        system_packages=_joined(common.system_packages, own.system_packages),
        run=tuple(_run(table, root) for table in (*common.run, *own.run)),
        system=_system(own.system or common.system, root),
    )


def _system(table: SystemTable | None, root: Path) -> SystemSettings:
    if table is None:
        return SystemSettings()
    return SystemSettings(
        repositories=tuple(table.repositories),
        keys=tuple((root / key).read_bytes() for key in table.keys),
        snapshot=table.snapshot or "",
    )


def _layering(config: Config) -> Layering:
    from rayimage.cachedir import parse_size

    return Layering(
        max_layers=config.layers.max,
        alone_from=parse_size(config.layers.alone_from),
        bundles=config.layers.bundles,
        compression=config.compression,
    )


def _run(table: RunTable, root: Path) -> RunStep:
    return RunStep(
        script=table.shell.strip(),
        root=root,
        inputs=tuple(table.inputs),
        secrets=tuple(_secret(name, place, root) for name, place in sorted(table.secrets.items())),
        user="root" if table.user == "root" else "",
    )


def _secret(name: str, place: str, root: Path) -> Secret:
    kind, _, where = place.partition(":")
    if kind == "env":
        return Secret(name=name, variable=where)
    return Secret(name=name, file=root / Path(where).expanduser())


def _platforms(*tables: Common) -> tuple[Platform, ...]:
    texts = next((table.platforms for table in tables if table.platforms), [_DEFAULT_PLATFORM])
    return tuple(Platform.parse(text) for text in texts)


def _joined(common: Sequence[str], own: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*common, *own)))
