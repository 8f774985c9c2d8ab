"""A built image tried in the Engine, before anything is tagged: what a cluster will do with it first.

What KubeRay needs of an image: bash, that its commands are wrapped in; wget, of its readiness and liveness probes; and
``ray health-check``, which the init container of every worker runs in 256 MiB (its default limit).
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from packaging.utils import NormalizedName, canonicalize_name

from rayimage.builders.direct import BuiltImage
from rayimage.builders.docker.load import connect, engine_architecture, load
from rayimage.builders.docker.step import Step, run_step
from rayimage.builders.wheel_build import last_words
from rayimage.model.progress import SILENT, Progress

if TYPE_CHECKING:
    import docker

__all__ = ["Broken", "SmokeTest", "unmet"]

_MARK: Final = "rayimage smoke "
_INIT_MEMORY: Final = 256 << 20
# A port on which nobody answers: what matters is that the program starts, and is not killed.
_HEALTH: Final = "timeout 60 ray health-check --address 127.0.0.1:9"
_KILLED: Final = 137
_CHECK: Final = re.compile(r"^(\S+) \S+ (?:requires|has requirement) ([A-Za-z0-9][A-Za-z0-9._-]*)", re.MULTILINE)
_IMPORTS: Final = """\
import importlib, json, sys, traceback
failed = {}
for name in json.loads(sys.argv[1]):
    print("rayimage importing", name, flush=True)
    try:
        importlib.import_module(name)
    except BaseException as error:
        failed[name] = (traceback.format_exception_only(type(error), error) or [""])[-1].strip()
print("\\nrayimage imported", json.dumps(failed), flush=True)
"""

Broken = frozenset[tuple[NormalizedName, NormalizedName]]
"""Pairs of a package and another one that it requires and does not find as it should."""


class SmokeTest:
    """Tries images in the Engine of DOCKER_HOST; raises EngineError when none answers. Close it."""

    def __init__(self, progress: Progress = SILENT) -> None:
        self._client = connect()
        self._progress = progress

    @property
    def architecture(self) -> str:
        """What the Engine runs, in OCI's words."""
        return engine_architecture(self._client)

    def close(self) -> None:
        """End the connection."""
        self._client.close()

    def faults(
        self, image: BuiltImage, *, interpreter: str, ray: str, modules: Sequence[str], known: Broken
    ) -> tuple[str, ...]:
        """What does not work in ``image``, one fault each; ``known`` is what the base does not meet itself.

        Raises EngineError when the Engine cannot have or run the image.
        """
        with _loaded(self._client, image, self._progress) as name:
            script = _script(interpreter, modules)
            with run_step(self._client, Step(image=name, script=script)) as ran:
                parts = dict(part.partition("\n")[::2] for part in ran.output.split(_MARK)[1:])
            faults = [*_ray(parts, ray), *_programs(parts), *_imports(parts.get("imports", ""), modules)]
            new = sorted(unmet(parts.get("pip", "")) - known)
            faults += [f"pip check: {package} does not find {required} as it requires it" for package, required in new]
            health = f"{_HEALTH} >/tmp/health 2>&1; code=$?; cat /tmp/health; exit $code"
            with run_step(self._client, Step(image=name, script=health, memory=_INIT_MEMORY)) as ran:
                faults += _health(ran.code, ran.output)
        return tuple(faults)


def unmet(text: str) -> Broken:
    """What ``pip check`` complains about."""
    return frozenset((canonicalize_name(name), canonicalize_name(other)) for name, other in _CHECK.findall(text))


@contextmanager
def _loaded(client: docker.DockerClient, image: BuiltImage, progress: Progress) -> Iterator[str]:
    """The image in the Engine, under a name that goes again."""
    name = f"rayimage-smoke:{image.manifest.digest.short}"
    load(image, name, client, progress)
    try:
        yield name
    finally:
        client.images.remove(name, force=True)


def _script(interpreter: str, modules: Sequence[str]) -> str:
    python = shlex.quote(interpreter)
    imports = f"{python} -c {shlex.quote(_IMPORTS)} {shlex.quote(json.dumps(list(modules)))}"
    return f"""\
echo '{_MARK}version'; ray --version 2>&1
echo '{_MARK}programs'; for name in bash wget; do command -v "$name" >/dev/null || echo "$name"; done
echo '{_MARK}pip'; {python} -m pip check 2>&1
echo '{_MARK}imports'; {imports} 2>&1; echo "ended $?"
exit 0
"""


def _ray(parts: dict[str, str], ray: str) -> Iterator[str]:
    said = parts.get("version", "").strip()
    if not re.search(rf"\bversion {re.escape(ray)}$", said, re.MULTILINE):
        yield f"ray --version: {last_words(said, 3) or 'says nothing'}; expected {ray}"


def _programs(parts: dict[str, str]) -> Iterator[str]:
    for name in parts.get("programs", "bash\nwget").split():
        use = "KubeRay starts Ray through it" if name == "bash" else "KubeRay's probes use it"
        yield f"{name} is not there: {use}"


def _imports(text: str, modules: Sequence[str]) -> Iterator[str]:
    """Modules that cannot be imported. Libraries of a GPU's driver come with the node, not with the image."""
    found = re.search(r"^rayimage imported (\{.*\})$", text, re.MULTILINE)
    if found is None:
        last = re.findall(r"^rayimage importing (\S+)$", text, re.MULTILINE)
        if modules:
            yield f"import {last[-1] if last else modules[0]}: Python ended: {last_words(text, 3)}"
        return
    for name, error in json.loads(found[1]).items():
        if not re.search(r"libcuda\.so|libnvidia-ml\.so|NVIDIA driver", error):
            yield f"import {name}: {error}"


def _health(code: int, output: str) -> Iterator[str]:
    if code == _KILLED:
        yield "ray health-check: killed in 256 MiB, in which KubeRay's init container runs it"
    elif "Traceback" in output and not re.search(r"RpcError|Unavailable|timed out|Deadline", output, re.IGNORECASE):
        yield f"ray health-check: {last_words(output, 3)}"
