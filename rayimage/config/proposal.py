"""A first configuration from what a project has: requirements files, [project], and KubeRay documents.

Pure: ``Findings`` go in, a ``Proposal`` comes out, with a remark on everything that a person should look at.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from rayimage.errors import UsageError
from rayimage.model.cluster import Cluster
from rayimage.model.reference import Reference

__all__ = ["EnvironmentProposal", "Findings", "Proposal", "RoleProposal", "propose"]

_RAY, _PYTHON = "2.55.1", "3.11"
_ENVIRONMENTS = (
    *("dev", "development", "local", "sandbox", "test", "testing", "integration", "qa"),
    *("stage", "staging", "preprod", "prod", "production", "live"),
)
"""Directory names that are environments, in the order in which releases pass them; the first is the default."""
_FOR_ALL = frozenset({"", "base", "common", "core", "main", "prod", "production"})
"""What follows ``requirements`` in the name of a file that every role needs."""
_NOT_RUN = re.compile(r"dev|tests?|docs?|lint|ci|typing|local|build|bench")
"""The same of a file that no image needs."""
_NAME = 40
"""Characters of a role's name that comes from a worker group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a project has. Paths are relative to its root, POSIX style."""

    name: str
    """Of the project, or of its directory."""
    requirements: tuple[str, ...] = ()
    has_dependencies: bool = False
    """Whether pyproject.toml lists [project.dependencies]; computed ones do not count."""
    is_src_package: bool = False
    """Whether the code lies below ``src`` and can be built into a wheel."""
    python: str = ""
    """The minor version that the project is developed with, if it says so."""
    clusters: tuple[Cluster, ...] = ()
    yaml_files: frozenset[str] = frozenset()
    """All YAML files, with KubeRay documents or without."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleProposal:
    """A table ``images.NAME``."""

    name: str
    base: str
    requirements: tuple[str, ...] = ()
    worker_groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentProposal:
    """A table ``environments.NAME``; without a repository the common one counts."""

    name: str
    manifests: tuple[str, ...]
    repository: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A configuration to be. What is not ``known`` is a placeholder; ``remarks`` are for whoever asked for it."""

    repository: str
    repository_known: bool
    base_known: bool
    requirements: tuple[str, ...]
    project: bool
    code: str
    platform: str
    roles: tuple[RoleProposal, ...]
    environments: tuple[EnvironmentProposal, ...]
    remarks: tuple[str, ...]


def propose(found: Findings, *, repository: str | None = None, base: str | None = None) -> Proposal:
    """The configuration that ``found`` suggests; ``repository`` and ``base`` overrule what it says about these."""
    clusters = sorted(found.clusters, key=lambda cluster: (_rank(_environment(cluster)), str(cluster.file)))
    bases = [text for cluster in clusters if (text := _ray_base(cluster.head))]
    repositories = [text for cluster in clusters if (text := _own_repository(cluster.head))]
    chosen_base = base or (bases[0] if bases else _guessed_base(clusters, found.python))
    chosen = repository or (
        repositories[0] if repositories else f"registry.example.com/team/{_slug(found.name) or 'app'}"
    )
    roles = _roles(clusters, chosen_base)
    common, by_role, remarks = _requirements(found, roles)
    return Proposal(
        repository=chosen,
        repository_known=bool(repository or repositories),
        base_known=bool(base or bases),
        requirements=common,
        project=found.has_dependencies,
        code="wheel" if found.is_src_package else "copy",
        platform="linux/arm64" if chosen_base.endswith("-aarch64") else "linux/amd64",
        roles=tuple(replace(role, requirements=by_role.get(role.name, ())) for role in roles),
        environments=_environments(clusters, found.yaml_files, None if repository else chosen),
        remarks=remarks,
    )


def _roles(clusters: Sequence[Cluster], base: str) -> list[RoleProposal]:
    """The head, and one role for each base that worker groups run on; a group without a known base takes the head's."""
    groups: dict[str, dict[str, None]] = {}
    owner: dict[str, str] = {}
    for cluster in clusters:
        for name, image in cluster.groups:
            own = owner.setdefault(name, _ray_base(image) or base)
            groups.setdefault(own, {})[name] = None
    roles = {"head": RoleProposal(name="head", base=base)}
    for own, names in sorted(groups.items(), key=lambda item: item[0] != base):
        name = "worker" if own == base or len(groups) == 1 else _slug(next(iter(names)))[:_NAME]
        name = name if name and name not in roles else f"worker-{len(roles)}"
        roles[name] = RoleProposal(name=name, base=own, worker_groups=tuple(names))
    return [*roles.values()] if groups else [*roles.values(), RoleProposal(name="worker", base=base)]


def _requirements(
    found: Findings, roles: Sequence[RoleProposal]
) -> tuple[tuple[str, ...], Mapping[str, tuple[str, ...]], tuple[str, ...]]:
    """The files of all roles, those of each role, and remarks on the others.

    A ``.txt`` beside an ``.in`` of the same name is compiled from it, and so is one beside [project.dependencies].
    """
    common: list[str] = []
    by_role: dict[str, tuple[str, ...]] = {}
    remarks: list[str] = []
    owners = {_slug(name): role.name for role in roles for name in (*role.worker_groups, role.name)}
    for file in found.requirements:
        path = PurePosixPath(file)
        topic = _topic(path)
        compiled = str(path.with_suffix(".in")) in found.requirements
        if path.suffix == ".txt" and (compiled or (topic in _FOR_ALL and found.has_dependencies)):
            continue
        if topic in _FOR_ALL:
            common.append(file)
        elif topic in owners:
            by_role[owners[topic]] = (*by_role.get(owners[topic], ()), file)
        elif not _NOT_RUN.match(topic):
            remarks.append(f"{file} is not used: no role is called {topic!r}")
    return tuple(common), by_role, tuple(remarks)


def _topic(path: PurePosixPath) -> str:
    """``worker`` for requirements-worker.in, requirements_worker.txt and requirements/worker.in."""
    return _slug(path.stem.lower().removeprefix("requirements"))


def _environments(
    clusters: Sequence[Cluster], yaml_files: frozenset[str], common: str | None
) -> tuple[EnvironmentProposal, ...]:
    """``common``: the repository that environments need not repeat; None when none of theirs is wanted."""
    by_name: dict[str, list[Cluster]] = {}
    for cluster in clusters:
        by_name.setdefault(_environment(cluster), []).append(cluster)
    proposals = []
    for name, members in by_name.items():
        own = next(filter(None, (_own_repository(cluster.head) for cluster in members)), None)
        files = list(dict.fromkeys(cluster.file.as_posix() for cluster in members))
        repository = own if common is not None and own != common else None
        proposals.append(EnvironmentProposal(name=name, manifests=_patterns(files, yaml_files), repository=repository))
    return tuple(proposals)


def _patterns(files: Sequence[str], yaml_files: frozenset[str]) -> tuple[str, ...]:
    """``dir/*.yaml`` where all such files of a directory hold KubeRay documents, else the files by name."""
    patterns: dict[str, None] = {}
    for file in files:
        path = PurePosixPath(file)
        pattern = f"{path.parent}/*{path.suffix}"
        beside = {other for other in yaml_files if PurePosixPath(other).match(pattern)}
        whole = path.parent.name and not any(char in str(path.parent) for char in "*?[") and beside <= set(files)
        patterns[pattern if whole else file] = None
    return tuple(patterns)


def _environment(cluster: Cluster) -> str:
    names = [part.lower() for part in cluster.file.parent.parts if part.lower() in _ENVIRONMENTS]
    return names[-1] if names else _ENVIRONMENTS[0]


def _rank(environment: str) -> int:
    return _ENVIRONMENTS.index(environment)


def _ray_base(image: str | None) -> str | None:
    """``image`` if it is Ray's own, or a mirror's copy of it, with a tag."""
    reference = _reference(image)
    is_ray = reference is not None and f"/{reference.repository}".endswith("/rayproject/ray") and reference.tag
    return image if is_ray else None


def _own_repository(image: str | None) -> str | None:
    """Where ``image`` comes from, if it is nobody's public image."""
    reference = _reference(image)
    if reference is None or reference.registry == "docker.io" or _ray_base(image):
        return None
    return str(reference.name)


def _reference(image: str | None) -> Reference | None:
    """None for what is no reference, such as a template or a variable."""
    try:
        return Reference.parse(image or "")
    except UsageError:
        return None


def _guessed_base(clusters: Sequence[Cluster], python: str) -> str:
    version = next(filter(None, (cluster.ray_version for cluster in clusters)), _RAY)
    return f"rayproject/ray:{version}-py{(python or _PYTHON).replace('.', '')}"


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
