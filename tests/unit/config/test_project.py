from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rayimage.config import Environment, load_project, repository_of
from rayimage.errors import ConfigError
from rayimage.model.reference import Reference

HEAD = '[images.head]\nbase = "rayproject/ray:2.55.1-py311"\n'


def project(tmp_path: Path, text: str = ""):
    (tmp_path / "rayimage.toml").write_text(text + HEAD)
    return load_project(tmp_path)


# Repositories

BOTH = 'repository = "registry.example.com/team/app"\n[environments.dev]\n[environments.prod]\nrepository = "r.example.com/p"\n'


def test_the_repository_of_an_environment_is_its_own_or_the_projects(tmp_path):
    loaded = project(tmp_path, BOTH)
    assert repository_of(loaded, "prod") == Reference("r.example.com", "p")
    assert repository_of(loaded, "dev") == Reference("registry.example.com", "team/app")


def test_no_environment_means_the_first(tmp_path):
    loaded = project(tmp_path, '[environments.dev]\nrepository = "r.example.com/d"\n[environments.prod]\n')
    assert repository_of(loaded) == Reference("r.example.com", "d")
    with pytest.raises(ConfigError, match="no repository is set for environment 'prod'"):
        repository_of(loaded, "prod")


def test_without_environments_the_project_decides(tmp_path):
    assert str(repository_of(project(tmp_path, 'repository = "team/app"\n'))) == "team/app"
    with pytest.raises(ConfigError, match="no repository is set:") as caught:
        repository_of(project(tmp_path))
    assert "repository =" in caught.value.fix


def test_unknown_names_have_a_suggestion(tmp_path):
    loaded = project(tmp_path, BOTH)
    assert loaded.role("head").name == "head"
    with pytest.raises(ConfigError, match=r"no environment 'prd'; did you mean 'prod'\?: .* has: dev, prod"):
        repository_of(loaded, "prd")
    with pytest.raises(ConfigError, match=r"no role 'heda'; did you mean 'head'\?"):
        loaded.role("heda")
    with pytest.raises(ConfigError, match=r"no environment 'dev': the configuration has: none"):
        project(tmp_path).environment("dev")


# Manifests


def environment(*manifests: str) -> Environment:
    return Environment(name="dev", repository=None, manifests=manifests, require=())


def test_manifests_are_found_sorted_and_once(tmp_path):
    for name in ("deploy/b.yaml", "deploy/a.yaml", "deploy/deep/er/c.yaml", "deploy/x[1].yaml", "deploy/note.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = environment("deploy/**/*.yaml", "deploy/a.yaml", "deploy/x[1].yaml").manifest_files(tmp_path)
    names = [path.relative_to(tmp_path).as_posix() for path in found]
    assert names == ["deploy/a.yaml", "deploy/b.yaml", "deploy/deep/er/c.yaml", "deploy/x[1].yaml"]
    assert environment(str(tmp_path / "deploy/a.yaml")).manifest_files(tmp_path) == (tmp_path / "deploy/a.yaml",)
    assert environment().manifest_files(tmp_path) == ()


def test_every_pattern_without_a_file_is_reported(tmp_path):
    (tmp_path / "deploy").mkdir()
    (tmp_path / "a.yaml").touch()
    with pytest.raises(ConfigError) as caught:
        environment("deploy", "a.yaml", "*.yml").manifest_files(tmp_path)
    assert caught.value.problems == (
        "environments.dev.manifests[0]: no file matches 'deploy'",
        "environments.dev.manifests[2]: no file matches '*.yml'",
    )


def test_importing_the_package_does_not_load_pydantic():
    code = "import sys, rayimage.config; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
