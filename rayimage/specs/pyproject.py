"""What pyproject.toml says about dependencies: PEP 621 metadata, PEP 735 groups, and how uv resolves them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.dependency_groups import DependencyGroupResolver
from packaging.errors import ExceptionGroup
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from rayimage.errors import ConfigError
from rayimage.model.digest import Digest
from rayimage.specs.findings import Findings, line_of, without_secrets
from rayimage.specs.toml import parse_toml, strings, table
from rayimage.specs.wording import did_you_mean, first_line

__all__ = ["Pyproject", "Selection"]

# Keys of [tool.uv] that decide which versions a resolution finds; the rest is about uv's own project workflow.
# The list: uv's settings reference, https://docs.astral.sh/uv/reference/settings/
_RESOLUTION_KEYS = (
    "conflicts",
    "constraint-dependencies",
    "dependency-metadata",
    "environments",
    "exclude-dependencies",
    "exclude-newer",
    "exclude-newer-package",
    "extra-index-url",
    "find-links",
    "fork-strategy",
    "index",
    "index-strategy",
    "index-url",
    "no-binary",
    "no-binary-package",
    "no-index",
    "no-sources",
    "override-dependencies",
    "pip",
    "prerelease",
    "required-environments",
    "resolution",
    "sources",
)
_COMPUTED = ("dependencies", "optional-dependencies")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which of a project's dependencies are wanted; an extra always comes with the project's own dependencies."""

    dependencies: bool
    extras: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pyproject:
    """A pyproject.toml as read; ``text`` is for line numbers in messages."""

    path: Path
    data: Mapping[str, Any]
    text: str = ""

    @classmethod
    def read(cls, path: Path) -> Pyproject:
        """Read ``path``; raises ConfigError when it is absent or not TOML."""
        try:
            data = path.read_bytes()
        except OSError as error:
            why, fix = error.strerror or str(error), "create it, or leave out the keys that need it"
            raise ConfigError(f"cannot read {path}", why=why, fix=fix) from error
        return cls(path, parse_toml(data, path), data.decode())

    @property
    def has_project(self) -> bool:
        """Whether there is a [project] table to take dependencies from."""
        return isinstance(self.data.get("project"), dict)

    @property
    def is_buildable(self) -> bool:
        """Whether a wheel can be built: a [project], or a [build-system] that has metadata of its own (Poetry 1)."""
        return self.has_project or isinstance(self.data.get("build-system"), dict)

    @property
    def extras(self) -> tuple[str, ...]:
        """The names of the extras, as written."""
        computed = table(self.data, "tool", "setuptools", "dynamic", "optional-dependencies")
        return tuple(dict.fromkeys((*table(self.data, "project", "optional-dependencies"), *computed)))

    @property
    def groups(self) -> tuple[str, ...]:
        """The names of the dependency groups, as written."""
        return tuple(table(self.data, "dependency-groups"))

    @property
    def is_computed(self) -> bool:
        """Whether [project] leaves dependencies to the build backend."""
        return bool(set(_COMPUTED) & set(strings(table(self.data, "project").get("dynamic"))))

    def find(self, selection: Selection, found: Findings) -> tuple[Requirement, ...]:
        """The direct requirements of ``selection``; what they are, and what is wrong, goes into ``found``, too.

        Extras of the project itself and included groups are expanded. What setuptools computes from files is in
        ``computed_files``, not here.
        """
        requirements: list[Requirement] = []
        if selection.dependencies or selection.extras:
            self._add_project(selection.extras, requirements, found)
        self._add_groups(selection.groups, requirements, found)
        for requirement in requirements:
            found.require(requirement, self._place(requirement))
        return tuple(requirements)

    def requirements(self, selection: Selection) -> tuple[tuple[Requirement, ...], tuple[str, ...]]:
        """The direct requirements of ``selection``, and what is wrong with them."""
        found = Findings(root=self.path.parent)
        return self.find(selection, found), tuple(found.problems)

    def computed_files(self, extras: Iterable[str]) -> tuple[Path, ...]:
        """Requirements files that setuptools takes the dependencies from (``[tool.setuptools.dynamic]``)."""
        dynamic = table(self.data, "tool", "setuptools", "dynamic")
        wanted = {canonicalize_name(extra) for extra in extras}
        entries = [table(dynamic, "dependencies")] if "dependencies" in self._computed else []
        optional = table(dynamic, "optional-dependencies") if "optional-dependencies" in self._computed else {}
        entries += [table(optional, name) for name in optional if canonicalize_name(name) in wanted]
        files = [entry.get("file", ()) for entry in entries]
        names = [name for file in files for name in ([file] if isinstance(file, str) else file)]
        return tuple(self.path.parent / str(name) for name in names)

    def digest(self, selection: Selection, requirements: Iterable[Requirement]) -> Digest:
        """The digest of what a resolution of ``selection`` depends on, so that other edits leave a lock fresh."""
        project, uv = table(self.data, "project"), table(self.data, "tool", "uv")
        facts = {
            "requires-python": project.get("requires-python"),
            "dependencies": selection.dependencies or bool(selection.extras),
            "requirements": sorted(_canonical(requirement) for requirement in requirements),
            "uv": {key: uv[key] for key in _RESOLUTION_KEYS if key in uv},
        }
        # TOML has dates, JSON has not; uv's exclude-newer may be one.
        text = json.dumps(facts, sort_keys=True, separators=(",", ":"), default=str)
        return Digest.of(without_secrets(text).encode())

    def _place(self, requirement: Requirement) -> str:
        """The first line where the requirement can start; that of its group or extra is not kept by parsers."""
        start = re.compile(rf"""["']{re.escape(requirement.name)}(?![\w.-])""", re.IGNORECASE)
        lines = self.text.splitlines()
        line = next((number for number, line in enumerate(lines, start=1) if start.search(line)), None)
        return f"{self.path.name}:{line}" if line else self.path.name

    @property
    def _computed(self) -> frozenset[str]:
        return frozenset(strings(table(self.data, "project").get("dynamic")))

    def _add_project(self, extras: Sequence[str], requirements: list[Requirement], found: Findings) -> None:
        project = table(self.data, "project")
        if not self.has_project:
            hint = next((f"; for what {name} locked, set from-lock = {file!r}" for name, file in self._locks()), "")
            found.problems.append(
                f"{self.path.name}: project: there is no [project] table to take dependencies from{hint}"
            )
            return
        if versions := project.get("requires-python"):
            found.python[self.path.name] = str(versions)
        dynamic = table(self.data, "tool", "setuptools", "dynamic")
        found.problems += [
            f"{self.path.name}: project.dynamic: {key} are computed when the project is built, so a stale lock could"
            " not be noticed; list the file that they come from under `requirements` instead of project = true"
            for key in sorted(self._computed & set(_COMPUTED))
            if key not in dynamic
        ]
        requirements += self._parse(project.get("dependencies", []), "project.dependencies", found)
        self._add_extras(extras, requirements, found, seen=set())

    def _locks(self) -> list[tuple[str, str]]:
        tools = {"poetry": "poetry.lock", "pdm": "pdm.lock"}
        return [(tool.capitalize(), file) for tool, file in tools.items() if table(self.data, "tool", tool)]

    def _add_extras(
        self, extras: Iterable[str], requirements: list[Requirement], found: Findings, *, seen: set[str]
    ) -> None:
        project = table(self.data, "project")
        optional = table(project, "optional-dependencies")
        known = {canonicalize_name(name): name for name in self.extras}
        own_name = canonicalize_name(str(project.get("name", "")))
        for extra in extras:
            name = canonicalize_name(extra)
            if name in seen:
                continue
            seen.add(name)
            if name not in known:
                hint = did_you_mean(name, known)
                where = f"{self.path.name}: project.optional-dependencies"
                found.problems.append(f"{where}: there is no extra {extra!r}{hint}")
                continue
            where = f"project.optional-dependencies.{known[name]}"
            for requirement in self._parse(optional.get(known[name], []), where, found):
                # ``all = ["thisproject[a,b]"]`` is how an extra includes another one.
                if canonicalize_name(requirement.name) == own_name:
                    self._add_extras(sorted(requirement.extras), requirements, found, seen=seen)
                else:
                    requirements.append(requirement)

    def _add_groups(self, groups: Sequence[str], requirements: list[Requirement], found: Findings) -> None:
        known = [canonicalize_name(name) for name in self.groups]
        missing = [group for group in groups if canonicalize_name(group) not in known]
        where = f"{self.path.name}: dependency-groups"
        for group in missing:
            hint = did_you_mean(canonicalize_name(group), known)
            found.problems.append(f"{where}: there is no group {group!r}{hint}")
        try:
            resolver = DependencyGroupResolver(table(self.data, "dependency-groups"))
            for group in groups:
                if group not in missing:
                    requirements += resolver.resolve(group)
        except ExceptionGroup as error:
            found.problems += [f"{where}: {problem}" for problem in dict.fromkeys(_leaves(error))]

    def _parse(self, value: object, where: str, found: Findings) -> list[Requirement]:
        if not isinstance(value, list):
            found.problems.append(f"{self.path.name}: {where}: must be a list of requirements")
            return []
        requirements = []
        for position, item in enumerate(value):
            try:
                requirements.append(Requirement(item))
            except (InvalidRequirement, TypeError) as error:  # noqa: PERF203 - every fault is wanted
                line = line_of(self.text, item)
                place = f"{self.path.name}:{line}" if line else self.path.name
                found.problems.append(f"{place}: {where}[{position}]: {first_line(error)}")
        return requirements


def _canonical(requirement: Requirement) -> list[str | list[str]]:
    # Not str(requirement): packaging 26 puts another space before the @ of a URL than packaging 25.
    return [
        canonicalize_name(requirement.name),
        sorted(canonicalize_name(extra) for extra in requirement.extras),
        sorted(str(specifier) for specifier in requirement.specifier),
        requirement.url or "",
        str(requirement.marker or ""),
    ]


def _leaves(error: Exception) -> list[str]:
    # Written for packaging's own ExceptionGroup, which is not the built-in one before Python 3.11.
    if isinstance(error, ExceptionGroup):
        return [text for inner in error.exceptions for text in _leaves(inner)]
    return [first_line(error)]
