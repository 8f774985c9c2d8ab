from __future__ import annotations

import os
from pathlib import Path

import pytest

from rayimage.builders.docker.buildkit import BuildKit, failed_step, find_buildkit
from rayimage.errors import EngineError
from rayimage.model.platform import Platform

AMD64 = Platform.parse("linux/amd64")
OUTPUT = """\
#1 [internal] load build definition from Dockerfile
#1 sha256:59d780fb0d93990bf96b207081ef1609066ac84f32a20c9391d2dd6d773f6736
#1 DONE 0.0s
#4 [stage-0 2/3] RUN --mount=type=secret,id=index,target=/dev/index python -m pip install --requirement x
#5 [stage-0 3/3] COPY code/ /home/ray/app/
#4 0.091 Looking in indexes: https://user:secret@packages.example.com/simple
#4 0.100
#5 0.200 something else
#4 8.298 ERROR: No matching distribution found for holidays==0.109
#4 ERROR: executor failed running [/bin/sh -c python -m pip]: exit code: 1
------
 > [stage-0 2/3] RUN python -m pip install:
------
executor failed running [/bin/sh -c python -m pip]: exit code: 1
"""


def program(directory: Path, text: str) -> Path:
    directory.mkdir(exist_ok=True)
    file = directory / "docker"
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return file


def test_the_failed_step_is_found_among_others() -> None:
    step = failed_step(OUTPUT.splitlines())
    assert step is not None
    assert step.name.startswith("[stage-0 2/3] RUN")
    assert step.output[-1] == "ERROR: No matching distribution found for holidays==0.109"
    assert step.cause.endswith("exit code: 1")
    assert "something else" not in step.output


def test_a_failure_before_the_first_step_is_no_step() -> None:
    assert failed_step(["error during connect: no route"]) is None


def test_the_first_cli_that_can_drive_buildkit_is_taken(tmp_path: Path) -> None:
    program(tmp_path / "broken", "echo 'the buildx component is missing' >&2; exit 1")
    program(tmp_path / "classic", "echo '--tag list'")
    there = program(tmp_path / "good", 'test "$DOCKER_BUILDKIT" = 1 && echo "--secret --load --builder string"')
    path = os.pathsep.join(str(tmp_path / name) for name in ("missing", "broken", "classic", "good"))
    found = find_buildkit({"PATH": path})
    assert found == BuildKit(program=str(there), options=("--load", "--builder=default"))


def test_a_build_gives_the_image_and_passes_secrets_by_file(tmp_path: Path) -> None:
    log = tmp_path / "log"
    cli = program(
        tmp_path / "bin",
        f"""echo "$@" > {log}
for word; do case $word in --iidfile=*) echo sha256:abc > "${{word#--iidfile=}}";; esac; done
echo '#1 DONE'""",
    )
    heard: list[str] = []
    build = BuildKit(program=str(cli), options=("--load",)).build
    assert build(tmp_path, AMD64, {"index": tmp_path / "i"}, ["HTTP_PROXY"], heard.append) == "sha256:abc"
    assert heard == ["#1 DONE"]
    words = log.read_text().split()
    assert words[:3] == ["build", "--progress=plain", "--load"]
    assert "--platform=linux/amd64" in words
    assert f"id=index,src={tmp_path / 'i'}" in words
    assert words[words.index("--build-arg") + 1] == "HTTP_PROXY"
    assert words[-1] == str(tmp_path)


def test_a_failed_build_says_which_step_why_and_how_to_run_it_again(tmp_path: Path) -> None:
    (tmp_path / "said").write_text(OUTPUT)
    cli = program(tmp_path / "bin", f"cat {tmp_path}/said >&2; exit 1")
    with pytest.raises(EngineError) as caught:
        BuildKit(program=str(cli)).build(tmp_path, AMD64, {}, [], lambda _: None)
    error = caught.value
    assert error.what == "docker build failed at [stage-0 2/3] RUN python -m pip install --requirement x"
    assert "No matching distribution found" in error.why
    assert "user:secret" not in error.why
    assert "--wheelhouse" in error.fix
    assert f"DOCKER_BUILDKIT=1 docker build --network host --platform linux/amd64 {tmp_path}" in error.fix


def test_a_build_that_says_nothing_is_an_error(tmp_path: Path) -> None:
    cli = program(tmp_path / "bin", "exit 7")
    with pytest.raises(EngineError, match="exit code 7"):
        BuildKit(program=str(cli)).build(tmp_path, AMD64, {}, [], lambda _: None)


def test_a_build_without_an_image_is_an_error(tmp_path: Path) -> None:
    cli = program(tmp_path / "bin", "echo all is well")
    with pytest.raises(EngineError, match="all is well"):
        BuildKit(program=str(cli)).build(tmp_path, AMD64, {}, [], lambda _: None)


def test_a_cli_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="cannot be started"):
        BuildKit(program=str(tmp_path / "none")).build(tmp_path, AMD64, {}, [], lambda _: None)
