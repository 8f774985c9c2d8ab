"""The documentation names what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rayimage.config.schema import Common, Config, EnvironmentTable, RoleTable

DOCS = Path(__file__).parents[2] / "docs"
CONFIGURATION = (DOCS / "configuration.md").read_text(encoding="utf-8")


def section(heading: str) -> set[str]:
    """The keys of the tables below ``## `heading```."""
    text = CONFIGURATION.split(f"## `{heading}`", 1)[1].split("\n## ", 1)[0]
    return set(re.findall(r"^\| `([a-z-]+)` \|", text, flags=re.MULTILINE))


def keys(table: type) -> set[str]:
    return {str(field.alias) for field in table.model_fields.values()}


@pytest.mark.parametrize(
    ("heading", "expected"),
    [
        ("[tool.rayimage]", keys(Config) - {"images", "environments"}),
        ("[tool.rayimage.images.ROLE]", keys(RoleTable) - keys(Common)),
        ("[tool.rayimage.environments.ENV]", keys(EnvironmentTable)),
    ],
)
def test_every_key_and_no_other_is_documented(heading: str, expected: set[str]) -> None:
    assert section(heading) == expected


def test_every_environment_variable_of_ours_is_documented() -> None:
    sources = (Path(__file__).parents[2] / "rayimage").rglob("*.py")
    found = {name for file in sources for name in re.findall(r'"(RAYIMAGE_[A-Z_]+)"', file.read_text(encoding="utf-8"))}
    assert found
    assert found <= set(re.findall(r"`(RAYIMAGE_[A-Z_]+)`", CONFIGURATION))
