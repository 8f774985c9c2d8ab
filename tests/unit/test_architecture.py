"""The direction of imports, held by reading every import of the package (go-containerregistry's depcheck_test)."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "rayimage"

# room → rooms it may import. Everything may use errors, files, processes and cachedir.
MODEL: set[str] = {"model"}
VALUES = MODEL | {"layers", "image", "registry", "specs"}
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "files": set(),
    "processes": set(),
    "cachedir": set(),
    "model": MODEL,
    "http": MODEL | {"http"},
    "specs": MODEL | {"specs"},
    "layers": MODEL | {"layers"},
    "image": MODEL | {"image"},
    "registry": MODEL | {"http", "registry"},
    "config": MODEL | {"specs", "config"},
    "kuberay": MODEL | {"kuberay"},
    "base": VALUES | {"base"},
    "lock": VALUES | {"lock"},
    "builders": VALUES | {"http", "base", "builders"},
    "report": VALUES | {"base", "builders", "report"},
    "cli": VALUES | {"base", "lock", "builders", "kuberay", "config", "report", "cli"},
    "__main__": {"cli"},
    "__init__": set(),
}
# library → where it may be imported.
CONFINED = {
    "click": ("cli/", "__main__.py"),
    "rich": ("cli/", "report/"),
    "docker": ("builders/docker/", "registry/keychain.py"),
    "pydantic": ("config/",),
    "urllib3": ("http/",),
    "ruamel": ("kuberay/", "specs/conda.py"),
    "installer": ("layers/",),
    "jinja2": ("builders/docker/",),
}
MODULES = sorted(PACKAGE.rglob("*.py"))


def imports_of(module: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative imports hide the direction"
            names.add(node.module or "")
            names.update(f"{node.module}.{alias.name}" for alias in node.names if node.module == "rayimage")
    return names


def room_of(module: Path) -> str:
    parts = module.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else module.stem


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.relative_to(PACKAGE).as_posix())
def test_a_room_imports_only_what_lies_below_it(module: Path) -> None:
    allowed = ALLOWED[room_of(module)] | {"errors", "files", "processes", "cachedir"}
    rooms = {name.split(".")[1] for name in imports_of(module) if name.startswith("rayimage.")}
    assert rooms - {"__version__"} <= allowed


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.relative_to(PACKAGE).as_posix())
def test_a_library_is_imported_only_in_its_place(module: Path) -> None:
    path = module.relative_to(PACKAGE).as_posix()
    for library, places in CONFINED.items():
        if any(name.split(".")[0] == library for name in imports_of(module)):
            assert path.startswith(places), f"{library} belongs in {places}"


@pytest.mark.parametrize("room", sorted(set(ALLOWED) - {"__init__", "__main__"}))
def test_each_room_can_be_imported_first(room: str) -> None:
    run = subprocess.run([sys.executable, "-c", f"import rayimage.{room}"], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_help_loads_no_library_that_it_does_not_need() -> None:
    code = "import sys, rayimage.cli.main as m; m.cli(['--help'], standalone_mode=False); print(*sorted(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(run.stdout.splitlines()[-1].split())
    assert "click" in loaded
    assert not loaded & {"rich", "docker", "urllib3", "pydantic", "ruamel.yaml", "packaging.requirements", "jinja2"}


def test_a_build_loads_what_reads_bases_and_resolves_only_to_do_so() -> None:
    code = "import sys, rayimage.cli.build, rayimage.cli.planning, rayimage.cli.locking, rayimage.builders.direct; print(*sorted(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    assert "rayimage.builders.direct" in loaded
    assert not loaded & {
        "rayimage.lock.joint",
        "rayimage.base.scan",
        "rayimage.specs.poetry",
        "rayimage.registry",
        "uv",
    }
    assert not loaded & {"docker", "jinja2", "build", "piptools", "cryptography"}
