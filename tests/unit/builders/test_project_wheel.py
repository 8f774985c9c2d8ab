from __future__ import annotations

from pathlib import Path

import pytest

from rayimage.builders.project_wheel import build_project_wheel
from rayimage.errors import WheelError

NAMED = '[project]\nname = "My.App"\nversion = "1.0"\n'
SYSTEM = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
BACKEND = """\
import os, pathlib, time, zipfile

def build_wheel(directory, *_):
    {first}
    pathlib.Path("build").mkdir(exist_ok=True)
    pathlib.Path("build/left.txt").write_text(str(time.time_ns()))
    with zipfile.ZipFile(os.path.join(directory, "my_app-1.0-py3-none-any.whl"), "w") as archive:
        archive.write("build/left.txt", "left.txt") if os.path.exists("build/old.txt") else None
        archive.write("app.py")
        for name in ("METADATA", "WHEEL", "RECORD"):
            archive.writestr(f"my_app-1.0.dist-info/{{name}}", f"# {{time.time_ns()}}" if name == "RECORD" else "X: 1")
    return "my_app-1.0-py3-none-any.whl"
"""


def project(root: Path, first: str = "pass", *, head: str = NAMED) -> Path:
    root.mkdir()
    (root / "pyproject.toml").write_text(head + SYSTEM)
    (root / "backend.py").write_text(BACKEND.format(first=first))
    (root / "app.py").write_text("VALUE = 1\n")
    return root


def test_the_same_source_gives_the_same_wheel_and_stays_as_it_is(tmp_path: Path) -> None:
    """setuptools leaves ``build`` in the tree: the second build would take it in, and git would call the tree changed."""
    root = project(tmp_path / "app")
    before = sorted(root.rglob("*"))
    wheels = [build_project_wheel(root, tmp_path / cache) for cache in ("one", "two", "one")]
    assert {wheel.filename for wheel in wheels} == {"my_app-1.0-py3-none-any.whl"}
    assert len({wheel.digest for wheel in wheels}) == 1
    assert sorted(root.rglob("*")) == before
    (root / "app.py").write_text("VALUE = 2\n")
    assert build_project_wheel(root, tmp_path / "one").digest != wheels[0].digest


def test_a_build_that_fails_tells_no_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_INDEX_URL", "https://user:pa55@example.com/simple?token=t0k")
    root = project(tmp_path / "app", 'print(os.environ["SOME_INDEX_URL"]); raise SystemExit(3)')
    with pytest.raises(WheelError, match="could not be built") as caught:
        build_project_wheel(root, tmp_path / "cache")
    assert "https://example.com/simple" in caught.value.why
    assert "pa55" not in caught.value.why
    assert "t0k" not in caught.value.why


def test_a_project_without_a_name(tmp_path: Path) -> None:
    with pytest.raises(WheelError, match="no name is written") as caught:
        build_project_wheel(project(tmp_path / "app", head=""), tmp_path / "cache")
    assert caught.value.fix
