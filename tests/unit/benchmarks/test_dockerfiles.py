from __future__ import annotations

from dataclasses import replace

from benchmarks.dockerfiles import Installer, dockerfile, warm_up

UV, PIP = Installer.uv("registry.example.com/uv:1"), Installer.pip()


def test_uv() -> None:
    assert dockerfile("registry.example.com/ray:2", UV, "app") == (
        """\
FROM registry.example.com/ray:2
ARG INDEX_URL
WORKDIR /home/ray/app
RUN \\
    --mount=type=cache,id=bench-uv,target=/home/ray/.cache/uv,uid=1000,gid=100 \\
    --mount=type=bind,from=registry.example.com/uv:1,source=/uv,target=/usr/local/bin/uv \\
    --mount=type=bind,source=requirements.txt,target=/tmp/requirements.txt \\
    UV_LINK_MODE=copy UV_DEFAULT_INDEX=$INDEX_URL \
uv pip install --python $(command -v python) --no-deps --require-hashes -r /tmp/requirements.txt
ENV PYTHONPATH=/home/ray/app
COPY --chown=1000:100 app ./app
"""
    )


def test_pip_has_a_cache_of_its_own_and_compiles_nothing() -> None:
    text = dockerfile("base", PIP, "app")
    assert "id=bench-pip,target=/home/ray/.cache/pip" in text
    assert "pip install --no-compile --no-deps --require-hashes" in text
    assert "uv" not in text


def test_packages_come_before_code() -> None:
    for installer in (UV, PIP):
        text = dockerfile("base", installer, "app")
        assert text.index("RUN") < text.index("COPY")


def test_requirements_as_a_layer_for_a_builder_that_does_not_look_into_mounts() -> None:
    text = dockerfile("base", replace(UV, copied=True), "app")
    assert "source=requirements.txt" not in text
    assert text.index("COPY requirements.txt /tmp/\n") < text.index("RUN")


def test_warm_up_uses_the_same_cache_and_leaves_no_package() -> None:
    text = warm_up("base", UV)
    assert UV.run("x").split("\\\n")[1] in text
    assert text.count("uv pip install") == 2
    for state in ("before", "after"):
        assert f"--target /tmp/{state} --require-hashes -r /tmp/{state}.txt" in text
    assert text.endswith("&& rm -rf /tmp/before /tmp/after\n")
