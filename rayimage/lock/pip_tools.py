"""The pip-tools engine: ``pip-compile`` in an interpreter like the base's, then pip's own report of the files.

pip-compile's preferences are the pins in its output file, and pip takes them as constraints: it rather goes back to an
old version of a new package than move a pinned one. Preferring the base must not do that. So where packages are new,
it is asked twice: with what the project names held and the rest of the base free, which says how new the new packages
can be; then with these and the base's versions held, and what cannot be held given up, package after package.

The base's own packages are visible as stubs (``stubs``), to pip-compile and to nobody else. Hashes come from pip's
report of the chosen files, not from ``--generate-hashes``: where an index has no JSON API, that downloads the files of
every platform, of a CUDA torch for instance, to write hashes that no lock has a place for.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from rayimage.cachedir import CacheDir, Kind
from rayimage.errors import EngineError, LockError
from rayimage.lock import _inside, pip_explain, stubs
from rayimage.lock.classify import provides
from rayimage.lock.engine import NoSolution, Question, ResolvedPackage
from rayimage.lock.pip_bundle import copy_tools
from rayimage.lock.pip_places import HostPython, Place, Visible, in_base, manylinux_module, on_host
from rayimage.lock.pip_settings import index_settings
from rayimage.lock.pip_solution import Found, packages, provided, read_report, told_apart
from rayimage.lock.pip_sources import read_sources
from rayimage.lock.request import Options
from rayimage.lock.target import Target
from rayimage.model.inventory import Inventory
from rayimage.specs.requirements import logical_lines

__all__ = ["Compiled", "PipToolsEngine", "parse_compiled"]

Pins = Mapping[NormalizedName, Version]


class PipToolsEngine:
    """Resolves on this machine where it is like the base, else inside the base through ``options.run_in_base``."""

    def __init__(self, options: Options, host: HostPython | None = None) -> None:
        self._options = options
        self._host = host or HostPython.here()

    def solve(self, question: Question) -> tuple[ResolvedPackage, ...]:
        """See ``Engine.solve``; LockError also when there is no interpreter to run in."""
        if question.indexes:
            raise LockError(
                f"pip-tools cannot lock {question.subject}",
                why=f"{', '.join(sorted(question.indexes))} must come from one index alone, and to pip all are alike",
                fix="lock with --engine uv, or take `index` out of the configuration",
            )
        with TemporaryDirectory(prefix="rayimage-lock-") as scratch:
            run = _Run(question, self._options, Path(scratch).resolve())
            why = self._host.mismatch(question.target)
            if not why:
                try:
                    return run.solve(run.on_host(self._host))
                except _ToldApart as failure:
                    why = failure.why
            return self._inside(run, why)

    def _inside(self, run: _Run, why: str) -> tuple[ResolvedPackage, ...]:
        """Solve in the base; ``why`` says what is in the way here."""
        if self._options.run_in_base is None:
            raise _no_place(run.question, why)
        try:
            return run.solve(run.in_base(self._options))
        except EngineError as error:
            raise _no_place(run.question, f"{why}; and the base cannot be run: {error}") from error


def _no_place(question: Question, why: str) -> LockError:
    target = question.target
    return LockError(
        f"pip-tools cannot lock {question.subject} here",
        why=why,
        fix=f"start a Docker Engine that runs {target.platform}; or install rayimage in CPython {target.python} on "
        f"{target.machine} with glibc {target.glibc} or newer; or lock with --engine uv, which needs neither",
    )


class _ToldApart(LockError):
    """The solution is one for another patch version of Python."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """pip-compile's output: the options that it found in requirements files and settings, and the pins."""

    options: tuple[str, ...]
    requirements: tuple[Requirement, ...]

    @property
    def pins(self) -> dict[NormalizedName, Version]:
        """The versions of what is not a file."""
        found = {canonicalize_name(each.name): next(iter(each.specifier), None) for each in self.requirements}
        return {name: Version(pin.version) for name, pin in found.items() if pin}


def parse_compiled(text: str) -> Compiled:
    """Read the output of pip-compile (without hashes and annotations)."""
    lines = [line for _, line in logical_lines(text)]
    return Compiled(
        options=tuple(line for line in lines if line.startswith("-")),
        requirements=tuple(Requirement(line) for line in lines if not line.startswith("-")),
    )


class _Run:
    """One question in one scratch directory."""

    def __init__(self, question: Question, options: Options, work: Path) -> None:
        self.question = question
        self._options = options
        self._work = work
        self._parent = options.cache_dir or work
        self._asked = read_sources(question, options.directory or Path.cwd(), work)
        target = question.target
        best = f"manylinux_{target.glibc.major}_{target.glibc.minor}_{target.machine}"
        links = (stubs.write_stubs(base, target, best, self._parent) for base in question.bases)
        self._stubs = tuple(dict.fromkeys(links))
        cache = CacheDir(self._parent)
        self._cache = cache.path(Kind.PIP, "pip")
        self._cache.mkdir(parents=True, exist_ok=True)
        cache.use(self._cache)
        self._write_files()

    def _write_files(self) -> None:
        question = self.question
        (self._work / "python").mkdir()
        copyfile(_inside.__file__, self._work / "python" / "inside.py")
        (self._work / "python" / "_manylinux.py").write_text(manylinux_module(question.target), encoding="utf-8")
        (self._work / "base.in").write_text(f"ray=={question.ray}\n{_lines(question.required)}", encoding="utf-8")
        wheels = "".join(f"{wheel}\n" for wheel in self._asked.wheels)
        (self._work / "constraints.txt").write_text(wheels + _lines(question.constraints), encoding="utf-8")

    def on_host(self, host: HostPython) -> Place:
        return on_host(host, self._settings(), self._options.directory)

    def in_base(self, options: Options) -> Place:
        assert options.run_in_base is not None  # noqa: S101
        base = _base_to_run(self.question)
        visible = Visible(
            tools=copy_tools(Target.of(base), self._parent),
            directory=self._options.directory or Path.cwd(),
            readable=(*self._stubs, *self._asked.directories, *_local(options.find_links)),
            writable=(self._work, self._cache),
        )
        return in_base(base, options.run_in_base, self._settings(), visible)

    def _settings(self) -> dict[str, str]:
        settings = index_settings(self._work / "python")
        if self._options.indexes:
            more = settings.get("PIP_EXTRA_INDEX_URL", "").split()
            settings["PIP_EXTRA_INDEX_URL"] = " ".join([*self._options.indexes, *more])
        return settings

    def solve(self, place: Place) -> tuple[ResolvedPackage, ...]:
        """The solution that pip-compile finds in ``place``; raises NoSolution, LockError, EngineError."""
        compiled = self._compile(place)
        found = [provided(requirement, self.question) for requirement in compiled.requirements]
        missing = [each for each, base in zip(compiled.requirements, found, strict=True) if base is None]
        solution = [*filter(None, found), *self._report(place, compiled.options, missing)]
        direct = self._asked.requirements
        if why := told_apart(solution, direct, place.python, self.question.target):
            raise _ToldApart(
                f"pip-tools cannot lock {self.question.subject} here",
                why=f"{why}, which is another matter for Python {self.question.target.python}, the base's, than for "
                f"{place.python} here",
            )
        return packages(solution, direct, self.question.target.environment)

    def _compile(self, place: Place) -> Compiled:
        preferences = self.question.preferences
        with suppress(_Conflict):
            held = self._compile_once(place, preferences)
            settled = {**self.question.constraints, **preferences}
            if all(name in settled and provides(version, settled[name]) for name, version in held.pins.items()):
                return held  # Nothing is new, so nothing can be too old.
        named = {canonicalize_name(requirement.name) for requirement in self._asked.requirements}
        first = {
            name: version for name, version in preferences.items() if name in named or not self._is_bases(name, version)
        }
        newest = self._held(place, first, {})
        return self._held(place, {**newest.pins, **preferences}, newest.pins)

    def _is_bases(self, name: NormalizedName, version: Version) -> bool:
        copies = [base.by_name[name].version for base in self.question.bases if name in base.by_name]
        return version in copies

    def _held(self, place: Place, seeds: Pins, instead: Pins) -> Compiled:
        """Compile with ``seeds`` as preferences, giving up for ``instead`` those that have no solution together.

        pip-compile itself gives up the pin of a package whose requirements contradict each other, but not the pins of
        the packages that require it so (jazzband/pip-tools: ``BacktrackingResolver._do_resolve``).
        """
        while True:
            try:
                return self._compile_once(place, seeds)
            except _Conflict as conflict:  # noqa: PERF203 - a run is slow, and so is what it starts
                held = {name for name in conflict.between if name in seeds and seeds[name] != instead.get(name)}
                if not held and seeds == instead:
                    raise NoSolution(conflict.what, why=conflict.why, fix=conflict.fix) from None
                kept = {name: version for name, version in seeds.items() if name not in held}
                moved = {name: version for name, version in instead.items() if name in held}
                seeds = {**kept, **moved} if held else dict(instead)

    def _compile_once(self, place: Place, seeds: Pins) -> Compiled:
        output, log = self._work / "requirements.txt", self._work / "compile.log"
        output.write_text(_lines(seeds), encoding="utf-8")
        arguments = ["piptools", "compile", "--quiet", "--no-config", "--no-header", "--no-annotate", "--newline", "lf"]
        arguments += ["--strip-extras", "--allow-unsafe", "--max-rounds", str(len(seeds) + 10)]
        arguments += ["--cache-dir", str(self._cache), "--output-file", str(output)]
        arguments += ["--pip-args", shlex.join(_pip_options(log))]
        arguments += ["--constraint", str(self._work / "constraints.txt")]
        for link in (*map(str, self._stubs), *self._options.find_links):
            arguments += ["--find-links", link]
        self._run(place, [*arguments, str(self._work / "base.in"), *map(str, self._asked.files)], log)
        return parse_compiled(output.read_text(encoding="utf-8"))

    def _report(self, place: Place, options: Iterable[str], missing: Sequence[Requirement]) -> tuple[Found, ...]:
        """The files of packages that no base has; the stubs are not among those to choose from."""
        if not missing:
            return ()
        wanted, report, log = (self._work / name for name in ("files.txt", "report.json", "report.log"))
        kept = [option for option in options if not _names_any(option, self._stubs)]
        wanted.write_text("\n".join([*kept, *map(str, missing), ""]), encoding="utf-8")
        arguments = ["--sizes", str(report), "pip", "install", "--quiet", "--dry-run", "--no-deps"]
        arguments += ["--ignore-installed", "--report", str(report), "--requirement", str(wanted)]
        self._run(place, [*arguments, "--cache-dir", str(self._cache), *_pip_options(log)], log)
        return read_report(report.read_text(encoding="utf-8"))

    def _run(self, place: Place, arguments: Sequence[str], log: Path) -> None:
        log.unlink(missing_ok=True)
        done = place.run([str(self._work / "python" / "inside.py"), *arguments])
        text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
        if done.returncode:
            failure = pip_explain.failure(self.question, text, done.stderr)
            raise _Conflict(failure, pip_explain.conflicting(text)) if isinstance(failure, NoSolution) else failure
        if lost := pip_explain.unreachable(text):
            raise lost


class _Conflict(NoSolution):
    """There is no solution with these preferences."""

    def __init__(self, failure: NoSolution, between: frozenset[NormalizedName]) -> None:
        super().__init__(failure.what, why=failure.why, fix=failure.fix)
        self.between = between


def _base_to_run(question: Question) -> Inventory:
    """The base that is most like the target: several bases are resolved for at their lowest common versions."""
    target = question.target
    return min(question.bases, key=lambda base: (Target.of(base).glibc != target.glibc, base.python != target.python))


def _pip_options(log: Path) -> list[str]:
    return ["--only-binary=:all:", "--no-input", "--log", str(log)]


def _lines(pins: Pins) -> str:
    return "".join(f"{name}=={version}\n" for name, version in sorted(pins.items()))


def _names_any(option: str, directories: Iterable[Path]) -> bool:
    return bool({*re.split(r"[\s=]+", option)} & {str(directory) for directory in directories})


def _local(links: Iterable[str]) -> Iterator[Path]:
    yield from (path for path in map(Path, links) if path.is_absolute() and path.exists())
