"""Specs of many shapes through the command line: local packages, other tools' locks, hashes, private indexes."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import tomli

from rayimage.image.layout import OciLayout
from rayimage.model.digest import Digest
from rayimage.model.manifest import Index, parse_manifest
from rayimage.specs.exporters import find_uv
from tests.support.index import PackageIndex, running_index, wheel
from tests.support.project import Project, make_project
from tests.support.values import SITE

NOWHERE = "registry.example.com/team/small"
BASE = {"click": "8.1.7", "ray": "2.55.1"}
ACCOUNT = ("build-robot", "hunter2+/ü")
# A build backend that needs nothing from an index: it zips the package beside it.
BACKEND = """\
import pathlib
import zipfile


def build_wheel(target, config_settings=None, metadata_directory=None):
    import tomllib as toml

    project = toml.loads(pathlib.Path("pyproject.toml").read_text())["project"]
    name, version = project["name"], project["version"]
    info = f"{name}-{version}.dist-info"
    requires = "".join(f"Requires-Dist: {line}\\n" for line in project.get("dependencies", []))
    tag = pathlib.Path("TAG").read_text() if pathlib.Path("TAG").exists() else "py3-none-any"
    with zipfile.ZipFile(pathlib.Path(target) / f"{name}-{version}-{tag}.whl", "w") as archive:
        for file in sorted(pathlib.Path(name).rglob("*.py")):
            archive.write(file, file.as_posix())
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n{requires}")
        archive.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: {tag}\\n")
        archive.writestr(f"{info}/RECORD", "")
    return f"{name}-{version}-{tag}.whl"
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path, NOWHERE)


def library(directory: Path, name: str, *requires: str, sources: str = "", version: str = "1.0") -> Path:
    """A package's source in ``directory``, with a build backend of its own."""
    (directory / name).mkdir(parents=True)
    (directory / name / "__init__.py").write_text("VALUE = 1\n")
    (directory / "backend.py").write_text(BACKEND)
    (directory / "pyproject.toml").write_text(
        f'[project]\nname = "{name}"\nversion = "{version}"\ndependencies = {json.dumps(requires)}\n'
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n' + sources
    )
    return directory


def write(project: Project, name: str, text: str) -> None:
    (project.root / name).parent.mkdir(parents=True, exist_ok=True)
    (project.root / name).write_text(text)


def configure(project: Project, common: str, worker: str = "") -> None:
    write(
        project,
        "rayimage.toml",
        f'repository = "{NOWHERE}"\nbase = "oci:../base:2.55.1"\n{common}\n[images.head]\n[images.worker]\n{worker}\n',
    )


def lock_of(project: Project, role: str = "worker") -> dict:
    return tomli.loads((project.root / f"lockfiles/pylock.{role}-amd64.toml").read_text())


def locked(project: Project, role: str = "worker") -> dict[str, str]:
    """What goes in and what the base provides: name → version."""
    lock = lock_of(project, role)
    provided = {each["name"]: each["version"] for each in lock["tool"]["rayimage"]["provided"]}
    return {each["name"]: each["version"] for each in lock["packages"]} | provided


def blob(layout: OciLayout, digest: str) -> bytes:
    return (layout.path / "blobs" / digest.replace(":", "/")).read_bytes()


def files_of(project: Project, role: str = "worker") -> dict[str, bytes]:
    """The files of all layers that were added to the base of the role's image in the layout ``image``."""
    layout = OciLayout(project.root / "image")
    entries = json.loads((layout.path / "index.json").read_bytes())["manifests"]
    names = {each["annotations"]["org.opencontainers.image.ref.name"]: each["digest"] for each in entries}
    [top] = {blob(layout, digest) for name, digest in names.items() if name.endswith(f"-{role}")}
    manifest = parse_manifest(top)
    if isinstance(manifest, Index):
        manifest = parse_manifest(blob(layout, str(manifest.manifests[0].digest)))
    files: dict[str, bytes] = {}
    for layer in manifest.layers:
        plain = gzip.decompress(blob(layout, str(layer.digest)))
        with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
            files |= {info.name: archive.extractfile(info).read() for info in archive if info.isfile()}
    return files


# Local packages


@pytest.fixture
def monorepo(project: Project) -> Project:
    libs = project.root.parent / "libs"
    library(libs / "deep", "deep")
    library(libs / "shared", "shared", "deep", "extra", sources='[tool.uv.sources]\ndeep = { path = "../deep" }\n')
    write(project, "requirements.in", "--no-index\n--find-links ../wheels\ncommon\n-e ../libs/shared\n")
    configure(project, 'requirements = ["requirements.in"]')
    return project


def test_local_packages_are_built_locked_by_their_source_and_installed(monorepo: Project):
    ran = monorepo.run("lock")
    assert ran.code == 0, ran.err
    assert locked(monorepo) == {"common": "1.0", "deep": "1.0", "extra": "1.0", "shared": "1.0", **BASE}
    [shared] = [each for each in lock_of(monorepo)["packages"] if each["name"] == "shared"]
    assert shared["directory"] == {"path": "../../libs/shared"}
    text = (monorepo.root / "lockfiles/pylock.worker-amd64.toml").read_text()
    assert f"{monorepo.root.parent}/libs" not in text
    assert str(monorepo.cache) not in text
    assert monorepo.run("lock").code == 0
    assert (monorepo.root / "lockfiles/pylock.worker-amd64.toml").read_text() == text
    assert monorepo.run("lock", "--check").code == 0
    ran = monorepo.run("build", "--output", "oci:image", "--no-emit")
    assert ran.code == 0, ran.err
    assert files_of(monorepo)[f"{SITE.lstrip('/')}/shared/__init__.py"] == b"VALUE = 1\n"
    assert f"{SITE.lstrip('/')}/deep/__init__.py" in files_of(monorepo, "head")


def test_an_edit_of_a_local_package_makes_the_lock_stale(monorepo: Project):
    assert monorepo.run("lock").code == 0
    (monorepo.root.parent / "libs/deep/deep/__init__.py").write_text("VALUE = 2\n")
    ran = monorepo.run("lock", "--check")
    assert ran.code == 12
    assert "local package deep changed" in ran.err
    assert monorepo.run("build", "--output", "oci:image").code == 5
    assert monorepo.run("lock").code == 0
    assert monorepo.run("build", "--output", "oci:image", "--no-emit").code == 0
    assert files_of(monorepo)[f"{SITE.lstrip('/')}/deep/__init__.py"] == b"VALUE = 2\n"


def test_what_git_ignores_and_builds_leave_behind_does_not_count(monorepo: Project):
    assert monorepo.run("lock").code == 0
    shared = monorepo.root.parent / "libs/shared"
    for name in ("build/lib/shared/old.py", "shared.egg-info/PKG-INFO", "shared/__pycache__/x.pyc", "dist/x.whl"):
        (shared / name).parent.mkdir(parents=True, exist_ok=True)
        (shared / name).write_text("x")
    assert monorepo.run("lock", "--check").code == 0


def test_another_machine_builds_the_same_images_from_the_lock(monorepo: Project):
    def built(cache: str) -> dict:
        ran = Project(monorepo.root, monorepo.root.parent / cache).run(
            "--json", "build", "--output", f"oci:{cache}", "--no-emit"
        )
        assert ran.code == 0, ran.err
        return {role: image["digest"] for role, image in json.loads(ran.out)["roles"].items()}

    assert monorepo.run("lock").code == 0
    first = built("cache")
    for file in (monorepo.root.parent / "libs").rglob("*"):
        os.utime(file, (1, 1))
    assert built("elsewhere") == first


def test_a_local_package_of_pyproject_with_an_index_and_a_group(project: Project):
    library(project.root.parent / "libs/shared", "shared")
    write(
        project,
        "pyproject.toml",
        '[project]\nname = "app"\nversion = "1"\ndependencies = ["shared"]\n[dependency-groups]\nmore = ["extra"]\n'
        '[tool.uv.sources]\nshared = { path = "../libs/shared", editable = true }\nextra = { index = "flat" }\n'
        '[[tool.uv.index]]\nname = "flat"\nurl = "../wheels"\nformat = "flat"\nexplicit = true\n',
    )
    configure(project, 'project = true\ndependency-groups = ["more"]')
    ran = project.run("lock", env={"UV_NO_INDEX": "1"})
    assert ran.code == 0, ran.err
    assert locked(project) == {"shared": "1.0", "extra": "1.0", **BASE}


def test_a_local_package_that_compiles_is_refused(monorepo: Project):
    (monorepo.root.parent / "libs/shared/TAG").write_text("cp311-cp311-linux_x86_64")
    ran = monorepo.run("lock")
    assert ran.code == 6
    assert "compiles code" in ran.err
    assert "shared-1.0-cp311-cp311-linux_x86_64.whl" in ran.err


def test_a_local_package_that_does_not_build_says_why(monorepo: Project):
    (monorepo.root.parent / "libs/shared/backend.py").write_text("raise SystemExit('no such luck')\n")
    ran = monorepo.run("lock")
    assert ran.code == 6
    assert "no such luck" in ran.err
    assert not list(monorepo.cache.glob("local-wheels/.build-*"))


# Other tools' locks


PYLOCK = """\
lock-version = "1.0"
requires-python = ">=3.10"
extras = ["more"]
created-by = "somebody"
"""


def entry(name: str, version: str, marker: str = "", sha256: str = "") -> str:
    """A package; without ``sha256`` one whose hash nobody states."""
    file = f"{name}-{version}-py3-none-any.whl"
    hashes = f'sha256 = "{sha256}"' if sha256 else 'md5 = "0"'
    condition = f'marker = "{marker}"\n' if marker else ""
    wheels = f'wheels = [{{ name = "{file}", url = "https://files.example.com/{file}", hashes = {{ {hashes} }} }}]\n'
    return f'[[packages]]\nname = "{name}"\nversion = "{version}"\n{condition}{wheels}'


def from_pylock(project: Project, *entries: str, keys: str = "") -> None:
    write(project, "pylock.toml", PYLOCK + "".join(entries))
    write(project, "wheels.in", "--no-index\n--find-links ../wheels\n")
    configure(project, f'requirements = ["wheels.in"]\nfrom-lock = "pylock.toml"\n{keys}')


def test_what_a_lock_has_goes_in_and_nothing_newer(project: Project):
    shutil.copy(project.root.parent / "wheels/common-1.0-py3-none-any.whl", project.root / "x")
    wheels = project.root.parent / "wheels"
    for file in (
        wheel("common-2.0-py3-none-any.whl"),
        wheel("click-8.1.7-py3-none-any.whl"),
        wheel("click-9.0-py3-none-any.whl"),
    ):
        (wheels / file[0]).write_bytes(file[1])
    from_pylock(
        project,
        entry("common", "1.0"),
        entry("click", "8.1.7"),
        entry("old", "2.0", "'more' in extras"),
        entry("extra", "1.0", "sys_platform == 'win32'"),
    )
    assert project.run("lock").code == 0
    lock = lock_of(project)
    assert {each["name"]: each["version"] for each in lock["packages"]} == {"common": "1.0"}
    # The base has the click that was locked, so it is the base's; its own `old` was not asked to move.
    assert locked(project) == {"common": "1.0", **BASE}
    configure(project, 'requirements = ["wheels.in"]\nfrom-lock = "pylock.toml"\nextras = ["more"]')
    assert project.run("lock").code == 0
    assert locked(project)["old"] == "2.0"


def test_a_lock_with_another_ray_is_refused_with_both_sides(project: Project):
    from_pylock(project, entry("ray", "2.54.0"))
    ran = project.run("lock")
    assert ran.code == 5
    assert "pylock.toml" in ran.err
    assert "ray==2.54.0" in ran.err
    assert "has Ray 2.55.1" in ran.err


def test_a_lock_for_another_python_is_refused(project: Project):
    from_pylock(project)
    write(project, "pylock.toml", PYLOCK.replace(">=3.10", ">=3.13") + "packages = []\n")
    ran = project.run("lock")
    assert ran.code == 5
    assert "pylock.toml is not for the Python of role head" in ran.err


def test_a_file_that_the_lock_does_not_vouch_for_is_refused(project: Project):
    good = Digest.of((project.root.parent / "wheels/common-1.0-py3-none-any.whl").read_bytes()).hex
    from_pylock(project, entry("common", "1.0", sha256=good))
    assert project.run("lock").code == 0
    from_pylock(project, entry("common", "1.0", sha256="0" * 64))
    ran = project.run("lock")
    assert ran.code == 5
    assert "common 1.0 is not what the requirements vouch for" in ran.err


def test_a_change_of_the_lock_makes_ours_stale(project: Project):
    from_pylock(project, entry("common", "1.0"))
    assert project.run("lock").code == 0
    from_pylock(project, entry("common", "1.0"), entry("extra", "1.0"))
    ran = project.run("lock", "--check")
    assert ran.code == 12
    assert "pylock.toml changed" in ran.err


def test_an_unknown_extra_of_a_lock(project: Project):
    from_pylock(project, entry("common", "1.0"), keys='extras = ["moore"]')
    ran = project.run("lock")
    assert ran.code == 3
    assert "pylock.toml has no extra 'moore'; did you mean 'more'?" in ran.err


UV_PROJECT = """\
[project]
name = "app"
version = "0"
requires-python = ">=3.11"
dependencies = ["common<2", "torch", "shared", "extra ; sys_platform == 'win32'"]
[dependency-groups]
more = ["extra"]
dev = ["old"]
[tool.uv.sources]
torch = {{ index = "private" }}
shared = {{ path = "../libs/shared" }}
[[tool.uv.index]]
name = "private"
url = "{private}"
explicit = true
[[tool.uv.index]]
name = "public"
url = "{public}"
default = true
"""


def test_uv_lock_with_a_local_package_and_a_private_index(project: Project):
    """What uv locked stays, though the public index has newer versions, and the private one wants a password."""
    user, password = ACCOUNT
    env = {"UV_INDEX_PRIVATE_USERNAME": user, "UV_INDEX_PRIVATE_PASSWORD": password}
    names = ("common-1.0", "common-2.0", "extra-1.0", "old-2.0", "torch-9.0")
    library(project.root.parent / "libs/shared", "shared")
    with (
        running_index(wheel("torch-1.0+cpu-py3-none-any.whl"), account=ACCOUNT) as private,
        running_index(*(wheel(f"{name}-py3-none-any.whl") for name in names)) as public,
    ):
        write(project, "pyproject.toml", UV_PROJECT.format(private=private.url, public=public.url))
        command = [find_uv(), "lock", "--quiet", "--no-cache", "--directory", str(project.root)]
        subprocess.run(command, env={**os.environ, **env}, check=True, capture_output=True)
        configure(project, 'from-lock = "uv.lock"', 'project = true\ndependency-groups = ["more"]')
        public.files |= dict([wheel("common-1.5-py3-none-any.whl"), wheel("extra-2.0-py3-none-any.whl")])
        ran = project.run("lock", env=env)
        assert ran.code == 0, ran.err
        main = {"common": "1.0", "shared": "1.0", "torch": "1.0+cpu", **BASE}
        assert (locked(project, "head"), locked(project)) == (main, {**main, "extra": "1.0"})
        ran = project.run("build", "--output", "oci:image", "--no-emit", env=env)
        assert ran.code == 0, ran.err
        assert "hunter2" not in (project.root / "lockfiles/pylock.head-amd64.toml").read_text() + ran.err


# conda


def test_conda_environments_give_their_pip_part_and_a_word_on_the_rest(project: Project):
    write(
        project,
        "environment.yml",
        "dependencies:\n  - python=3.11\n  - numpy=1.26\n  - pip:\n      - --no-index\n      - --find-links ../wheels\n      - common\n",
    )
    configure(project, 'requirements = ["environment.yml"]')
    ran = project.run("lock")
    assert ran.code == 0, ran.err
    assert locked(project) == {"common": "1.0", **BASE}
    assert ran.err.count("environment.yml:3: 'numpy=1.26' is not installed") == 1


# Private indexes


@pytest.fixture
def private(project: Project) -> Iterator[PackageIndex]:
    content = (project.root.parent / "wheels/common-1.0-py3-none-any.whl").read_bytes()
    with running_index(("common-1.0-py3-none-any.whl", content), account=ACCOUNT) as index:
        # Code with a password in it is refused, and requirements.in would be code.
        configure(project, 'requirements = ["requirements.in"]\nexclude = ["requirements.in"]')
        yield index


def url_with(index: PackageIndex, user: str, password: str = "") -> str:
    from urllib.parse import quote

    credentials = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
    return index.url.replace("//", f"//{credentials}@")


def check_that_it_works_and_nothing_leaks(project: Project, **env: str) -> None:
    """Lock and build with an empty cache each, and look for the password wherever something is written."""
    lock = project.run("-v", "lock", env=env)
    assert lock.code == 0, lock.err
    assert locked(project) == {"common": "1.0", **BASE}
    shutil.rmtree(project.cache)
    build = project.run("-v", "build", "--output", "oci:image", "--no-emit", "--metadata-file", "built.json", env=env)
    assert build.code == 0, build.err
    written = [path for path in project.root.rglob("*") if path.is_file() and "requirements.in" not in path.name]
    texts = [
        lock.out,
        lock.err,
        build.out,
        build.err,
        *(path.read_bytes().decode(errors="replace") for path in written),
    ]
    for text in texts:
        assert "hunter2" not in text


def test_credentials_in_a_requirements_file(project: Project, private: PackageIndex):
    write(project, "requirements.in", f"--index-url {url_with(private, *ACCOUNT)}\ncommon\n")
    check_that_it_works_and_nothing_leaks(project)
    inputs = lock_of(project)["tool"]["rayimage"]["inputs"]
    with_other_password = url_with(private, "build-robot", "another")
    write(project, "requirements.in", f"--index-url {with_other_password}\ncommon\n")
    assert project.run("lock", "--check").code == 0
    assert lock_of(project)["tool"]["rayimage"]["inputs"] == inputs


def test_credentials_in_the_environment(project: Project, private: PackageIndex):
    write(project, "requirements.in", "common\n")
    write(
        project,
        "pyproject.toml",
        f'[[tool.uv.index]]\nname = "corp"\nurl = "{private.url}"\ndefault = true\n[dependency-groups]\nx = ["common"]\n',
    )
    configure(project, 'dependency-groups = ["x"]')
    user, password = ACCOUNT
    check_that_it_works_and_nothing_leaks(project, UV_INDEX_CORP_USERNAME=user, UV_INDEX_CORP_PASSWORD=password)


def test_variables_in_a_requirements_file(project: Project, private: PackageIndex):
    url = private.url.replace("//", "//${ROBOT}:${ROBOT_PASSWORD}@")
    write(project, "requirements.in", f"--index-url {url}\ncommon\n")
    check_that_it_works_and_nothing_leaks(project, ROBOT="build-robot", ROBOT_PASSWORD="hunter2%2B%2F%C3%BC")


def test_netrc(project: Project, private: PackageIndex, tmp_path: Path):
    write(project, "requirements.in", f"--index-url {private.url}\ncommon\n")
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login {} password {}\n".format(*ACCOUNT))
    netrc.chmod(0o600)
    check_that_it_works_and_nothing_leaks(project, NETRC=str(netrc))


def test_keyring(project: Project, private: PackageIndex, tmp_path: Path):
    write(project, "requirements.in", f"--index-url {url_with(private, 'build-robot')}\ncommon\n")
    program = tmp_path / "bin/keyring"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\n[ "$1 $3" = "get build-robot" ] || exit 1\nprintf "%s\\n" "{ACCOUNT[1]}"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    path = f"{program.parent}:{os.environ['PATH']}"
    check_that_it_works_and_nothing_leaks(project, UV_KEYRING_PROVIDER="subprocess", PATH=path)


def test_a_refused_request_does_not_show_the_password(project: Project, private: PackageIndex):
    write(project, "requirements.in", f"--index-url {url_with(private, 'build-robot', 'wrong-secret')}\ncommon\n")
    ran = project.run("-v", "lock")
    assert ran.code == 5
    assert "refused the request" in ran.err
    assert "wrong-secret" not in ran.err + ran.out


# Hashes in requirements files


def hashed(name: str, version: str, sha256: str) -> str:
    return f"{name}=={version} \\\n    --hash=sha256:{sha256}\n"


def test_hashes_in_requirements_files_count(project: Project):
    good = Digest.of((project.root.parent / "wheels/common-1.0-py3-none-any.whl").read_bytes()).hex
    head = "--no-index\n--find-links ../wheels\n"
    # The base's click is not a file that could be compared: its version is what counts.
    write(project, "requirements.txt", head + hashed("common", "1.0", good) + hashed("click", "8.1.7", "1" * 64))
    configure(project, 'requirements = ["requirements.txt"]')
    ran = project.run("lock")
    assert ran.code == 0, ran.err
    assert locked(project) == {"common": "1.0", **BASE}
    write(project, "requirements.txt", head + hashed("common", "1.0", "2" * 64))
    ran = project.run("lock")
    assert ran.code == 5
    assert "common 1.0 is not what the requirements vouch for" in ran.err
