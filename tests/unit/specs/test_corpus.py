"""Project shapes: each directory of the corpus says in expected.toml what it selects and what must come of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import tomli

from rayimage.errors import ConfigError
from rayimage.specs import RoleSpecs, collect_specs

CORPUS = Path(__file__).parent / "corpus"
SHAPES = sorted(path.parent.name for path in CORPUS.glob("*/expected.toml"))


@pytest.fixture(autouse=True)
def no_other_tools(monkeypatch, tmp_path):
    """Exporters on this machine's PATH must not make a difference here; uv is found beside rayimage."""
    monkeypatch.setenv("PATH", str(tmp_path))


def test_there_are_enough_shapes():
    assert len(SHAPES) >= 30


@pytest.mark.parametrize("shape", SHAPES)
def test_shape(shape, monkeypatch):
    expected = tomli.loads((CORPUS / shape / "expected.toml").read_text())
    for name, value in expected.get("environment", {}).items():
        monkeypatch.setenv(name, value)
    root = CORPUS / shape / expected.get("root", ".")
    assert observed(root, expected["select"]) == expected["expect"]


def observed(root: Path, select: dict[str, Any]) -> dict[str, Any]:
    """What comes of a selection, without what is empty, and with ROOT for the project's directory."""
    try:
        specs = collect_specs(root=root, **select)
    except ConfigError as error:
        problems = error.problems or (str(error),)
        return {"problems": [problem.replace(f"{root}/", "ROOT/") for problem in problems]}
    found = {
        "sources": [f"{source.kind}:{os.path.relpath(source.path, root)}" for source in specs.sources],
        "files": [name for name, _ in specs.files],
        "requirements": [f"{r} # {specs.origins[str(r)]}" for r in specs.requirements],
        "others": list(specs.others),
        "lines": [line.replace(str(root), "ROOT") for source in specs.sources for line in source.lines],
        "tables": "".join(source.tables for source in specs.sources).replace(str(root), "ROOT"),
        "local": {package.name: os.path.relpath(package.directory, root) for package in specs.local},
        "hashes": hashes(specs),
        "python": dict(specs.python),
        "notes": list(specs.notes),
        "indexes": list(specs.indexes),
        "accounts": list(specs.accounts),
    }
    return {key: value for key, value in found.items() if value}


def hashes(specs: RoleSpecs) -> dict[str, list[str]]:
    return {name: sorted(digests) for name, digests in sorted(specs.hashes.items())}


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if not shape.startswith("bad-")])
def test_no_credentials_in_what_is_shown_or_digested(shape, monkeypatch):
    expected = tomli.loads((CORPUS / shape / "expected.toml").read_text())
    for name, value in expected.get("environment", {}).items():
        monkeypatch.setenv(name, value)
    specs = collect_specs(root=CORPUS / shape / expected.get("root", "."), **expected["select"])
    assert not {"hunter2", "secret", "x-oauth", "sig=abc"} & set(
        repr(specs).replace("@", " ").replace(":", " ").split()
    )
    for secret in ("hunter2", "secret", "x-oauth", "sig=abc"):
        assert secret not in repr(specs)
