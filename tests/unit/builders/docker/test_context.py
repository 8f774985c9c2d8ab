from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest

from rayimage.builders.docker.context import requirements_text, write_context
from rayimage.builders.docker.dockerfile import recipe_of, render
from rayimage.builders.wheelhouse import Wheelhouse
from rayimage.errors import RayimageError, UsageError, WheelError
from rayimage.layers import CodeTree
from rayimage.specs import collect_specs
from tests.support.values import wheel
from tests.support.wheelmaker import make_wheel
from tests.unit.builders.docker.recipes import build_input, file_wheel


@pytest.fixture
def house(tmp_path: Path) -> Wheelhouse:
    return Wheelhouse(tmp_path / "cache", indexes=["https://nothing.invalid/simple"], pause=lambda _: None)


def local(tmp_path: Path, name: str = "local"):
    made = make_wheel(tmp_path / "wheels", {f"{name}/__init__.py": b"1"}, name, "1.0")
    return file_wheel(made.path, name, "1.0")


def written(item, directory: Path, house: Wheelhouse, **options) -> list[str]:
    recipe = recipe_of(item, **options)
    write_context(item, recipe, directory, house)
    assert (directory / "Dockerfile").read_text() == render(recipe)
    return sorted(
        path.relative_to(directory).as_posix()
        for path in directory.rglob("*")
        if path.is_symlink() or not path.is_dir()
    )


def test_requirements_are_the_lock_and_name_no_index() -> None:
    first, second = wheel("a-b", "1.0"), wheel("c", "2.0+cu1")
    text = requirements_text([first, second])
    assert text == f"a-b==1.0 --hash=sha256:{first.digest.hex}\nc==2.0+cu1 --hash=sha256:{second.digest.hex}\n"


def test_only_wheels_that_no_index_has_are_sent(tmp_path: Path, house: Wheelhouse) -> None:
    own = local(tmp_path)
    item = build_input(tmp_path, wheel("common", "1.0"), own)
    files = written(item, tmp_path / "context", house)
    assert files == ["Dockerfile", f"packages/{own.filename}", "packages/requirements.txt"]


def test_a_package_required_by_url_is_sent(tmp_path: Path, house: Wheelhouse) -> None:
    (tmp_path / "in.txt").write_text("common @ https://files.example.com/common-1.0-py3-none-any.whl\n")
    specs = collect_specs(root=tmp_path, requirements=[Path("in.txt")])
    item = replace(build_input(tmp_path, wheel("common", "1.0")), specs=specs)
    with pytest.raises(WheelError, match="cannot download common"):
        written(item, tmp_path / "context", house)


def test_a_wheel_made_from_a_source_is_sent(tmp_path: Path, house: Wheelhouse) -> None:
    made = replace(wheel("common", "1.0"), url="https://files.example.com/common-1.0.tar.gz")
    with pytest.raises(WheelError, match="cannot download common"):
        written(build_input(tmp_path, made), tmp_path / "context", house)


def test_with_a_wheelhouse_every_wheel_is_sent(tmp_path: Path, house: Wheelhouse) -> None:
    with pytest.raises(WheelError, match="cannot download common"):
        written(build_input(tmp_path, wheel("common", "1.0")), tmp_path / "context", house, offline=True)
    own = local(tmp_path)
    assert f"packages/{own.filename}" in written(build_input(tmp_path, own), tmp_path / "c", house, offline=True)


def test_a_wheel_that_the_container_could_not_read_is_copied(tmp_path: Path, house: Wheelhouse) -> None:
    own = local(tmp_path)
    file = next((tmp_path / "wheels").glob("*.whl"))
    file.chmod(0o600)
    written(build_input(tmp_path, own), tmp_path / "context", house)
    sent = tmp_path / "context/packages" / own.filename
    assert stat.S_IMODE(sent.stat().st_mode) == 0o644
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_code_is_what_the_direct_builder_copies_with_its_modes(tmp_path: Path, house: Wheelhouse) -> None:
    project = tmp_path / "project"
    (project / "pkg").mkdir(parents=True)
    (project / "pkg").chmod(0o700)
    for name, mode in {"pkg/a.py": 0o600, "run.sh": 0o777, ".gitignore": 0o644, "secret.txt": 0o644}.items():
        (project / name).write_text("secret.txt\n")
        (project / name).chmod(mode)
    (project / "link").symlink_to("pkg")
    item = build_input(tmp_path)
    files = written(item, tmp_path / "context", house)
    assert files == ["Dockerfile", "code/.gitignore", "code/link", "code/pkg/a.py", "code/run.sh"]
    code = tmp_path / "context/code"
    modes = {name: stat.S_IMODE((code / name).lstat().st_mode) for name in ("pkg", "pkg/a.py", "run.sh", ".gitignore")}
    assert modes == {"pkg": 0o755, "pkg/a.py": 0o644, "run.sh": 0o755, ".gitignore": 0o644}
    assert (code / "link").readlink() == Path("pkg")
    assert {int(path.lstat().st_mtime) for path in code.rglob("*")} == {315619200}


def test_what_was_there_is_replaced(tmp_path: Path, house: Wheelhouse) -> None:
    project, context = tmp_path / "project", tmp_path / "context"
    project.mkdir()
    (project / "old.py").write_text("1")
    written(build_input(tmp_path), context, house)
    (project / "old.py").unlink()
    assert written(build_input(tmp_path), context, house) == ["Dockerfile"]


def test_code_that_goes_away_meanwhile(tmp_path: Path, house: Wheelhouse) -> None:
    item = build_input(tmp_path)
    gone = replace(item, tree=CodeTree(root=item.project, files=("gone.py",)))
    with pytest.raises(UsageError, match="changed while it was read"):
        written(gone, tmp_path / "context", house)


def test_a_directory_that_cannot_be_written(tmp_path: Path, house: Wheelhouse) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RayimageError, match="cannot write the build context"):
        written(build_input(tmp_path), tmp_path / "file/context", house)


def test_the_projects_wheel_has_a_directory_of_its_own(tmp_path: Path, house: Wheelhouse, monkeypatch) -> None:
    made = make_wheel(tmp_path / "wheels", {"mine/__init__.py": b"1"}, "mine", "1.0")
    monkeypatch.setattr("rayimage.builders.docker.context.build_project_wheel", lambda *_: made)
    files = written(build_input(tmp_path, code="wheel"), tmp_path / "context", house)
    assert files == ["Dockerfile", f"project/{made.filename}", "project/requirements.txt"]
    assert (tmp_path / "context/project/requirements.txt").read_text() == (
        f"mine==1.0 --hash=sha256:{made.digest.hex}\n"
    )
