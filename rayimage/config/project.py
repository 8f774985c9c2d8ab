"""A project's configuration as frozen values."""

from __future__ import annotations

import glob
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from rayimage.errors import ConfigError
from rayimage.model.layering import Layering
from rayimage.model.platform import Platform
from rayimage.model.reference import Reference
from rayimage.model.system import RunStep, SystemSettings
from rayimage.specs.wording import did_you_mean

__all__ = ["BasePackages", "Code", "Environment", "Project", "Role", "repository_of"]

BasePackages = Literal["prefer", "pin"]
CacheTrust = Literal["repository", "pinned"]
Code = Literal["copy", "wheel", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """One image of the cluster, with the common keys merged in.

    The role's ``requirements``, ``extras``, ``dependency-groups`` and ``exclude`` follow the common ones; its ``env``
    and ``labels`` are laid over them; every other key takes the common one's place.
    """

    name: str
    base: str
    """As written: an image reference, or ``oci:path[:tag]`` with a path relative to the project's root."""
    platforms: tuple[Platform, ...]
    requirements: tuple[Path, ...]
    """Absolute paths."""
    project: bool
    from_lock: Path | None
    """Absolute path of another tool's lock; ``project``, ``extras`` and ``dependency_groups`` are then of that."""
    extras: tuple[str, ...]
    dependency_groups: tuple[str, ...]
    code: Code
    workdir: str
    """Absolute, normalised, without a trailing slash."""
    env: Mapping[str, str]
    labels: Mapping[str, str]
    worker_groups: tuple[str, ...]
    """KubeRay groupNames; empty: every group that no other role names."""
    exclude: tuple[str, ...]
    """Patterns (in .dockerignore syntax) of files that are not code."""
    build_packages: tuple[str, ...] = ()
    """apt packages that are there while packages without a wheel are built, and not in the image."""
    system_packages: tuple[str, ...] = ()
    """apt packages that the image has besides the base's."""
    run: tuple[RunStep, ...] = ()
    """The user's own steps, the common ones first."""
    system: SystemSettings = field(default_factory=SystemSettings)
    """Where the operating system's packages come from."""
    index: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Index URLs of packages (normalised names) that come from one index alone; they may hold credentials."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Where a release runs: a repository (None: the project's), the KubeRay files, and what it requires."""

    name: str
    repository: str | None
    manifests: tuple[str, ...]
    require: tuple[str, ...]

    def manifest_files(self, root: Path) -> tuple[Path, ...]:
        """The files that the patterns name below ``root``, sorted; ``**`` crosses directories.

        Raises ConfigError that lists every pattern without a file.
        """
        files: set[Path] = set()
        problems = []
        for position, pattern in enumerate(self.manifests):
            matches = {root / match for match in glob.glob(pattern, root_dir=root, recursive=True)}  # noqa: PTH207
            found = {path for path in (*matches, root / pattern) if path.is_file()}
            if not found:
                problems.append(f"environments.{self.name}.manifests[{position}]: no file matches {pattern!r}")
            files |= found
        if problems:
            raise ConfigError(
                f"the manifests of environment {self.name!r} are not there",
                fix=f"correct the patterns; they are relative to {root}",
                problems=tuple(problems),
            )
        return tuple(sorted(files))


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """Everything that is configured; ``root`` is the directory of ``source``, the file it was read from."""

    root: Path
    source: Path
    repository: str | None
    platforms: tuple[Platform, ...]
    """The common ones; what counts for an image is ``Role.platforms``."""
    roles: tuple[Role, ...]
    environments: Mapping[str, Environment]
    default_environment: str | None
    lockfiles: Path
    base_packages: BasePackages = "prefer"
    """Whether the base's versions are preferred or held."""
    allow_skew: tuple[str, ...] = ()
    """Packages (normalised names) that may differ between roles and platforms."""
    allow_unmet: tuple[str, ...] = ()
    """Packages (normalised names) that need not be as others require them to be."""
    layering: Layering = field(default_factory=Layering)
    cache_from: tuple[str, ...] = ()
    """References, besides the environment's own, of caches and images whose layers need not be made again."""
    cache_trust: CacheTrust = "repository"
    """Whether what stands under tags is believed, or only what is named by digest."""

    def role(self, name: str) -> Role:
        """The role called ``name``; raises ConfigError when there is none."""
        roles = {role.name: role for role in self.roles}
        if name not in roles:
            raise _unknown("role", name, roles)
        return roles[name]

    def environment(self, name: str) -> Environment:
        """The environment called ``name``; raises ConfigError when there is none."""
        if name not in self.environments:
            raise _unknown("environment", name, self.environments)
        return self.environments[name]


def repository_of(project: Project, environment: str | None = None) -> Reference:
    """The repository to push to, without tag and digest: the environment's own, else the project's.

    None stands for the default environment (the first listed), if there is one. Raises ConfigError when the environment
    does not exist or no repository is set.
    """
    name = environment if environment is not None else project.default_environment
    own = project.environment(name).repository if name is not None else None
    repository = own or project.repository
    if repository is None:
        where = f" for environment {name!r}" if name is not None else ""
        raise ConfigError(
            f"no repository is set{where}",
            why=f"{project.source} has no key `repository`",
            fix='set repository = "registry.example.com/team/app", or build without a push (--output oci:DIR)',
        )
    return Reference.parse(repository)


def _unknown(kind: str, name: str, known: Mapping[str, object]) -> ConfigError:
    names = ", ".join(known) or "none"
    return ConfigError(
        f"there is no {kind} {name!r}{did_you_mean(name, known)}",
        why=f"the configuration has: {names}",
        fix=f"use one of these, or add a table for {name!r}",
    )
