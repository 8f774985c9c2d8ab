"""Steps on a base, executed in the Engine: apt's packages, and the user's own."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from rayimage.base import ResolvedBase, read_inventory
from rayimage.builders.docker.apt import apt_files, apt_script
from rayimage.builders.docker.capture import Changes, changes_of, write_layer
from rayimage.builders.docker.environment import in_container
from rayimage.builders.docker.load import connect
from rayimage.builders.docker.run import find_or_bring
from rayimage.builders.docker.step import WORK, Ran, Step, engine_failure, run_step
from rayimage.builders.system_base import StepResult
from rayimage.builders.wheel_build import last_words
from rayimage.errors import ConfigError, EngineError
from rayimage.layers import collect_code
from rayimage.model.digest import Digest
from rayimage.model.inventory import Inventory
from rayimage.model.progress import SILENT, Progress
from rayimage.model.system import RunStep, Secret, SystemStep

if TYPE_CHECKING:
    import docker

__all__ = ["EngineSteps"]

_NAME: Final = "rayimage-system"
_INPUTS, _STEP = f"{WORK}/inputs", f"{WORK}/step.sh"
_MARK: Final = "rayimage state "
_RAY: Final = "import platform, ray; print(ray.__version__, ray.__commit__, platform.python_version())"
_SHOWN: Final = 5


class EngineSteps:
    """An ``Executor``. ``cache_dir`` keeps inventories."""

    def __init__(self, cache_dir: Path, progress: Progress = SILENT) -> None:
        self._cache_dir = cache_dir
        self._progress = progress

    def __call__(
        self, base: ResolvedBase, below: Digest | None, step: SystemStep, key: Digest, target: Path
    ) -> StepResult:
        """See ``Executor``. The container stays in the Engine as an image, for the next step."""
        from docker.errors import DockerException

        client = _connect(step)
        try:
            inventory = read_inventory(base, cache_dir=self._cache_dir, progress=self._progress)
            image = _image(client, base, below, self._progress)
            self._progress.note(step.title)
            started = time.time()
            with _prepared(image, step, inventory, base.config.user) as prepared, run_step(client, prepared) as ran:
                secrets = [path.read_bytes().strip() for path in prepared.mounts.values()]
                states = _states(ran, step, image, secrets)
                changes = changes_of(ran.container)
                _check(step, changes, states, inventory)
                try:
                    committed = str(ran.container.commit(_NAME, key.short).id)
                except DockerException as error:
                    raise engine_failure("the Docker Engine cannot keep an image", error) from error
            diff_id = write_layer(client, committed, changes, target, started, secrets)
            return StepResult(diff_id=diff_id, packages=_new_packages(states))
        finally:
            client.close()


def _connect(step: SystemStep) -> docker.DockerClient:
    try:
        return connect()
    except EngineError as error:
        raise EngineError(
            f"{step.title}: this has to run in the base, and {error.what}",
            why=f"{error.why}\nneither this machine nor the repository has the result",
            fix=f"{error.fix.partition(';')[0]}; or lock where there is an Engine: from there the result is pushed",
        ) from error


def _image(client: docker.DockerClient, base: ResolvedBase, below: Digest | None, progress: Progress) -> str:
    """What the Engine calls the base: after a step, the image that this left."""
    from docker.errors import ImageNotFound

    if below is not None:
        try:
            return str(client.images.get(f"{_NAME}:{below.short}").id)
        except ImageNotFound:
            pass
    return find_or_bring(client, base, progress)


@contextmanager
def _prepared(image: str, step: SystemStep, inventory: Inventory, user: str) -> Iterator[Step]:
    """``user`` is the base's own: an image that was committed after a step has that step's user."""
    environment, files = in_container(os.environ)
    run = step.run
    root = run is None or run.user == "root"
    owner = (0, 0) if root else (inventory.layout.uid, inventory.layout.gid)
    if run is None:
        body = apt_script(step.packages, step.settings)
        files |= apt_files(step.settings)
    else:
        body = f"mkdir -p {_INPUTS}\ncd {_INPUTS}\n/bin/sh -eu {_STEP}\n"
        files |= _files(run)
    with _secrets(run.secrets if run else ()) as mounts:
        yield Step(
            image=image,
            script=_script(body, inventory.layout.interpreter),
            user="0" if root else user or "0",
            environment={**environment, "PYTHONDONTWRITEBYTECODE": "1"},
            files=files,
            owner=owner,
            mounts=mounts,
        )


def _script(body: str, interpreter: str) -> str:
    """``body`` between two looks at the packages and at Ray, which are printed in the end; nothing is left in WORK."""
    packages = "dpkg-query --show --showformat='${Package} ${Version}\\n' 2>/dev/null || :"
    ray = f"{shlex.quote(interpreter)} -c {shlex.quote(_RAY)} 2>/dev/null || :"
    return f"""\
set -eu
look() {{
  echo '{_MARK}packages' "$1"; {packages}
  echo '{_MARK}ray' "$1"; {ray}
}}
look before > {WORK}/state
(
{body}
) </dev/null
cd /
look after >> {WORK}/state
echo
cat {WORK}/state
rm -rf {WORK}
"""


def _files(run: RunStep) -> Mapping[str, Path | bytes]:
    files: dict[str, Path | bytes] = {_STEP: f"{run.script}\n".encode()}
    for name in run.inputs:
        path = run.root / name
        inside = [f"{name}/{file}" for file in collect_code(path).files] if path.is_dir() else [name]
        files |= {f"{_INPUTS}/{file}": run.root / file for file in inside}
    return files


@contextmanager
def _secrets(secrets: Sequence[Secret]) -> Iterator[dict[str, Path]]:
    """Secrets as files to mount; raises ConfigError for one that is not there."""
    with TemporaryDirectory(prefix="rayimage-secrets-") as scratch:
        mounts = {}
        for secret in secrets:
            path = secret.file or Path(scratch) / secret.name
            if secret.variable:
                value = os.environ.get(secret.variable)
                if value is None:
                    why = f"the environment variable {secret.variable} is not set"
                    raise ConfigError(f"there is no secret {secret.name}", why=why, fix="set it")
                path.write_text(value, encoding="utf-8")
                path.chmod(0o444)
            elif not path.is_file():
                raise ConfigError(f"there is no secret {secret.name}", why=f"{path} is no file", fix="correct the path")
            mounts[f"/run/secrets/{secret.name}"] = path
        Path(scratch).chmod(0o755)
        yield mounts


def _states(ran: Ran, step: SystemStep, image: str, secrets: Sequence[bytes]) -> dict[str, list[str]]:
    """What the looks before and after saw; raises EngineError when the step failed."""
    if ran.code:
        words = ran.output.partition(_MARK)[0]
        for secret in filter(None, secrets):
            words = words.replace(secret.decode(errors="replace"), "…")
        names = "correct system-packages, or name a repository that has them under [images.ROLE.system]"
        raise EngineError(
            f"{step.title}: failed with exit code {ran.code}",
            why=last_words(words, 12),
            fix=names if step.run is None else f"try it by hand: docker run --rm -it --network host {image} /bin/sh",
        )
    states: dict[str, list[str]] = {}
    for part in ran.output.split(f"\n{_MARK}")[1:]:
        name, *lines = part.splitlines()
        states[name] = lines
    return states


def _check(step: SystemStep, changes: Changes, states: Mapping[str, list[str]], inventory: Inventory) -> None:
    """Raise ConfigError for a step that changed what is the lock's: Python's packages, and Ray."""
    layout, ray = inventory.layout, inventory.ray
    own = {file.path for file in ray.files} if ray else set()
    places = (f"{layout.purelib}/", f"{layout.platlib}/")
    touched = [path for path in (*changes.there, *changes.gone) if path.startswith(places) or path in own]
    if touched:
        shown = "\n".join(touched[:_SHOWN]) + ("\n…" if len(touched) > _SHOWN else "")
        raise ConfigError(
            f"{step.title}: a step must not change Python's packages",
            why=f"it changed {len(touched)} paths, among them\n{shown}",
            fix="require these packages instead (requirements), so that they are locked; then leave them out here",
        )
    before, after = (states.get(f"ray {when}", []) for when in ("before", "after"))
    if before != after:
        raise ConfigError(
            f"{step.title}: a step must not change Ray or Python",
            why=f"Ray, its commit and Python were {' '.join(before)}, and are {' '.join(after) or 'gone'}",
            fix="choose another base instead",
        )


def _new_packages(states: Mapping[str, list[str]]) -> tuple[tuple[str, str], ...]:
    """The packages that are new or have another version."""
    lines = set(states.get("packages after", ())) - set(states.get("packages before", ()))
    return tuple(sorted((name, version) for name, _, version in (line.partition(" ") for line in lines) if version))
