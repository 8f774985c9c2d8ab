"""Wheels of packages that exist as source only: built once, kept by key here and in the repository.

First on this machine, in isolation: what comes out for every platform is the same everywhere. What compiles, or cannot
be built here, is built in the base.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Protocol

from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, NormalizedName, parse_wheel_filename
from packaging.version import Version

from rayimage.builders.shelf import WHEEL, Shelf
from rayimage.builders.sources import fetch_source
from rayimage.builders.wheel_build import build_wheel, fits_everywhere, last_words, rewrite_wheel
from rayimage.builders.wheel_checks import check_built_wheel
from rayimage.builders.wheelhouse import Wheelhouse
from rayimage.cachedir import CacheDir, Kind
from rayimage.errors import EngineError, WheelError
from rayimage.model.building import BuiltWheel
from rayimage.model.digest import Digest
from rayimage.model.inventory import Inventory
from rayimage.model.lock import LockedSource, LockedWheel
from rayimage.model.manifest import canonical_json
from rayimage.model.progress import SILENT, Progress

__all__ = ["BuildInBase", "SourceWheels"]

_FORMAT: Final = 1
"""Version of how wheels come about here; part of their keys."""


class BuildInBase(Protocol):
    """Builds a tree inside a base; see ``builders.docker.build_wheel``."""

    def identity(self, base: Inventory) -> dict[str, object]:
        """What a wheel depends on besides its source."""
        ...

    def absence(self) -> EngineError | None:
        """Why nothing can be built in a base here; None when it can."""
        ...

    def build(self, base: Inventory, tree: Path, package: Path, made: Path) -> tuple[Path | None, str]:
        """The wheel, None when the build fails, and what was said."""
        ...


@dataclass(frozen=True, kw_only=True)
class SourceWheels:
    """A ``BuildWheel`` for one base; ``shelf`` is where wheels are shared.

    ``accounts`` are URLs with credentials for git, ``environment`` is added to uv's, ``directory`` is where uv
    looks for its configuration.
    """

    cache_dir: Path
    base: Inventory
    wheelhouse: Wheelhouse
    in_base: BuildInBase
    directory: Path
    shelf: Shelf = field(default_factory=Shelf)
    accounts: Sequence[str] = field(default=(), repr=False)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    progress: Progress = SILENT

    def __call__(self, name: NormalizedName, version: Version, source: LockedSource) -> BuiltWheel:
        """See ``BuildWheel``."""
        path = self._find(name, version, source, None) or self._make(name, version, source)
        return BuiltWheel(path=path, filename=path.name, digest=Digest.of_file(path), size=path.stat().st_size)

    def locked(self, wheel: LockedWheel) -> Path:
        """The wheel that was locked: from the cache, the repository, or built anew.

        Raises WheelError when what is built is another one.
        """
        assert wheel.source is not None  # noqa: S101
        path = self._find(wheel.name, wheel.version, wheel.source, wheel.digest)
        if path is None:
            path = self._make(wheel.name, wheel.version, wheel.source)
            made = Digest.of_file(path)
            if made != wheel.digest:
                raise WheelError(
                    f"{wheel.filename} is not built here as it was locked",
                    why=f"{wheel.source} gives {path.name} with {made}, locked is"
                    f" {wheel.digest}: its build backend or compiler is another one now",
                    fix="run `rayimage lock` where the repository may be pushed to, so that the locked wheel is there;"
                    f" or take the new one: rayimage lock --upgrade-package {wheel.name}",
                )
        return path

    def _find(self, name: NormalizedName, version: Version, source: LockedSource, digest: Digest | None) -> Path | None:
        """The wheel as it was built before, here or by others; with ``digest``, no other one."""
        keys, cache = self._keys(name, version, source), CacheDir(self.cache_dir)
        for key in keys:
            place = cache.path(Kind.SOURCE_WHEELS, key.hex)
            for path in place.glob("*.whl") if cache.use(place) else ():
                if digest in (None, Digest.of_file(path)):
                    return path
        for key in keys:
            with cache.scratch("source-wheels") as scratch:
                if found := self.shelf.find(WHEEL, key, digest, scratch):
                    return self._keep(key, found.path)
        return None

    def _keys(self, name: NormalizedName, version: Version, source: LockedSource) -> tuple[Digest, Digest]:
        """Of a wheel for every platform, and of one for the base."""
        known = {"format": _FORMAT, "name": name, "version": str(version), "source": source.identity}
        built_in = {**known, "in": self.in_base.identity(self.base)}
        return Digest.of(canonical_json(known)), Digest.of(canonical_json(built_in))

    def _make(self, name: NormalizedName, version: Version, source: LockedSource) -> Path:
        with TemporaryDirectory(prefix="rayimage-build-", ignore_cleanup_errors=True) as scratch:
            work = Path(scratch)
            _, package = fetch_source(
                name, version, source, into=work / "tree", wheelhouse=self.wheelhouse, accounts=self.accounts
            )
            self.progress.note(f"building {name} {version} from {source}")
            wheel, words = build_wheel(package, work / "here", directory=self.directory, environment=self.environment)
            words = words.replace(str(work), "…")
            anywhere = wheel is not None and fits_everywhere(_tags(wheel, name, version, source))
            if not anywhere:
                why = words if wheel is None else f"{wheel.name} was compiled for this machine"
                wheel = self._in_base(name, version, source, work, why)
            assert wheel is not None  # noqa: S101
            _tags(wheel, name, version, source)
            key = self._keys(name, version, source)[0 if anywhere else 1]
            check_built_wheel(wheel, f"{name} {version}", self.base, [str(work), *self._home()])
            with CacheDir(self.cache_dir).scratch("source-wheels") as kept:
                rewrite_wheel(wheel, kept / wheel.name)
                path = self._keep(key, kept / wheel.name)
        self.shelf.put(WHEEL, key, path)
        return path

    def _in_base(self, name: NormalizedName, version: Version, source: LockedSource, work: Path, here: str) -> Path:
        """Build in the base, from a copy of the source without what the first try left in it."""
        if error := self.in_base.absence():
            raise EngineError(
                f"{name} {version} has to be built in the base, and {error.what}",
                why=f"{error.why}\non this machine: {last_words(here)}",
                fix=f"{error.fix.partition(';')[0]}; or lock where there is an Engine: from there the wheel is pushed",
            ) from error
        self.progress.note(f"building {name} {version} in the base")
        tree, package = fetch_source(
            name, version, source, into=work / "clean", wheelhouse=self.wheelhouse, accounts=self.accounts
        )
        wheel, words = self.in_base.build(self.base, tree, package, work / "in-base")
        if wheel is None:
            raise WheelError(
                f"{name} {version} could not be built from {source}",
                why=f"in the base: {last_words(words, 12)}\non this machine: {last_words(here, 4)}",
                fix='name what its build lacks: build-packages = ["gcc", "libc6-dev"], say; or allow a version that has'
                " a wheel",
            )
        return wheel

    def _home(self) -> list[str]:
        """The user's directory, where that says anything: not /root, and not that of the base's own user."""
        home = Path.home()
        same = Path(self.base.layout.prefix).is_relative_to(home)
        return [] if same or len(home.parts) < 3 else [f"{home}{os.sep}"]

    def _keep(self, key: Digest, wheel: Path) -> Path:
        """Move a wheel into the cache; one that is there for the key with another name gives way."""
        place = CacheDir(self.cache_dir).path(Kind.SOURCE_WHEELS, key.hex)
        place.mkdir(parents=True, exist_ok=True)
        for other in place.glob("*.whl"):
            if other.name != wheel.name:
                other.unlink(missing_ok=True)
        wheel.chmod(0o644)
        return wheel.replace(place / wheel.name)


def _tags(wheel: Path, name: NormalizedName, version: Version, source: LockedSource) -> frozenset[Tag]:
    """The tags of a wheel that must be one of ``name`` and ``version``."""
    try:
        found, number, _, tags = parse_wheel_filename(wheel.name)
    except InvalidWheelFilename as error:
        raise WheelError(f"{source} builds no wheel", why=str(error), fix="mend its build backend") from error
    if (found, number) != (name, version):
        raise WheelError(
            f"{source} is not {name} {version}",
            why=f"the wheel that is built of it is {wheel.name}",
            fix=f"require {found}=={number}, or see how its version is computed",
        )
    return tags
