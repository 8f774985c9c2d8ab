"""The Docker builder against the direct one: the same project, the same image (docs/docker-builder.md: what differs)."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

import rayimage.builders.docker.builder
from tests.support.cli import rayimage, rayimage_json
from tests.support.example import copy_example
from tests.support.image_files import comparable, image_files, runtime_config
from tests.support.index import PackageIndex, running_index
from tests.support.project import Project as InProcess
from tests.support.services import Engine, Registry
from tests.support.wheelmaker import make_wheel

pytestmark = [pytest.mark.registry, pytest.mark.engine, pytest.mark.base, pytest.mark.index]

MOVING = """\
# The base has all of these in older versions: scripts, compiled code, plain Python.
charset-normalizer>=3.4
idna>=3.10
jsonschema>=4.24
tqdm
"""
CONFIG = """\
repository   = "{repository}"
platforms    = ["linux/amd64"]
requirements = ["requirements.in"]
base         = "{base}"
env          = {{ GREETING = "it's \\"$HOME\\" \\\\ here", EMPTY = "", PATHS = "/a:/b" }}
labels       = {{ "com.example.note" = "two words, 100% of ${{X}}" }}

[images.head]
"""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One project built both ways; images as ``{role: repository:tag@digest}``."""

    project: Path
    direct: dict[str, str]
    docker: dict[str, str]
    built: dict[str, Any]
    env: dict[str, str]
    cache: Path


def moving_project(scratch: Path, *, repository: str, base: str) -> Path:
    """A project whose base packages are replaced, with code that has a program and links."""
    project = scratch / "moving"
    (project / "pkg").mkdir(parents=True)
    (project / "rayimage.toml").write_text(CONFIG.format(repository=repository, base=base))
    (project / "requirements.in").write_text(MOVING)
    (project / "run.sh").write_text("#!/bin/sh\n")
    (project / "run.sh").chmod(0o775)
    (project / "pkg/data.txt").write_text("data\n")
    (project / "pkg/data.txt").chmod(0o600)
    (project / "link.txt").symlink_to("pkg/data.txt")
    (project / "linked").symlink_to("pkg")
    return project


@pytest.fixture(scope="module", params=["example", "moving"])
def pair(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    registry: Registry,
    engine: Engine,
    ray_base: str,
    package_index: None,
) -> Iterator[Pair]:
    scratch = tmp_path_factory.mktemp(request.param)
    repository = f"{registry.host}/team/{request.param}"
    if request.param == "example":
        project = copy_example(scratch, repository=repository, base=ray_base)
    else:
        project = moving_project(scratch, repository=repository, base=ray_base)
    env, cache = {"DOCKER_HOST": engine.docker_host}, scratch / "cache"
    locks = rayimage_json(project, "lock", cache=cache)
    assert all(lock["moved"] for lock in locks), "base packages are replaced"
    direct = rayimage_json(project, "build", "--tag", "direct", "--no-emit", cache=cache)
    built = rayimage_json(project, "build", "--builder", "docker", "--tag", "docker", cache=cache, env=env)
    references = [{role: data["reference"] for role, data in each["roles"].items()} for each in (direct, built)]
    for reference in {reference for each in references for reference in each.values()}:
        engine.run("pull", "--quiet", reference, timeout=600)
    yield Pair(project=project, direct=references[0], docker=references[1], built=built, env=env, cache=cache)
    shutil.rmtree(scratch, ignore_errors=True)


def test_the_same_files_with_the_same_content_owner_and_mode(pair: Pair, engine: Engine) -> None:
    for role, reference in pair.direct.items():
        direct, docker = (comparable(image_files(engine, image)) for image in (reference, pair.docker[role]))
        assert len(direct) > 10_000
        differ = {
            path: (direct.get(path), docker.get(path))
            for path in direct.keys() | docker.keys()
            if direct.get(path) != docker.get(path)
        }
        assert not differ, "\n".join(f"{path}: {there}" for path, there in sorted(differ.items())[:40])


def test_the_same_config(pair: Pair, engine: Engine) -> None:
    """Of what was pushed, and of what the Dockerfile alone gives."""
    arguments = ("build", "--builder", "docker", "--output", "docker", "--tag", "here")
    here = rayimage_json(pair.project, *arguments, cache=pair.cache, env=pair.env)["images"]
    for role, reference in pair.direct.items():
        images = (reference, pair.docker[role], here[role])
        direct, pushed, built = (runtime_config(engine, image) for image in images)
        assert direct == pushed == built
        assert direct["WorkingDir"] == "/home/ray/app"


PASSWORD = "correct-horse-battery"


@dataclass(frozen=True, kw_only=True)
class Private:
    """A project whose packages come from an index with a password, locked."""

    project: Path
    index: PackageIndex
    env: dict[str, str]
    cache: Path


@pytest.fixture
def private(tmp_path: Path, registry: Registry, engine: Engine, ray_base: str) -> Iterator[Private]:
    project = tmp_path / "private"
    project.mkdir()
    text = f'repository = "{registry.host}/team/private"\nrequirements = ["requirements.in"]\nbase = "{ray_base}"\n'
    (project / "rayimage.toml").write_text(f"{text}\n[images.head]\n")
    (project / "requirements.in").write_text("rayimage-test-private\nannotated-doc>=99\n")
    (project / "main.py").write_text("print('hello')\n")
    # No test finds what another one has built in the Engine's cache.
    module = f"# {uuid.uuid4()}\nVALUE = 1\n".encode()
    made = make_wheel(tmp_path, {"rayimage_test_private.py": module}, "rayimage_test_private", "1.0")
    # The base has an older one, in other files.
    moves = make_wheel(tmp_path, {"annotated_doc/new.py": module}, "annotated_doc", "99.0")
    files = [(wheel.filename, wheel.path.read_bytes()) for wheel in (made, moves)]
    with running_index(*files, account=("robot", PASSWORD)) as index:
        variables = {"UV_DEFAULT_INDEX": f"house={index.url}", "UV_INDEX_HOUSE_USERNAME": "robot"}
        env = {"DOCKER_HOST": engine.docker_host, **variables, "UV_INDEX_HOUSE_PASSWORD": PASSWORD}
        cache = tmp_path / "cache"
        [lock] = rayimage_json(project, "lock", cache=cache, env=env)
        assert list(lock["moved"]) == ["annotated-doc"]
        index.requests.clear()
        yield Private(project=project, index=index, env=env, cache=cache)


def test_a_password_of_an_index_is_nowhere_in_image_history_or_context(private: Private, engine: Engine) -> None:
    ran = rayimage(
        private.project, "-v", "build", "--builder", "docker", "--tag", "private", cache=private.cache, env=private.env
    )
    assert ran.returncode == 0, ran.stderr
    assert any(path.endswith(".whl") for path in private.index.requests), "the build downloaded it"
    image = ran.stdout.strip()
    engine.run("pull", "--quiet", image)
    assert (
        engine.run("run", "--rm", image, "python", "-c", "import rayimage_test_private as p; print(p.VALUE)") == "1\n"
    )
    address = private.index.url.removeprefix("http://").partition("/")[0]
    search = f"grep -rIlE '{PASSWORD}|{address}' /etc /home /opt /root /run /srv /tmp /usr/local /var"
    found = engine.try_run("run", "--rm", "--user", "0", image, "sh", "-c", search)
    assert (found.returncode, found.stdout) == (1, ""), found.stderr
    said = [engine.run("history", "--no-trunc", image), engine.run("image", "inspect", image), ran.stderr]
    context = [path.read_text() for path in (private.cache / "docker").rglob("*") if path.is_file()]
    assert context
    assert not [text for text in (*said, *context) if PASSWORD in text]
    assert not [text for text in (*said[:2], *context) if address in text]


def test_a_step_that_fails(private: Private, registry: Registry) -> None:
    for name, data in private.index.files.items():
        private.index.files[name] = data + b"\n"
    ran = rayimage(
        private.project, "build", "--builder", "docker", "--tag", "failed", cache=private.cache, env=private.env
    )
    assert ran.returncode == 10
    assert "docker build failed at [" in ran.stderr
    assert "pip install" in ran.stderr
    assert "DO NOT MATCH THE HASHES" in ran.stderr
    assert "DOCKER_BUILDKIT=1 docker build --network host --platform linux/amd64" in ran.stderr
    assert PASSWORD not in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not (registry.root / "docker/registry/v2/repositories/team/private/_manifests/tags/failed-head").exists()


def test_images_can_stay_in_the_engine(private: Private, engine: Engine) -> None:
    arguments = ("build", "--builder", "docker", "--output", "docker", "--wheelhouse", "--tag", "here")
    built = rayimage_json(private.project, *arguments, cache=private.cache, env=private.env)
    name = built["images"]["head"]
    [inspected] = json.loads(engine.run("image", "inspect", name))
    assert inspected["Id"] == built["roles"]["head"]["platforms"]["linux/amd64"]["config"]
    assert engine.run("run", "--rm", name, "sh", "-c", "pwd; cat main.py") == "/home/ray/app\nprint('hello')\n"


@pytest.mark.parametrize(
    ("part", "answer", "said"),
    [
        ("builder.find_buildkit", None, "building without BuildKit"),
        # The stand-in has uv outside of its Python environment, as rayproject/ray has it.
        ("dockerfile._installer", ("uv", "/usr/local/bin/uv"), "docker build"),
    ],
    ids=["classic builder", "uv"],
)
def test_without_buildkit_or_without_pip_the_image_is_the_same(
    part: str, answer: Any, said: str, private: Private, engine: Engine, tmp_path: Path
) -> None:
    """In this process, so that what is found on this machine and in the base can be replaced."""
    project = InProcess(private.project, private.cache)
    env = {**private.env, "DOCKER_CONFIG": str(tmp_path / "docker")}  # BuildKit's CLI writes there
    with mock.patch(f"rayimage.builders.docker.{part}", return_value=answer):
        ran = project.run("build", "--builder", "docker", "--tag", "other", env=env)
    assert ran.code == 0, ran.err
    assert said in ran.err
    direct = project.run("build", "--tag", "direct", env=env)
    files = []
    for image in (ran.out.strip(), direct.out.strip()):
        engine.run("pull", "--quiet", image)
        files.append(comparable(image_files(engine, image)))
    differ = {path: [each.get(path) for each in files] for path in files[0].keys() | files[1].keys()}
    assert not {path: there for path, there in differ.items() if there[0] != there[1]}


def test_an_engine_that_is_not_there(private: Private, tmp_path: Path) -> None:
    env = {**private.env, "DOCKER_HOST": f"unix://{tmp_path}/no.sock"}
    ran = rayimage(private.project, "build", "--builder", "docker", cache=private.cache, env=env)
    assert ran.returncode == 10
    assert "no Docker Engine answers" in ran.stderr
    assert "Traceback" not in ran.stderr
