"""Those who build: rayimage, docker build with uv or with pip, buildah."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.contenders.buildah import Buildah
from benchmarks.contenders.contender import Contender, Machine, Site, World
from benchmarks.contenders.direct import Rayimage
from benchmarks.contenders.docker import ENGINE_OPTIONS, Docker

__all__ = ["CONTENDERS", "ENGINE_OPTIONS", "Contender", "Docker", "Machine", "Site", "World"]

CONTENDERS: Mapping[str, Contender] = {
    "rayimage": Rayimage(),
    "docker-uv": Docker(installer="uv"),
    "docker-pip": Docker(installer="pip"),
    "buildah-uv": Buildah(),
}
