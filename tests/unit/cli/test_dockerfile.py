"""``dockerfile``, and what ``build --builder docker`` refuses before it asks an Engine."""

from __future__ import annotations

import json

import pytest

from tests.support.project import Project


def test_the_first_role_is_printed_and_nothing_is_written(project: Project) -> None:
    before = sorted(project.root.rglob("*"))
    ran = project.run("dockerfile")
    assert ran.code == 0, ran.err
    assert ran.out.startswith("# head for linux/amd64")
    assert "pip uninstall --yes old" in ran.out
    assert ran.out.endswith("\n")
    assert sorted(project.root.rglob("*")) == before


def test_a_context_is_all_that_a_build_needs(project: Project) -> None:
    ran = project.run("dockerfile", "--role", "worker", "--context", "made/worker")
    assert ran.code == 0, ran.err
    context = project.root / "made/worker"
    files = sorted(path.relative_to(context).as_posix() for path in context.rglob("*") if path.is_file())
    assert [file for file in files if not file.startswith("code/")] == [
        "Dockerfile",
        "packages/common-1.0-py3-none-any.whl",
        "packages/extra-1.0-py3-none-any.whl",
        "packages/old-2.0-py3-none-any.whl",
        "packages/requirements.txt",
    ]
    assert "code/app/main.py" in files
    assert (context / "Dockerfile").read_text() == ran.out
    again = project.run("dockerfile", "--context", "made/worker")
    assert again.code == 2
    assert "is not empty" in again.err


def test_a_context_in_the_project_is_no_code(project: Project) -> None:
    project.run("dockerfile", "--context", "made")
    project.run("dockerfile", "--context", "more")
    assert not (project.root / "more/code/more").exists()


def test_json(project: Project) -> None:
    ran = project.run("--json", "dockerfile", "--role", "worker", "--wheelhouse")
    data = json.loads(ran.out)
    assert (data["role"], data["platform"], data["context"]) == ("worker", "linux/amd64", None)
    assert "--no-index" in data["dockerfile"]


def test_without_buildkit(project: Project) -> None:
    assert "--mount" not in project.run("dockerfile", "--classic").out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--role", "wroker"], "there is no role 'wroker'"),
        (["--platform", "linux/arm64"], "head is not built for 'linux/arm64'"),
    ],
)
def test_what_there_is_not(project: Project, options: list[str], said: str) -> None:
    ran = project.run("dockerfile", *options)
    assert ran.code == 2
    assert said in ran.err
    assert "Traceback" not in ran.err


def test_a_wheelhouse_is_the_docker_builders(project: Project) -> None:
    ran = project.run("build", "--wheelhouse")
    assert ran.code == 2
    assert "--wheelhouse is for --builder docker" in ran.err
