from __future__ import annotations

from pathlib import Path

import pytest

from rayimage.errors import ConfigError
from rayimage.specs.pyproject import Pyproject, Selection
from rayimage.specs.toml import read_toml

TEXT = """\
[project]
name = "My_App"
requires-python = ">=3.11"
dependencies = ["numpy>=2"]

[project.optional-dependencies]
Gpu_Extra = ["torch"]
all = ["my-app[gpu-extra, plot]", "scipy"]
plot = ["matplotlib", "my-app[all]"]

[dependency-groups]
Serve = ["fastapi", { include-group = "base" }]
base = ["starlette"]
loop = [{ include-group = "loop" }]
bad = ["==1", { include = "x" }]
"""


@pytest.fixture
def project(tmp_path: Path) -> Pyproject:
    (tmp_path / "pyproject.toml").write_text(TEXT)
    return Pyproject.read(tmp_path / "pyproject.toml")


def names(pyproject: Pyproject, **selection) -> tuple[list[str], tuple[str, ...]]:
    found, problems = pyproject.requirements(Selection(**{"dependencies": False, **selection}))
    return [requirement.name for requirement in found], problems


def test_dependencies_extras_and_groups(project):
    assert project.extras == ("Gpu_Extra", "all", "plot")
    assert project.groups == ("Serve", "base", "loop", "bad")
    assert names(project, dependencies=True) == (["numpy"], ())
    assert names(project, groups=("serve",)) == (["fastapi", "starlette"], ())
    assert names(project) == ([], ())


def test_extras_bring_the_dependencies_and_names_are_normalised(project):
    assert names(project, extras=("gpu.extra",)) == (["numpy", "torch"], ())


def test_extras_of_the_project_itself_are_expanded_once(project):
    assert names(project, extras=("all",)) == (["numpy", "torch", "matplotlib", "scipy"], ())


@pytest.mark.parametrize(
    ("selection", "problem"),
    [
        (
            {"extras": ("gpu-extr",)},
            "project.optional-dependencies: there is no extra 'gpu-extr'; did you mean 'gpu-extra'?",
        ),
        ({"groups": ("serv",)}, "dependency-groups: there is no group 'serv'; did you mean 'serve'?"),
        (
            {"groups": ("loop",)},
            "dependency-groups: Cyclic dependency group include while resolving loop: loop includes itself",
        ),
    ],
)
def test_problems(project, selection, problem):
    assert names(project, **selection)[1] == (f"pyproject.toml: {problem}",)


def test_every_fault_of_a_group_is_named(project):
    problems = names(project, groups=("bad",))[1]
    assert len(problems) == 2
    assert all(problem.startswith("pyproject.toml: dependency-groups: ") for problem in problems)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[build-system]", "project: there is no [project] table"),
        ("project = 3", "project: there is no [project] table"),
        ("[project]\ndependencies = 'numpy'", "project.dependencies: must be a list"),
        ("[project]\ndependencies = ['numpy', '==1']", "project.dependencies[1]: Expected package name"),
        ("[project]\ndependencies = [3]", "project.dependencies[0]: "),
        ("[project]\ndynamic = ['version', 'dependencies']", "project.dynamic: dependencies are computed"),
    ],
)
def test_a_project_table_that_cannot_be_used(text, problem):
    import tomli

    _, problems = names(Pyproject(Path("pyproject.toml"), tomli.loads(text)), dependencies=True)
    assert len(problems) == 1
    assert problems[0].startswith(f"pyproject.toml: {problem}")


def test_a_requirement_that_does_not_parse_has_its_line(tmp_path):
    text = '[project]\nname = "x"\ndependencies = [\n    "numpy",\n    "scipy=1",\n]\n'
    (tmp_path / "pyproject.toml").write_text(text)
    _, [problem] = names(Pyproject.read(tmp_path / "pyproject.toml"), dependencies=True)
    assert problem.startswith("pyproject.toml:5: project.dependencies[1]: ")


def test_a_project_of_poetry_is_told_of_its_lock(tmp_path):
    (tmp_path / "pyproject.toml").write_text('[tool.poetry]\nname = "x"\n')
    _, [problem] = names(Pyproject.read(tmp_path / "pyproject.toml"), dependencies=True)
    assert problem.endswith("for what Poetry locked, set from-lock = 'poetry.lock'")


def digest(text: str, **selection):
    import tomli

    chosen = Selection(**{"dependencies": True, **selection})
    pyproject = Pyproject(Path("pyproject.toml"), tomli.loads(text))
    return pyproject.digest(chosen, pyproject.requirements(chosen)[0])


@pytest.mark.parametrize(
    "change",
    [
        ("My_App", "other"),
        ("fastapi", "flask"),
        ("torch", "jax"),
        ('"numpy>=2"', '"NumPy >= 2"'),
        ("[project]\n", "[project]\nversion = '1'\n"),
        ("[dependency-groups]", "[tool.ruff]\nline-length = 3\n[tool.uv]\npackage = false\n[dependency-groups]"),
    ],
)
def test_unrelated_edits_leave_the_digest(change):
    assert digest(TEXT.replace(*change)) == digest(TEXT)


@pytest.mark.parametrize(
    "change",
    [
        ("numpy>=2", "numpy>=2.1"),
        (">=3.11", ">=3.12"),
        ("fastapi", "flask"),
        ("starlette", "uvicorn"),
        ("torch", "jax"),
        ("[dependency-groups]", "[tool.uv]\nexclude-newer = 2026-01-01\n[dependency-groups]"),
        ("[dependency-groups]", "[tool.uv.sources]\nnumpy = { index = 'x' }\n[dependency-groups]"),
        ("[dependency-groups]", "[[tool.uv.index]]\nname = 'x'\n[dependency-groups]"),
    ],
)
def test_what_is_selected_makes_the_digest(change):
    selection = {"extras": ("gpu-extra",), "groups": ("serve",)}
    assert digest(TEXT.replace(*change), **selection) != digest(TEXT, **selection)


@pytest.mark.parametrize(
    ("data", "what", "why"),
    [
        (b"a = 1\nb = \nc = 3", r"x\.toml:2: not valid TOML", "Invalid value"),
        (b"a = 1\nb = [1,\n", r"x\.toml:3: not valid TOML", ""),
        (b"a = 1\na = 2", r"x\.toml:2: not valid TOML", "Cannot overwrite a value"),
        (b"\xff", r"x\.toml is not TOML", "UTF-8"),
    ],
)
def test_a_toml_error_has_its_line(tmp_path, data, what, why):
    (tmp_path / "x.toml").write_bytes(data)
    with pytest.raises(ConfigError, match=what) as caught:
        read_toml(tmp_path / "x.toml")
    assert why in caught.value.why
    assert "(at " not in caught.value.why
    assert caught.value.fix


def test_a_missing_file(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read .*x\.toml: No such file"):
        read_toml(tmp_path / "x.toml")
