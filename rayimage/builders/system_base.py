"""A base with its system packages and the user's steps: layers that are made once in the Engine, then used as they are.

A layer's key is a digest of all that it was made of, the layer below included. What is locked is the layer itself, by
digest: apt gives other packages tomorrow.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

from rayimage.base import ResolvedBase
from rayimage.builders.remote_cache.marks import LAYER_DIFF_ID
from rayimage.builders.shelf import STEP, Shelf
from rayimage.cachedir import CacheDir, Kind
from rayimage.errors import LockError
from rayimage.image.assemble import AddedLayer, assemble
from rayimage.image.plan import ConfigChange
from rayimage.layers import collect_code
from rayimage.model import media
from rayimage.model.content import ByteStream, ContentSource
from rayimage.model.descriptor import Descriptor
from rayimage.model.digest import Digest
from rayimage.model.manifest import Index, Manifest
from rayimage.model.progress import SILENT, Progress
from rayimage.model.system import LockedStep, RunStep, SystemLock, SystemSettings, SystemStep

__all__ = ["Executor", "StepResult", "SystemBases", "steps_of"]

_LAYER: Final = "layer.tar.gz"
_PACKAGES: Final = "io.rayimage.system.packages"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """What executing a step gave, besides the layer."""

    diff_id: Digest
    packages: tuple[tuple[str, str], ...]


class Executor(Protocol):
    """Executes steps; see ``builders.docker.execute``."""

    def __call__(
        self, base: ResolvedBase, below: Digest | None, step: SystemStep, key: Digest, target: Path
    ) -> StepResult:
        """Run ``step`` on ``base`` and write its layer to ``target``; ``below`` is the key of the step before.

        Raises EngineError when no Engine answers or the step fails, ConfigError when it does what it must not.
        """
        ...


def steps_of(packages: Sequence[str], settings: SystemSettings, runs: Sequence[RunStep]) -> tuple[SystemStep, ...]:
    """The steps of a role: packages first, then the user's. Raises UsageError for inputs that cannot be read."""
    steps = []
    if packages:
        wanted = tuple(sorted(packages))
        steps.append(
            SystemStep(identity={"packages": list(wanted), **settings.identity()}, packages=wanted, settings=settings)
        )
    for run in runs:
        identity = {"script": run.script, "user": run.user, "inputs": dict(_inputs(run))}
        steps.append(SystemStep(identity=identity | {"secrets": [secret.name for secret in run.secrets]}, run=run))
    return tuple(steps)


def _inputs(run: RunStep) -> Iterator[tuple[str, str]]:
    """Every file that a step sees, and what is in it; git's ignored ones are none of them."""
    for name in run.inputs:
        path = run.root / name
        files = [f"{name}/{file}" for file in collect_code(path).files] if path.is_dir() else [name]
        for file in files:
            mode = "x" if (run.root / file).stat().st_mode & 0o100 else "-"
            yield file, f"{mode} {Digest.of_file(run.root / file)}"


class SystemBases:
    """Puts steps on bases: from the cache, the repository, or by executing them."""

    def __init__(self, cache_dir: Path, shelf: Shelf, execute: Executor, progress: Progress = SILENT) -> None:
        self._cache = CacheDir(cache_dir)
        self._shelf = shelf
        self._execute = execute
        self._progress = progress

    def make(
        self, base: ResolvedBase, steps: Sequence[SystemStep], locked: SystemLock | None
    ) -> tuple[ResolvedBase, SystemLock]:
        """``base`` with the layers of ``steps``, and what to lock.

        With ``locked``, exactly the layers in it: raises LockError when one cannot be had any more.
        """
        current, below, done = base, None, []
        for number, step in enumerate(steps):
            key = step.key(below or base.digest)
            wanted = locked.steps[number].layer if locked else None
            found = self._find(step, key, wanted)
            if found is None:
                found = self._run(current, below, step, key)
                if wanted not in (None, found.layer):
                    raise LockError(
                        f"{step.title}: the layer that was locked cannot be made again",
                        why=f"locked is {wanted}, this time it is {found.layer}; neither this machine nor the"
                        " repository has the one that was locked",
                        fix="run `rayimage lock` and commit it, where the repository may be pushed to",
                    )
            done.append(found)
            current, below = self._on(base, done), key
        lock = SystemLock(reference=base.text, base=base.digest, image=current.digest, steps=tuple(done))
        return current, lock

    def _find(self, step: SystemStep, key: Digest, wanted: Digest | None) -> LockedStep | None:
        place = self._place(key)
        with suppress(OSError, ValueError, KeyError, TypeError):
            known = json.loads((place / "step.json").read_bytes())
            found = _locked(step, key, place / _LAYER, str(known["diff-id"]), known["packages"])
            if wanted in (None, found.layer) and str(found.layer) == known["layer"] and self._cache.use(place):
                return found
        with self._cache.scratch("system") as scratch:
            shelved = self._shelf.find(STEP, key, wanted, scratch)
            if shelved is None:
                return None
            with suppress(ValueError, KeyError, TypeError):
                notes = shelved.annotations
                found = _locked(step, key, shelved.path, notes[LAYER_DIFF_ID], json.loads(notes[_PACKAGES]))
                self._keep(found, shelved.path)
                return found
        return None

    def _run(self, base: ResolvedBase, below: Digest | None, step: SystemStep, key: Digest) -> LockedStep:
        with self._cache.scratch("system") as scratch:
            layer = scratch / _LAYER
            result = self._execute(base, below, step, key, layer)
            found = _locked(step, key, layer, str(result.diff_id), result.packages)
            self._keep(found, layer)
        notes = {LAYER_DIFF_ID: str(found.diff_id), _PACKAGES: json.dumps(found.packages)}
        self._shelf.put(STEP, key, self._place(key) / _LAYER, notes)
        return found

    def _place(self, key: Digest) -> Path:
        return self._cache.path(Kind.SYSTEM, key.hex)

    def _keep(self, step: LockedStep, layer: Path) -> None:
        place = self._place(step.key)
        place.mkdir(parents=True, exist_ok=True)
        data = {"layer": str(step.layer), "diff-id": str(step.diff_id), "packages": step.packages}
        layer.replace(place / _LAYER)
        (place / "step.json").write_text(json.dumps(data), encoding="utf-8")

    def _on(self, base: ResolvedBase, steps: Sequence[LockedStep]) -> ResolvedBase:
        """``base`` with the layers of ``steps`` as a base of its own."""
        added = [
            AddedLayer(
                descriptor=Descriptor(media_type=media.OCI_LAYER_GZIP, digest=step.layer, size=step.size),
                diff_id=step.diff_id,
                created_by=f"rayimage {step.title}",
            )
            for step in steps
        ]
        change = ConfigChange(created=base.config.created, workdir=base.config.workdir or "/")
        image = assemble(base.manifest, base.config, added, change)
        files = {step.layer: self._place(step.key) / _LAYER for step in steps}
        return replace(
            base,
            digest=image.manifest.digest,
            index_digest=None,
            manifest=image.manifest,
            config=image.config,
            source=_Layered(base.source, files),
            made_on=base.digest,
        )


def _locked(step: SystemStep, key: Digest, layer: Path, diff_id: str, packages: object) -> LockedStep:
    pairs = tuple((str(name), str(version)) for name, version in packages)  # type: ignore[attr-defined]
    return LockedStep(
        title=step.title,
        key=key,
        layer=Digest.of_file(layer),
        size=layer.stat().st_size,
        diff_id=Digest.parse(diff_id),
        packages=pairs,
    )


class _Layered:
    """A base's content, and layers of this machine."""

    def __init__(self, below: ContentSource, files: dict[Digest, Path]) -> None:
        self._below = below
        self._files = files

    def get_manifest(self, target: str) -> Manifest | Index:
        return self._below.get_manifest(target)

    def open_blob(self, descriptor: Descriptor) -> AbstractContextManager[ByteStream]:
        file = self._files.get(descriptor.digest)
        return file.open("rb") if file else self._below.open_blob(descriptor)
