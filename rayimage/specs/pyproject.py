"""What pyproject.toml says about dependencies: PEP 621 metadata, PEP 735 groups, and how uv resolves them."""

from __future__ import annotations

import json
import re
import sys
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
from rayimage.specs.wording import did_you_mean, first_line

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["Pyproject", "Selection", "read_toml"]

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


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file; raises ConfigError that names file and line when it cannot be read."""
    try:
        text = path.read_bytes().decode()
        return tomllib.loads(text)
    except OSError as error:
        why, fix = error.strerror or str(error), "create it, or leave out the keys that need it"
        raise ConfigError(f"cannot read {path}", why=why, fix=fix) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not TOML", why=f"not UTF-8: {error.reason}", fix="save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        found = re.search(r" \(at line (\d+), column \d+\)", str(error))
        line = int(found[1]) if found else text.count("\n") + 1
        why = re.sub(r" \(at [^()]*\)$", "", str(error))
        raise ConfigError(f"{path}:{line}: not valid TOML", why=why, fix="correct the line") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which of a project's dependencies are wanted; an extra always comes with the project's own dependencies."""

    dependencies: bool
    extras: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pyproject:
    """A pyproject.toml as read; methods that check it return what they found and what is wrong with it."""

    path: Path
    data: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> Pyproject:
        """Read ``path``; raises ConfigError when it is absent or not TOML."""
        return cls(path, read_toml(path))

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
        return tuple(_table(_table(self.data, "project"), "optional-dependencies"))

    @property
    def groups(self) -> tuple[str, ...]:
        """The names of the dependency groups, as written."""
        return tuple(_table(self.data, "dependency-groups"))

    def requirements(self, selection: Selection) -> tuple[tuple[Requirement, ...], tuple[str, ...]]:
        """The direct requirements of ``selection``, and the problems met, each ``path.to.key: what is wrong``.

        Extras of the project itself and included groups are expanded.
        """
        found: list[Requirement] = []
        problems: list[str] = []
        if selection.dependencies or selection.extras:
            self._add_project(selection.extras, found, problems)
        self._add_groups(selection.groups, found, problems)
        return tuple(found), tuple(problems)

    def digest(self, selection: Selection, requirements: Iterable[Requirement]) -> Digest:
        """The digest of what a resolution of ``selection`` depends on, so that other edits leave a lock fresh."""
        project, uv = _table(self.data, "project"), _table(_table(self.data, "tool"), "uv")
        facts = {
            "requires-python": project.get("requires-python"),
            "dependencies": selection.dependencies or bool(selection.extras),
            "requirements": sorted(_canonical(requirement) for requirement in requirements),
            "uv": {key: uv[key] for key in _RESOLUTION_KEYS if key in uv},
        }
        # TOML has dates, JSON has not; uv's exclude-newer may be one.
        return Digest.of(json.dumps(facts, sort_keys=True, separators=(",", ":"), default=str).encode())

    def _add_project(self, extras: Sequence[str], found: list[Requirement], problems: list[str]) -> None:
        project = _table(self.data, "project")
        if not self.has_project:
            problems.append("project: there is no [project] table to take dependencies from")
            return
        problems += [
            f"project.dynamic: {key} are computed when the project is built, so a stale lock could not be noticed;"
            " list the file that they come from under `requirements` instead of project = true"
            for key in sorted({"dependencies", "optional-dependencies"} & set(_strings(project.get("dynamic"))))
        ]
        found += _parse(project.get("dependencies", []), "project.dependencies", problems)
        self._add_extras(extras, found, problems, seen=set())

    def _add_extras(
        self, extras: Iterable[str], found: list[Requirement], problems: list[str], *, seen: set[str]
    ) -> None:
        project = _table(self.data, "project")
        known = {canonicalize_name(name): name for name in self.extras}
        own_name = canonicalize_name(str(project.get("name", "")))
        for extra in extras:
            name = canonicalize_name(extra)
            if name in seen:
                continue
            seen.add(name)
            if name not in known:
                hint = did_you_mean(name, known)
                problems.append(f"project.optional-dependencies: there is no extra {extra!r}{hint}")
                continue
            where = f"project.optional-dependencies.{known[name]}"
            for requirement in _parse(project["optional-dependencies"][known[name]], where, problems):
                # ``all = ["thisproject[a,b]"]`` is how an extra includes another one.
                if canonicalize_name(requirement.name) == own_name:
                    self._add_extras(sorted(requirement.extras), found, problems, seen=seen)
                else:
                    found.append(requirement)

    def _add_groups(self, groups: Sequence[str], found: list[Requirement], problems: list[str]) -> None:
        known = [canonicalize_name(name) for name in self.groups]
        missing = [group for group in groups if canonicalize_name(group) not in known]
        for group in missing:
            hint = did_you_mean(canonicalize_name(group), known)
            problems.append(f"dependency-groups: there is no group {group!r}{hint}")
        try:
            resolver = DependencyGroupResolver(_table(self.data, "dependency-groups"))
            for group in groups:
                if group not in missing:
                    found += resolver.resolve(group)
        except ExceptionGroup as error:
            problems += [f"dependency-groups: {problem}" for problem in dict.fromkeys(_leaves(error))]


def _canonical(requirement: Requirement) -> list[str | list[str]]:
    # Not str(requirement): packaging 26 puts another space before the @ of a URL than packaging 25.
    return [
        canonicalize_name(requirement.name),
        sorted(canonicalize_name(extra) for extra in requirement.extras),
        sorted(str(specifier) for specifier in requirement.specifier),
        requirement.url or "",
        str(requirement.marker or ""),
    ]


def _table(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = data.get(key)
    return value if isinstance(value, dict) else {}


def _strings(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _parse(value: Any, where: str, problems: list[str]) -> list[Requirement]:
    if not isinstance(value, list):
        problems.append(f"{where}: must be a list of requirements")
        return []
    found = []
    for position, item in enumerate(value):
        try:
            found.append(Requirement(item))
        except (InvalidRequirement, TypeError) as error:  # noqa: PERF203 - every fault is wanted
            problems.append(f"{where}[{position}]: {first_line(error)}")
    return found


def _leaves(error: Exception) -> list[str]:
    # Written for packaging's own ExceptionGroup, which is not the built-in one before Python 3.11.
    if isinstance(error, ExceptionGroup):
        return [text for inner in error.exceptions for text in _leaves(inner)]
    return [first_line(error)]
