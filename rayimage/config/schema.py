"""The schema of ``[tool.rayimage]``; only this module knows pydantic.

Every value is checked where it is written, so that each message has the right path; ``Facts`` come in as pydantic's
validation context.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, ValidationInfo, model_validator
from pydantic_core import ErrorDetails

from rayimage.config import checks
from rayimage.config.checks import Facts
from rayimage.model.layering import Compression
from rayimage.specs.wording import did_you_mean

__all__ = ["Common", "Config", "EnvironmentTable", "RoleTable", "parse"]


def _facts(info: ValidationInfo) -> Facts:
    return cast("Facts", info.context)


Text = Annotated[str, AfterValidator(checks.a_text)]
Value = Annotated[str, AfterValidator(checks.a_value)]
Name = Annotated[str, AfterValidator(checks.a_name)]
Variable = Annotated[str, AfterValidator(checks.a_variable)]
Base = Annotated[str, AfterValidator(checks.a_base)]
Repository = Annotated[str, AfterValidator(checks.a_repository)]
Size = Annotated[str, AfterValidator(checks.a_size)]
CacheSource = Annotated[str, AfterValidator(checks.a_cache_source)]
Workdir = Annotated[str, AfterValidator(checks.a_workdir)]
Package = Annotated[str, AfterValidator(checks.a_package)]
SystemPackage = Annotated[str, AfterValidator(checks.a_system_package)]
Snapshot = Annotated[str, AfterValidator(checks.a_snapshot)]
RepositoryLine = Annotated[str, AfterValidator(checks.a_repository_line)]
IndexUrl = Annotated[str, AfterValidator(checks.an_index)]
Gate = Annotated[str, AfterValidator(checks.a_gate)]
File = Annotated[str, AfterValidator(lambda text, info: _facts(info).a_file(text))]
Input = Annotated[str, AfterValidator(lambda text, info: _facts(info).an_input(text))]
SecretPlace = Annotated[str, AfterValidator(checks.a_secret)]
Lock = Annotated[str, AfterValidator(lambda text, info: _facts(info).a_lock(text))]
Extra = Annotated[str, AfterValidator(lambda text, info: _facts(info).an_extra(text))]
Group = Annotated[str, AfterValidator(lambda text, info: _facts(info).a_group(text))]
UsesProject = Annotated[bool, AfterValidator(lambda wanted, info: _facts(info).project(wanted))]
HowCode = Annotated[
    Literal["copy", "wheel", "none"],
    AfterValidator(lambda how, info: _facts(info).code(how)),
]
_DISTINCT, _SOME = AfterValidator(checks.all_distinct), AfterValidator(checks.at_least_one)
Platforms = Annotated[list[Annotated[str, AfterValidator(checks.a_platform)]], _DISTINCT, _SOME]


class _Table(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        alias_generator=lambda name: name.replace("_", "-"),
    )


class SystemTable(_Table):
    """``[tool.rayimage.system]`` and ``[tool.rayimage.images.NAME.system]``."""

    repositories: Annotated[list[RepositoryLine], _DISTINCT] = []
    keys: Annotated[list[File], _DISTINCT] = []
    snapshot: Snapshot | None = None


class RunTable(_Table):
    """``[[tool.rayimage.run]]`` and ``[[tool.rayimage.images.NAME.run]]``."""

    shell: Text
    inputs: Annotated[list[Input], _DISTINCT] = []
    secrets: dict[Name, SecretPlace] = {}
    user: Literal["image", "root"] = "image"


class Common(_Table):
    """The keys that stand for all roles, and may stand in each."""

    base: Base | None = None
    platforms: Platforms | None = None
    requirements: Annotated[list[File], _DISTINCT] = []
    project: UsesProject | None = None
    from_lock: Lock | None = None
    extras: Annotated[list[Extra], _DISTINCT] = []
    dependency_groups: Annotated[list[Group], _DISTINCT] = []
    index: dict[Package, IndexUrl] = {}
    build_packages: Annotated[list[SystemPackage], _DISTINCT] = []
    system_packages: Annotated[list[SystemPackage], _DISTINCT] = []
    system: SystemTable | None = None
    run: list[RunTable] = []
    code: HowCode | None = None
    workdir: Workdir | None = None
    env: dict[Variable, Value] = {}
    labels: dict[Text, Value] = {}
    exclude: list[Text] = []


class RoleTable(Common):
    """``[tool.rayimage.images.NAME]``."""

    worker_groups: Annotated[list[Text], _DISTINCT, _SOME] | None = None


class EnvironmentTable(_Table):
    """``[tool.rayimage.environments.NAME]``."""

    repository: Repository | None = None
    manifests: Annotated[list[Text], _DISTINCT] = []
    require: Annotated[list[Gate], _DISTINCT] = []


class LayersTable(_Table):
    """``layers`` in ``[tool.rayimage]``."""

    max: Annotated[int, AfterValidator(checks.between(1, 100))] = 40
    alone_from: Size = "8MiB"
    bundles: Annotated[int, AfterValidator(checks.between(1, 100))] | None = None

    @model_validator(mode="after")
    def _bundles_fit(self) -> LayersTable:
        if self.bundles is not None and self.bundles > self.max:
            raise ValueError(f"{self.bundles} bundles are more than the {self.max} layers that max allows")
        return self


class Config(Common):
    """``[tool.rayimage]``."""

    repository: Repository | None = None
    cache_from: Annotated[list[CacheSource], _DISTINCT] = []
    cache_trust: Literal["repository", "pinned"] = "repository"
    lockfiles: Text = "lockfiles"
    base_packages: Literal["prefer", "pin"] = "prefer"
    allow_skew: Annotated[list[Package], _DISTINCT] = []
    allow_unmet: Annotated[list[Package], _DISTINCT] = []
    layers: LayersTable = LayersTable()
    compression: Compression = "gzip"
    images: dict[Name, RoleTable] = {}
    environments: dict[Name, EnvironmentTable] = {}


def parse(table: Mapping[str, Any], facts: Facts) -> Config | tuple[str, ...]:
    """The validated table, or everything that is wrong with it, each as ``path.to[0].key: what is wrong``."""
    try:
        return Config.model_validate(table, context=facts)
    except ValidationError as error:
        return tuple(f"{_path(detail['loc'])}: {_message(detail)}" for detail in error.errors(include_url=False))


def _path(location: tuple[int | str, ...]) -> str:
    path = ""
    for step in location:
        if isinstance(step, int):
            path += f"[{step}]"
        elif step != "[key]":  # pydantic's mark for "the key itself"
            plain = step.replace("-", "").replace("_", "").isalnum()
            path += f".{step}" if plain else f'."{step}"'
    return path.removeprefix(".")


_EXPECTED = {
    "string_type": "a string",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "list_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
}
_KINDS = {str: "a string", bool: "a boolean", int: "an integer", float: "a number", list: "a list", dict: "a table"}


def _message(detail: ErrorDetails) -> str:
    kind, given = detail["type"], detail["input"]
    if kind == "value_error":
        return str(detail["ctx"]["error"])
    if kind == "extra_forbidden":
        return _unknown_key(detail["loc"])
    if kind == "literal_error":
        allowed = re.findall(r"'([^']*)'", detail["ctx"]["expected"])
        hint = did_you_mean(given, allowed) if isinstance(given, str) else ""
        return f"must be {detail['ctx']['expected']}, not {given!r}{hint}"
    # The type only: a value of the wrong type in `env` may still be a secret.
    return f"must be {_EXPECTED.get(kind, detail['msg'])}, not {_KINDS.get(type(given), 'a date or time')}"


def _unknown_key(location: tuple[int | str, ...]) -> str:
    key = str(location[-1])
    tables: dict[str, type[_Table]] = {
        "": Config,
        "images": RoleTable,
        "environments": EnvironmentTable,
        "layers": LayersTable,
    }
    inside: dict[object, type[_Table]] = {"system": SystemTable, "run": RunTable}
    place = location[2:-1] if location[0] == "images" else location[:-1]
    here = (
        next((inside[step] for step in place if step in inside), None)
        or tables[str(location[0]) if len(location) > 1 else ""]
    )
    elsewhere = next((place for place, table in tables.items() if key in _keys(table)), None)
    if elsewhere is None and (hint := did_you_mean(key, _keys(here))):
        return f"unknown key{hint}"
    if key == "tool" and here is Config:
        return "unknown key; rayimage.toml holds the tables without [tool.rayimage] in front of their names"
    where = {"": "the top level", "images": "images.NAME", "environments": "environments.NAME", "layers": "layers"}
    return f"unknown key; it belongs to {where[elsewhere]}" if elsewhere is not None else "unknown key"


def _keys(table: type[_Table]) -> list[str]:
    return [str(field.alias) for field in table.model_fields.values()]
