"""setup.cfg: what setuptools' declarative configuration says about dependencies.

https://setuptools.pypa.io/en/latest/userguide/declarative_config.html: lists are one item a line ("dangling"), or
separated by ``;`` on one; ``file:`` reads them from files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from configparser import (
    ConfigParser,
    DuplicateOptionError,
    DuplicateSectionError,
    MissingSectionHeaderError,
    ParsingError,
)
from configparser import Error as ConfigParserError
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from rayimage.errors import ConfigError
from rayimage.specs.findings import Findings, digest_of, line_of
from rayimage.specs.wording import did_you_mean, first_line

__all__ = ["SetupCfg"]

_EXTRAS = "options.extras_require"


@dataclass(frozen=True, slots=True)
class SetupCfg:
    """A setup.cfg as read."""

    path: Path
    text: str
    data: ConfigParser

    @classmethod
    def read(cls, path: Path) -> SetupCfg:
        """Read ``path``; raises ConfigError that names file and line when it cannot be read."""
        # setuptools does not interpolate either, and keeps the case of keys.
        data = ConfigParser(interpolation=None, delimiters=("=",))
        data.optionxform = str  # type: ignore[assignment, method-assign]
        try:
            text = path.read_bytes().decode("utf-8-sig")
            data.read_string(text)
        except OSError as error:
            raise ConfigError(f"cannot read {path}", why=error.strerror or str(error), fix="create it") from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"{path} is not UTF-8 text", why=error.reason, fix="save it as UTF-8") from error
        except ConfigParserError as error:
            no_section = isinstance(error, MissingSectionHeaderError)
            no_value = isinstance(error, ParsingError)
            why = (
                "no [section] is above it"
                if no_section
                else "it is no `key = value`"
                if no_value
                else first_line(error)
            )
            what = f"{path}:{_line_of_error(error)}: not valid"
            raise ConfigError(what, why=why, fix="correct the line") from error
        return cls(path, text, data)

    @property
    def has_options(self) -> bool:
        """Whether there is an [options] section to take dependencies from."""
        return self.data.has_section("options")

    @property
    def extras(self) -> tuple[str, ...]:
        """The names of the extras, as written."""
        return tuple(self.data.options(_EXTRAS)) if self.data.has_section(_EXTRAS) else ()

    def find(self, extras: Sequence[str], found: Findings) -> tuple[Requirement, ...]:
        """The requirements, with those of ``extras``; what they are, and what is wrong, goes into ``found``, too."""
        requirements = [*self._values("options", "install_requires", found)]
        known = {canonicalize_name(name): name for name in self.extras}
        for extra in dict.fromkeys(map(canonicalize_name, extras)):
            if extra in known:
                requirements += self._values(_EXTRAS, known[extra], found)
            else:
                hint = did_you_mean(extra, known)
                found.problems.append(f"{self.path.name}: {_EXTRAS}: there is no extra {extra!r}{hint}")
        if versions := self.data.get("options", "python_requires", fallback=""):
            found.python[self.path.name] = versions
        found.files[self.path.name] = digest_of(self.text.encode())
        return tuple(requirements)

    def _values(self, section: str, key: str, found: Findings) -> Iterator[Requirement]:
        value = self.data.get(section, key, fallback="")
        if value.strip().startswith("file:"):
            for name in value.strip().removeprefix("file:").replace("\n", ",").split(","):
                yield from self._from_file(name.strip(), found)
            return
        for item in value.splitlines() if "\n" in value else value.split(";"):
            text = item.strip()
            if text and not text.startswith("#"):
                place = f"{self.path.name}:{line_of(self.text, text) or 1}"
                yield from _parsed(text, place, f"{section}.{key}: ", found)

    def _from_file(self, name: str, found: Findings) -> Iterator[Requirement]:
        """Setuptools reads a subset of requirements files: no options, no continuation lines."""
        if not name:
            return
        try:
            data = (self.path.parent / name).read_bytes()
            lines = data.decode().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            found.problems.append(f"{self.path.name}: cannot read {name}: {getattr(error, 'strerror', error)}")
            return
        found.files[name] = digest_of(data)
        for number, line in enumerate(lines, start=1):
            text = line.partition(" #")[0].strip()
            if text and not text.startswith("#"):
                yield from _parsed(text, f"{name}:{number}", "", found)


def _parsed(text: str, place: str, where: str, found: Findings) -> Iterator[Requirement]:
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        found.problems.append(f"{place}: {where}{first_line(error)}")
        return
    found.require(requirement, place)
    yield requirement


def _line_of_error(error: ConfigParserError) -> int:
    if isinstance(error, MissingSectionHeaderError | DuplicateOptionError | DuplicateSectionError):
        return error.lineno or 1
    return error.errors[0][0] if isinstance(error, ParsingError) and error.errors else 1
