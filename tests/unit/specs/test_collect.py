from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from rayimage.errors import ConfigError
from rayimage.specs import Source, collect_specs


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "one"
    root.mkdir()
    (root / "requirements.in").write_text("numpy\n-c limits.in\n./x.whl\n")
    (root / "limits.in").write_text("numpy<3\n")
    (root / "pyproject.toml").write_text(
        '[project]\nname = "app"\ndependencies = ["numpy", "scipy"]\n[project.optional-dependencies]\ngpu = ["torch"]\n'
        '[dependency-groups]\nserve = ["fastapi"]\n'
    )
    return root


def test_everything_together(root):
    specs = collect_specs(
        root=root, requirements=[root / "requirements.in"], project=True, extras=["gpu"], dependency_groups=["serve"]
    )
    assert specs.sources == (
        Source(kind="requirements", path=root / "requirements.in"),
        Source(kind="pyproject", path=root / "pyproject.toml", extras=("gpu",), groups=("serve",), dependencies=True),
    )
    assert [name for name, _ in specs.files] == ["limits.in", "pyproject.toml", "requirements.in"]
    assert [str(requirement) for requirement in specs.requirements] == ["numpy", "scipy", "torch", "fastapi"]
    assert specs.others == ("./x.whl",)


def test_a_role_may_ask_for_nothing(root):
    specs = collect_specs(root=root)
    assert (specs.sources, specs.files, specs.requirements, specs.others) == ((), (), (), ())


def test_groups_alone_leave_the_project_out_and_extras_do_not(root):
    [source] = collect_specs(root=root, dependency_groups=["serve"]).sources
    assert not source.dependencies
    [source] = collect_specs(root=root, extras=["gpu"]).sources
    assert source.dependencies


def test_the_digest_does_not_depend_on_the_place(root, tmp_path):
    other = Path(shutil.copytree(root, tmp_path / "elsewhere"))
    first = collect_specs(root=root, requirements=[root / "requirements.in"], project=True)
    second = collect_specs(root=other, requirements=[Path("requirements.in")], project=True)
    assert first.digest == second.digest
    assert first.sources != second.sources


def test_the_digest_covers_nested_files_and_the_selection(root):
    def digest(**selection):
        return collect_specs(root=root, requirements=[Path("requirements.in")], **selection).digest

    plain, project, extra = digest(), digest(project=True), digest(extras=["gpu"])
    assert len({plain, project, extra, digest(dependency_groups=["serve"])}) == 4
    (root / "limits.in").write_text("numpy<4\n")
    assert digest() != plain


def test_all_problems_at_once(root):
    (root / "requirements.in").write_text("numpy\n!\n-r gone.in\n")
    with pytest.raises(ConfigError) as caught:
        collect_specs(root=root, requirements=[Path("requirements.in"), Path("no.in")], extras=["gpus"])
    assert [problem.partition(": ")[0] for problem in caught.value.problems] == [
        "requirements.in:2",
        "requirements.in:3",
        "cannot read no.in",
        "pyproject.toml",
    ]
    assert caught.value.problems[-1].endswith("there is no extra 'gpus'; did you mean 'gpu'?")


def test_a_project_without_pyproject(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read .*pyproject\.toml"):
        collect_specs(root=tmp_path, project=True)
