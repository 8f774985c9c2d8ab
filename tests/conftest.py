"""The parts that integration and end-to-end tests need; a test whose part cannot be had is skipped, and says which."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
from hypothesis import settings
from uv import find_uv_bin

from tests.support import base
from tests.support.base import BaseLayout
from tests.support.services import Engine, MissingPartError, Registry, running_engine, running_registry

settings.register_profile("rayimage", deadline=None)  # a time is no property: machines are busy, now and then
settings.load_profile("rayimage")


@pytest.fixture(scope="session")
def registry() -> Iterator[Registry]:
    """Debian's docker-registry on a free loopback port, empty at first."""
    try:
        with running_registry() as running:
            yield running
    except MissingPartError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """A Docker Engine: the one that answers already, or one of our own."""
    try:
        with running_engine() as running:
            yield running
    except MissingPartError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def base_layout() -> BaseLayout:
    """The stand-in base as an OCI layout."""
    try:
        return base.standin_layout()
    except MissingPartError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def ray_base() -> str:
    """The base that examples are built on: RAYIMAGE_TEST_BASE, else the stand-in."""
    try:
        return base.base_reference()
    except MissingPartError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def package_index() -> None:
    """Whatever index uv is configured for here, if it answers."""
    command = [find_uv_bin(), "pip", "compile", "--quiet", "--no-header", "--no-cache", "-"]
    try:
        subprocess.run(command, input="packaging", text=True, capture_output=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"package index: uv cannot resolve against one ({type(error).__name__})")
