"""What the README promises about the command line is there."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from rayimage.cli.main import COMMANDS

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `rayimage (\w+)([^`]*)`", README, flags=re.MULTILINE)


def test_every_command_has_a_row() -> None:
    assert {name for name, _ in ROWS} == set(COMMANDS)


@pytest.mark.parametrize(("name", "rest"), ROWS)
def test_every_option_in_the_table_exists(name: str, rest: str) -> None:
    command = importlib.import_module(f"rayimage.cli.{name}").command
    options = {opt for parameter in command.params for opt in parameter.opts}
    assert set(re.findall(r"--[a-z-]+", rest)) <= options


def test_the_first_two_commands_do_the_set_up() -> None:
    assert re.findall(r"^\$ (make \w+)", README, flags=re.MULTILINE)[:2] == ["make demo", "make test"]
