from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from rayimage.config import load_project
from tests.support.project import YAML, Ran

Run = Callable[..., Ran]
BASE = "rayproject/ray:2.55.1-py311"
CLUSTER = YAML.replace("rayproject/ray:2.0.0", BASE)


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(
        tmp_path,
        {
            "requirements.in": "pandas\n",
            "requirements-worker.in": "scikit-learn\n",
            "deploy/dev/ray.yaml": CLUSTER,
            "deploy/prod/ray.yaml": CLUSTER,
        },
    )
    return tmp_path


def test_rayimage_toml_where_there_is_no_pyproject(run: Run, root: Path) -> None:
    ran = run("init")
    assert ran.code == 0, ran.err
    assert ran.out == ""
    assert "wrote rayimage.toml: images head, worker; environments dev, prod" in ran.err
    assert "next: check repository in it, then `rayimage lock`" in ran.err
    project = load_project(root)
    assert project.source == root / "rayimage.toml"
    assert [role.base for role in project.roles] == [BASE, BASE]
    assert project.role("worker").requirements == (root / "requirements.in", root / "requirements-worker.in")
    assert project.role("worker").worker_groups == ("cpu",)
    assert project.role("head").env == {"PYTHONPATH": "/home/ray/app"}
    assert project.environment("prod").manifest_files(root) == (root / "deploy/prod/ray.yaml",)
    assert project.default_environment == "dev"


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("end", ["", "\n"])
def test_a_table_at_the_end_of_pyproject(run: Run, root: Path, newline: str, end: str) -> None:
    lines = ['[project]  # "é"', 'name = "Fraud App"', 'dependencies = ["pandas"]']
    before = (newline.join(lines) + end.replace("\n", newline)).encode()
    (root / "pyproject.toml").write_bytes(before)
    assert run("init", "--repository", "example.com/team/app").code == 0
    after = (root / "pyproject.toml").read_bytes()
    assert after.startswith(before)
    assert after.count(b"\r\n") == (after.count(b"\n") if newline == "\r\n" else 0)
    project = load_project(root)
    assert project.repository == "example.com/team/app"
    assert project.role("head").project is True


def test_what_is_there_stays(run: Run, root: Path) -> None:
    for file, text in (("pyproject.toml", "[tool.rayimage]\n"), ("rayimage.toml", "")):
        write(root, {file: text})
        ran = run("init", "--base", BASE)
        assert (ran.code, ran.out) == (0, "")
        assert f"{file} has a configuration already: nothing to do" in ran.err
        assert (root / file).read_text() == text
        assert json.loads(run("init", "--json").out) == {"file": str(root / file), "written": False, "table": None}
        (root / file).unlink()


def test_dry_run_prints_and_writes_nothing(run: Run, root: Path) -> None:
    before = sorted(root.rglob("*"))
    ran = run("init", "--dry-run")
    assert ran.code == 0
    assert "[images.head]\n" in ran.out
    assert sorted(root.rglob("*")) == before


def test_json(run: Run, root: Path) -> None:
    data = json.loads(run("init", "--json").out)
    assert data["written"] is True
    assert data["table"] == (root / "rayimage.toml").read_text()


def test_a_configuration_farther_up_is_told_of(run: Run, root: Path) -> None:
    run("init")
    write(root, {"sub/requirements.in": "numpy\n"})
    ran = run("-C", "sub", "init")
    assert ran.code == 0
    assert f"! {root / 'rayimage.toml'} does not count here any more" in ran.err
    assert load_project(root / "sub").source == root / "sub/rayimage.toml"


def test_an_empty_directory(run: Run, tmp_path: Path) -> None:
    ran = run("init")
    assert ran.code == 0, ran.err
    assert "next: check repository and base in it" in ran.err
    assert "environments none, as no KubeRay file was found" in ran.err
    assert [role.name for role in load_project(tmp_path).roles] == ["head", "worker"]


@pytest.mark.parametrize(
    ("option", "value", "text"),
    [
        ("--repository", "https://example.com/app", "scheme"),
        ("--repository", "example.com/app:tag", "without tag"),
        ("--repository", "", "not an image reference"),
        ("--base", "UPPER", "no repository name"),
        ("--base", "oci:", "path of an OCI layout"),
    ],
)
def test_options_that_cannot_be_used(run: Run, root: Path, option: str, value: str, text: str) -> None:
    ran = run("init", option, value)
    assert ran.code == 2
    assert f"error: {option} {value!r} cannot be used" in ran.err
    assert text in ran.err
    assert not (root / "rayimage.toml").exists()


def test_a_pyproject_that_is_not_toml(run: Run, root: Path) -> None:
    write(root, {"pyproject.toml": "[project\n"})
    ran = run("init")
    assert ran.code == 3
    assert "pyproject.toml:1" in ran.err
    assert (root / "pyproject.toml").read_text() == "[project\n"


def test_a_pyproject_that_takes_no_table(run: Run, root: Path) -> None:
    write(root, {"pyproject.toml": "tool = {}\n"})
    ran = run("init")
    assert ran.code == 3
    assert "cannot be extended" in ran.err
    assert "--dry-run" in ran.err
    assert (root / "pyproject.toml").read_text() == "tool = {}\n"


class TestFindings:
    def test_yaml_that_is_none_is_noted(self, run: Run, root: Path) -> None:
        write(root, {"chart/ray.yaml": "apiVersion: ray.io/v1\nkind: {{ .Kind }}\n  x"})
        ran = run("init")
        assert ran.code == 0
        assert "chart/ray.yaml is not used: " in ran.err

    def test_other_peoples_yaml_is_passed_by(self, run: Run, root: Path) -> None:
        gpu = CLUSTER.replace("groupName: cpu", "groupName: gpu")
        write(root, {f"{name}/ray.yaml": gpu for name in (".venv/x", "node_modules/y", "tests/data", "build")})
        run("init")
        assert load_project(root).role("worker").worker_groups == ("cpu",)

    def test_yaml_without_ray_is_not_even_parsed(self, run: Run, root: Path) -> None:
        write(root, {"deploy/dev/other.yaml": "{{ not yaml"})
        ran = run("init")
        assert "other.yaml" not in ran.err
        assert load_project(root).environment("dev").manifests == ("deploy/dev/ray.yaml",)

    def test_python_version(self, run: Run, tmp_path: Path) -> None:
        write(tmp_path, {".python-version": "3.12.4\n"})
        run("init")
        assert load_project(tmp_path).role("head").base.endswith("-py312")

    def test_a_src_layout_is_installed_as_a_wheel(self, run: Run, root: Path) -> None:
        write(root, {"pyproject.toml": '[project]\nname = "x"\nversion = "1"\n', "src/x/__init__.py": ""})
        run("init")
        assert load_project(root).role("head").code == "wheel"
        assert "PYTHONPATH" not in (root / "pyproject.toml").read_text()

    def test_computed_dependencies_are_not_taken_from_pyproject(self, run: Run, root: Path) -> None:
        write(root, {"pyproject.toml": '[project]\nname = "x"\ndynamic = ["dependencies"]\n'})
        run("init")
        assert load_project(root).role("head").project is False
