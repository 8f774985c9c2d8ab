"""The uv engine: one ``uv pip compile`` for each question, for the base's Python from any host.

uv takes the versions in its output file as preferences, also from a pylock.toml that has nothing but names and
versions, so one run both prefers the base and answers with hashes and URLs. Its configuration (uv.toml, UV_*
variables) counts for indexes and credentials; its view of the host does not.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from packaging.pylock import Package, PackageArchive, PackageSdist, PackageWheel, Pylock, PylockValidationError
from packaging.utils import NormalizedName
from packaging.version import Version

from rayimage.errors import LockError
from rayimage.lock import explain, stubs, uv_log
from rayimage.lock._toml import loads, string
from rayimage.lock.engine import PackageFile, Question, ResolvedPackage
from rayimage.lock.request import Options
from rayimage.lock.target import Target
from rayimage.model.digest import Digest
from rayimage.model.lock import LockedSource
from rayimage.processes import run_captured
from rayimage.specs import Source
from rayimage.specs.exporters import find_uv

__all__ = ["UvEngine", "constraints_text", "indexes_text", "parse_pylock", "platform_tag", "seed_text"]

# The glibc minors of uv's manylinux targets (`uv pip compile --help`, --python-platform), the same since uv 0.9.
_MANYLINUX: Final = (17, 28, *range(31, 41))
# What would let the host's environment in.
_HOST_VARIABLES: Final = frozenset(
    {"VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH", "UV_PYTHON", "UV_SYSTEM_PYTHON", "UV_CUSTOM_COMPILE_COMMAND"}
)


class UvEngine:
    """Resolves with the uv that rayimage was installed with, else the one on PATH."""

    def __init__(self, options: Options) -> None:
        self._options = options

    def solve(self, question: Question) -> tuple[ResolvedPackage, ...]:
        """See ``Engine.solve``."""
        with TemporaryDirectory(prefix="rayimage-lock-") as scratch:
            work = Path(scratch)
            parent = self._options.cache_dir or work
            tag = platform_tag(question.target)
            links = [stubs.write_stubs(base, question.target, f"{tag[1]}_{tag[0]}", parent) for base in question.bases]
            output = work / "pylock.toml"
            output.write_text(seed_text(question.preferences, question.indexes), encoding="utf-8")
            (work / "constraints.txt").write_text(constraints_text(question.constraints), encoding="utf-8")
            (work / "local.txt").write_text(local_text(question.sources), encoding="utf-8")
            required = f"ray=={question.ray}\n{constraints_text(question.required)}"
            (work / "base.in").write_text(required, encoding="utf-8")
            # uv forgets the variable when there are arguments.
            more = filter(None, os.environ.get("UV_FIND_LINKS", "").split(","))
            find_links = [*map(str, dict.fromkeys(links)), *self._options.find_links, *more]
            command = [*_command(question.target, work), *_sources(question.sources, work)]
            # An exception of --only-binary :all: (uv's BuildOptions::no_build_package); these have no wheel anyway.
            command += [argument for name in sorted(question.buildable) for argument in ("--no-binary", name)]
            if question.indexes:
                (work / "index").mkdir()
                pyproject = work / "index" / "pyproject.toml"
                pyproject.write_text(indexes_text(question.indexes), encoding="utf-8")
                command.append(str(pyproject))
            command += [argument for link in find_links for argument in ("--find-links", link)]
            done = self._run(command)
            if done.returncode:
                raise self._failure(question, done)
            packages = parse_pylock(output.read_text(encoding="utf-8"), work, question.target)
            requires = uv_log.requirements_of(done.stderr, {package.name: package.version for package in packages})
            yanked = uv_log.yanked_in(done.stderr)
            return tuple(replace(p, requires=requires.get(p.name), yanked=yanked.get(p.name)) for p in packages)

    def _failure(self, question: Question, done: subprocess.CompletedProcess[str]) -> LockError:
        stderr = uv_log.without_log(done.stderr)
        existing = {pin: self._existing(pin) for pin in explain.without_wheel(stderr)}
        return explain.failure(question, stderr, done.returncode, existing)

    def _existing(self, pin: str) -> tuple[str, ...]:
        """The wheels of a package (``name==version``) for any platform, by file name; empty where there are none."""
        with TemporaryDirectory(prefix="rayimage-lock-") as scratch:
            work = Path(scratch)
            (work / "pin.in").write_text(f"{pin}\n", encoding="utf-8")
            output = work / "pylock.toml"
            command = ["pip", "compile", "--quiet", "--no-header", "--format", "pylock.toml", "--only-binary", ":all:"]
            command += ["--python", sys.executable, "--no-python-downloads", "--universal", "--no-deps"]
            done = self._run([*command, "--output-file", str(output), str(work / "pin.in")])
            packages = loads(output.read_text(encoding="utf-8")).get("packages", ()) if not done.returncode else ()
            urls = [str(wheel.get("url", "")) for package in packages for wheel in package.get("wheels", ())]
            return tuple(sorted({unquote(urlsplit(url).path.rpartition("/")[2]) for url in urls if url}))

    def _run(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        try:
            env = _environment(os.environ, self._options.indexes)
            return run_captured([find_uv(), *command], env=env, cwd=self._options.directory)
        except OSError as error:
            raise LockError("uv cannot be started", why=str(error), fix="reinstall it: pip install uv") from error


def platform_tag(target: Target) -> tuple[str, str]:
    """The machine and the newest manylinux level that uv knows and the base's glibc meets."""
    levels = [minor for minor in _MANYLINUX if minor <= target.glibc.minor]
    if not levels:
        oldest = f"glibc 2.{_MANYLINUX[0]}"
        raise LockError(f"cannot lock for {target}", why=f"uv resolves for {oldest} and newer", fix="use a newer base")
    return target.machine, f"manylinux_2_{levels[-1]}"


def seed_text(preferences: Mapping[NormalizedName, Version], indexes: Mapping[NormalizedName, str]) -> str:
    """Preferences as uv reads them from its output file: a pylock.toml of names and versions.

    Of a package that has an index of its own uv takes a preference only where it names that index.
    """
    packages = [
        f"[[packages]]\nname = {string(name)}\nversion = {string(str(version))}\n"
        + (f"index = {string(indexes[name])}\n" if name in indexes else "")
        for name, version in sorted(preferences.items())
    ]
    return 'lock-version = "1.0"\ncreated-by = "rayimage"\n' + ("\n".join(["", *packages]) or "packages = []\n")


def constraints_text(constraints: Mapping[NormalizedName, Version]) -> str:
    """Constraints as a requirements file; ``==`` without a local label allows any (PEP 440)."""
    return "".join(f"{name}=={version}\n" for name, version in sorted(constraints.items()))


def indexes_text(indexes: Mapping[NormalizedName, str]) -> str:
    """A project that requires packages, each from an index of its own and never from another one.

    uv lets an index be pinned to a package in a pyproject.toml only; it then counts in the whole resolution.
    Credentials can be given as for any named index: the index of torch is called ``rayimage-torch``
    (UV_INDEX_RAYIMAGE_TORCH_USERNAME, …_PASSWORD).
    """
    names = sorted(indexes)
    lines = ["[project]", 'name = "rayimage-index"', 'version = "0"']
    lines.append(f"dependencies = [{', '.join(string(name) for name in names)}]")
    for name in names:
        lines += ["", "[[tool.uv.index]]", f"name = {string(f'rayimage-{name}')}", f"url = {string(indexes[name])}"]
        lines.append("explicit = true")
    lines += ["", "[tool.uv.sources]"]
    lines += [f"{name} = {{ index = {string(f'rayimage-{name}')} }}" for name in names]
    return "\n".join(lines) + "\n"


def _command(target: Target, work: Path) -> Iterator[str]:
    yield from ("pip", "compile", "--no-header", "--format", "pylock.toml")  # not --quiet: that hides warnings, too
    # The interpreter only has to exist; the two options below say what is resolved for.
    yield from ("--python", sys.executable, "--no-python-downloads", "--no-universal", "--no-upgrade")
    yield from ("--python-version", str(target.python), "--python-platform", "-".join(platform_tag(target)))
    yield from ("--only-binary", ":all:")
    yield from ("--constraints", str(work / "local.txt"))
    yield from ("--constraints", str(work / "constraints.txt"), "--output-file", str(work / "pylock.toml"))
    yield str(work / "base.in")


def local_text(sources: Iterable[Source]) -> str:
    """Local packages as constraints: wherever such a name is required, by whomever, it is this wheel."""
    wheels = {name: wheel for source in sources for name, wheel in source.wheels}
    return "".join(f"{name} @ {wheel.as_uri()}\n" for name, wheel in sorted(wheels.items()))


def _sources(sources: Iterable[Source], work: Path) -> Iterator[str]:
    """Sources as arguments; the same file with other extras or groups (another role's) is one source.

    What a resolver cannot read as it is, is written into ``work``.
    """
    arguments: dict[tuple[str, ...], None] = {}
    for number, source in enumerate(sources):
        if source.kind == "lines":
            arguments[(str(_written(source, work / f"source-{number}")),)] = None
            continue
        if source.kind == "requirements" or source.dependencies:
            arguments[(str(source.path),)] = None
        arguments.update({("--extra", extra): None for extra in source.extras})
        arguments.update({("--group", f"{source.path}:{group}"): None for group in source.groups})
    for argument in arguments:
        yield from argument


def _written(source: Source, directory: Path) -> Path:
    """The lines of a source as a file: a project where they need tables of uv's, which only a project can have."""
    directory.mkdir()
    if not source.tables:
        file = directory / "requirements.in"
        file.write_text("".join(f"{line}\n" for line in source.lines), encoding="utf-8")
        return file
    file = directory / "pyproject.toml"
    dependencies = ", ".join(string(line) for line in source.lines)
    project = f'[project]\nname = "{directory.name}"\nversion = "0"\ndependencies = [{dependencies}]\n'
    file.write_text(f"{project}\n{source.tables}", encoding="utf-8")
    return file


def _environment(host: Mapping[str, str], indexes: Sequence[str]) -> dict[str, str]:
    env = {key: value for key, value in host.items() if key not in _HOST_VARIABLES}
    if indexes:  # Not as arguments: those are visible to every process, and the URLs may hold credentials.
        env["UV_INDEX"] = " ".join([*indexes, *env.get("UV_INDEX", "").split()])
    return env | {"NO_COLOR": "1", "UV_NO_PROGRESS": "1", "RUST_LOG": uv_log.FILTER}


def parse_pylock(text: str, directory: Path, target: Target) -> tuple[ResolvedPackage, ...]:
    """Read uv's pylock.toml; relative paths in it are relative to ``directory``.

    Packages whose marker is false for ``target`` are left out. Raises LockError for what cannot be read, and for a
    directory that would have to be built.
    """
    try:
        pylock = Pylock.from_dict(_with_hashes(loads(text)))
    except (ValueError, TypeError, AttributeError, PylockValidationError) as error:
        raise LockError("uv's answer cannot be read", why=str(error), fix="use another version of uv") from error
    here: dict[str, Any] = dict(target.environment)
    wanted = [p for p in pylock.packages if p.marker is None or p.marker.evaluate(here, context="lock_file")]
    return tuple(sorted((_package(package, directory) for package in wanted), key=lambda package: package.name))


def _with_hashes(data: dict[str, Any]) -> dict[str, Any]:
    """The answer with a stand-in where a file has no hash: uv 0.9 gives local wheels none, PEP 751 wants one."""
    for package in data.get("packages", ()):
        for file in [*package.get("wheels", ()), *filter(None, [package.get("archive"), package.get("sdist")])]:
            file["hashes"] = file.get("hashes") or {"unknown": ""}
    return data


def _package(package: Package, directory: Path) -> ResolvedPackage:
    archive = package.archive
    if package.directory or package.version is None:
        raise LockError(
            f"{package.name} would have to be built",
            why="another package requires it from a directory, or its version is not known before it is built",
            fix=f"build a wheel of {package.name} and require that file, or give its directory with --find-links",
        )
    files: Sequence[PackageWheel | PackageArchive] = [archive] if archive else package.wheels or ()
    wheels = tuple(file for each in files if (file := _file(each, directory)).filename.endswith(".whl"))
    sdist = _file(package.sdist, directory) if package.sdist else None
    return ResolvedPackage(
        name=package.name,
        version=package.version,
        wheels=wheels,
        sdist=sdist.filename if sdist else "",
        source=None if wheels else _source(package, directory),
        direct=bool(archive or package.vcs),
    )


def _source(package: Package, directory: Path) -> LockedSource | None:
    """What the package would be built from."""
    if package.vcs:
        vcs, url = package.vcs, package.vcs.url or (directory / (package.vcs.path or "")).as_uri()
        place = vcs.subdirectory or ""
        return LockedSource(url=_git_url(url), commit=vcs.commit_id, subdirectory=place, direct=True)
    if not (found := package.archive or package.sdist):
        return None
    file = _file(found, directory)
    return LockedSource(
        url=file.url,
        filename=file.filename,
        digest=file.digest,
        size=file.size,
        subdirectory=getattr(found, "subdirectory", None) or "",
        direct=package.archive is not None,
    )


def _git_url(url: str) -> str:
    """``url`` without secrets; the user of an ssh URL is none, and needed."""
    user = urlsplit(url).username
    clean = explain.redact(url)
    return clean.replace("ssh://", f"ssh://{user}@", 1) if user and clean.startswith("ssh://") else clean


def _file(file: PackageWheel | PackageArchive | PackageSdist, directory: Path) -> PackageFile:
    parts = urlsplit(file.url or "")
    local = unquote(parts.path) if parts.scheme == "file" else file.path
    # uv does not escape in file: URLs; one spelling makes locks comparable.
    url = Path(os.path.normpath(directory / local)).as_uri() if local else explain.redact(file.url or "")
    digest = file.hashes.get("sha256")
    return PackageFile(
        filename=getattr(file, "name", None) or unquote(urlsplit(url).path.rpartition("/")[2]),
        url=url,
        digest=Digest(digest) if digest else None,
        size=file.size,
    )
