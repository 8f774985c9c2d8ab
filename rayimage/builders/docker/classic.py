"""The Engine's own builder, through the docker SDK: for Engines and machines without BuildKit.

It knows no mounts and no secrets, so the wheels are part of its context and no index is needed. A build that fails
answers with status 200 and says so in the stream (docker/docker-py#1772), as pushes and loads do.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rayimage.builders.docker.failure import FailedStep, reproducing, step_error
from rayimage.errors import EngineError
from rayimage.model.platform import Platform
from rayimage.specs.findings import without_secrets

if TYPE_CHECKING:
    import docker

__all__ = ["build_classic", "read_build"]


def build_classic(
    client: docker.DockerClient,
    context: Path,
    platform: Platform,
    arguments: Iterable[str],
    said: Callable[[str], object],
) -> str:
    """Build the Dockerfile in ``context``; gives the image's ID. Raises EngineError as BuildKit's build does."""
    from docker.errors import DockerException
    from requests.exceptions import RequestException

    try:
        stream = client.api.build(
            path=str(context),
            rm=True,
            forcerm=True,
            decode=True,
            platform=str(platform),
            network_mode="host",
            buildargs={name: os.environ[name] for name in arguments},
        )
        return read_build(stream, again=reproducing(context, buildkit=False, platform=platform), said=said)
    except (DockerException, RequestException) as error:
        raise EngineError(
            "the Docker Engine did not build", why=without_secrets(str(error)), fix="see the Engine's log"
        ) from error


def read_build(messages: Iterable[Mapping[str, Any]], *, again: str, said: Callable[[str], object]) -> str:
    """The image's ID out of a build's messages; raises EngineError for an error among them, or when there is no ID."""
    step, output, identity = "", [""], ""
    for message in messages:
        if "error" in message:
            failed = FailedStep(name=step, output=tuple(output), cause=str(message["error"]))
            raise step_error(failed, output, code=1, again=again)
        identity = str(message.get("aux", {}).get("ID", identity))
        for line in str(message.get("stream", "")).splitlines():
            clean = without_secrets(line)
            if clean.startswith("Step "):
                step, output = clean, []
            output.append(clean)
            said(clean)
    if not identity:
        raise step_error(None, output, code=0, again=again)
    return identity
