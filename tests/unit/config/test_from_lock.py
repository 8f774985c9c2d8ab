"""``from-lock``, and setup.cfg in the place of [project]."""

from __future__ import annotations

from pathlib import Path

import pytest

from rayimage.config import load_project
from rayimage.errors import ConfigError

BASE = 'base = "rayproject/ray:2.55.1-py311"\n'


def config(root: Path, text: str) -> Path:
    (root / "rayimage.toml").write_text(f"{BASE}{text}\n[images.head]\n")
    return root


def problems(root: Path) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load_project(root)
    return caught.value.problems


@pytest.mark.parametrize("name", ["uv.lock", "poetry.lock", "pdm.lock", "pylock.toml", "locks/pylock.gpu.toml"])
def test_a_lock_is_told_by_its_name(tmp_path, name):
    (tmp_path / "locks").mkdir()
    (tmp_path / name).write_text("")
    [head] = load_project(config(tmp_path, f'from-lock = "{name}"')).roles
    assert head.from_lock == tmp_path / name


def test_a_role_may_have_another_one(tmp_path):
    for name in ("uv.lock", "pylock.gpu.toml"):
        (tmp_path / name).write_text("")
    config(tmp_path, 'from-lock = "uv.lock"')
    with (tmp_path / "rayimage.toml").open("a") as file:
        file.write('[images.worker]\nfrom-lock = "pylock.gpu.toml"\n')
    assert [role.from_lock for role in load_project(tmp_path).roles] == [
        tmp_path / "uv.lock",
        tmp_path / "pylock.gpu.toml",
    ]


def test_without_one(tmp_path):
    assert load_project(config(tmp_path, "")).roles[0].from_lock is None


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (
            '"Pipfile.lock"',
            "from-lock: must be one of uv.lock, poetry.lock, pdm.lock, pylock.toml, or pylock.NAME.toml",
        ),
        ('"gone/uv.lock"', "from-lock: there is no file 'gone/uv.lock'"),
        ("3", "from-lock: must be a string, not an integer"),
        ('["uv.lock"]', "from-lock: must be a string, not a list"),
    ],
)
def test_what_is_no_lock(tmp_path, value, problem):
    (tmp_path / "Pipfile.lock").write_text("")
    [found] = problems(config(tmp_path, f"from-lock = {value}"))
    assert found.startswith(problem)


def test_extras_and_groups_are_then_the_locks_affair(tmp_path):
    (tmp_path / "poetry.lock").write_text("")
    text = 'from-lock = "poetry.lock"\nproject = true\nextras = ["gpu"]\ndependency-groups = ["serve"]'
    [head] = load_project(config(tmp_path, text)).roles
    assert (head.project, head.extras, head.dependency_groups) == (True, ("gpu",), ("serve",))


def test_a_setup_cfg_is_a_project(tmp_path):
    (tmp_path / "setup.cfg").write_text("[options]\ninstall_requires = numpy\n[options.extras_require]\ngpu = torch\n")
    [head] = load_project(config(tmp_path, 'project = true\nextras = ["GPU"]')).roles
    assert (head.project, head.extras) == (True, ("GPU",))
    assert problems(config(tmp_path, 'extras = ["gpus"]')) == (
        "extras[0]: setup.cfg has no extra 'gpus'; did you mean 'gpu'?",
    )


def test_a_setup_cfg_without_options_is_none(tmp_path):
    (tmp_path / "setup.cfg").write_text("[flake8]\nmax-line-length = 100\n")
    [problem] = problems(config(tmp_path, "project = true"))
    assert problem == "project: true needs a pyproject.toml with a [project] table, or a setup.cfg with [options]"


def test_a_setup_cfg_that_does_not_parse_has_its_line(tmp_path):
    (tmp_path / "setup.cfg").write_text("[options]\nnothing\n")
    with pytest.raises(ConfigError, match=r"setup\.cfg:2: not valid"):
        load_project(config(tmp_path, "project = true"))


def test_project_metadata_goes_before_setup_cfg(tmp_path):
    (tmp_path / "setup.cfg").write_text("[options]\n[options.extras_require]\ngpu = torch\n")
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\n')
    assert problems(config(tmp_path, 'extras = ["gpu"]')) == ("extras[0]: pyproject.toml has no extra 'gpu'",)
