"""What a single configured value must be like. Each check returns the value, or raises ValueError that says how."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from packaging.pylock import is_valid_pylock_path
from packaging.utils import canonicalize_name, is_normalized_name

from rayimage.model.platform import Platform
from rayimage.model.reference import Reference
from rayimage.specs.pyproject import Pyproject
from rayimage.specs.setup_cfg import SetupCfg
from rayimage.specs.wording import did_you_mean

__all__ = [
    "PROMOTED_FROM",
    "Facts",
    "a_base",
    "a_cache_source",
    "a_gate",
    "a_name",
    "a_package",
    "a_platform",
    "a_repository",
    "a_repository_line",
    "a_secret",
    "a_size",
    "a_snapshot",
    "a_system_package",
    "a_text",
    "a_value",
    "a_variable",
    "a_workdir",
    "all_distinct",
    "an_index",
    "at_least_one",
    "between",
]

PROMOTED_FROM = "promoted-from:"
_GATES = ("signature", "sbom", "provenance")
_LOCKS = ("uv.lock", "poetry.lock", "pdm.lock", "pylock.toml")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_SIZE = re.compile(r"\d+(?:\.\d+)? ?(?:kB|[KMG]i?B|B)")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SYSTEM_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+(:[a-z0-9]+)?([=/][A-Za-z0-9.+:~*-]+)?")
_SNAPSHOT = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_PASSWORD = re.compile(r"://[^/\s]*:[^/\s]*@")
# What `uname -m` and Docker's older names call OCI's architectures.
_ARCHITECTURES = {"x86_64": "amd64", "x64": "amd64", "aarch64": "arm64", "arm64v8": "arm64"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a configuration is checked against: the directory it lies in, and the pyproject.toml there, if any."""

    root: Path
    pyproject: Pyproject | None
    has_lock: bool = False
    """Whether a role takes its versions from a lock: then the lock knows the extras and groups, not pyproject.toml."""

    def a_file(self, text: str) -> str:
        """The path of an existing file, relative to the project's root."""
        if not (self.root / a_text(text)).is_file():
            raise ValueError(f"there is no file {text!r} in {self.root}")
        return text

    def an_input(self, text: str) -> str:
        """The path of an existing file or directory of the project."""
        path = self.root / a_text(text)
        if not path.exists():
            raise ValueError(f"there is no {text!r} in {self.root}")
        if not path.resolve().is_relative_to(self.root.resolve()):
            raise ValueError(f"{text!r} lies outside of the project")
        return posixpath.normpath(text)

    def an_extra(self, text: str) -> str:
        """The name of one of the project's extras."""
        setup_cfg = self._setup_cfg
        known = setup_cfg.extras if setup_cfg else self.pyproject.extras if self.pyproject else ()
        return self._listed("extra", text, known)

    def a_group(self, text: str) -> str:
        """The name of one of the project's dependency groups."""
        return self._listed("dependency group", text, self.pyproject.groups if self.pyproject else ())

    def project(self, wanted: bool) -> bool:  # noqa: FBT001 - the value itself
        """Whether the project's own dependencies are wanted, which it must then have."""
        there = self.has_lock or self._setup_cfg or (self.pyproject and self.pyproject.has_project)
        if wanted and not there:
            raise ValueError("true needs a pyproject.toml with a [project] table, or a setup.cfg with [options]")
        return wanted

    def a_lock(self, text: str) -> str:
        """A lock of another tool, told by its name."""
        name = Path(self.a_file(text)).name
        if name not in _LOCKS and not is_valid_pylock_path(Path(name)):
            raise ValueError(f"must be one of {', '.join(_LOCKS)}, or pylock.NAME.toml, not {text!r}")
        return text

    @property
    def _setup_cfg(self) -> SetupCfg | None:
        """The project's setup.cfg, where that stands in for a [project] table."""
        path = self.root / "setup.cfg"
        if (self.pyproject and self.pyproject.has_project) or not path.is_file():
            return None
        setup_cfg = SetupCfg.read(path)
        return setup_cfg if setup_cfg.has_options else None

    def code(self, how: str) -> str:
        """How the code gets into the image; as a wheel only if one can be built."""
        if how == "wheel" and not (self.pyproject and self.pyproject.is_buildable):
            raise ValueError("'wheel' needs a pyproject.toml with a [project] or [build-system] table")
        return how

    def _listed(self, kind: str, text: str, names: Iterable[str]) -> str:
        if self.has_lock:
            return text
        setup_cfg = self._setup_cfg if kind == "extra" else None
        if not self.pyproject and not setup_cfg:
            raise ValueError(f"there is no pyproject.toml in {self.root} to take {kind} {text!r} from")
        known = [canonicalize_name(name) for name in names]
        if canonicalize_name(text) not in known:
            file = "setup.cfg" if setup_cfg else "pyproject.toml"
            raise ValueError(f"{file} has no {kind} {text!r}{did_you_mean(canonicalize_name(text), known)}")
        return text


def a_text(text: str) -> str:
    """Anything but nothing."""
    if not text:
        raise ValueError("must not be empty")
    return a_value(text)


def a_value(text: str) -> str:
    """A string that the operating system can hold."""
    if "\0" in text:
        raise ValueError("must not contain a NUL character")
    return text


def a_repository(text: str) -> str:
    """A repository in a registry."""
    reference = Reference.parse(_without_scheme(text))
    if reference.tag or reference.digest:
        raise ValueError(f"must name a repository without tag or digest: write {str(reference.name)!r}")
    return text


def a_base(text: str) -> str:
    """An image reference, or ``oci:path[:tag]``."""
    if not text.startswith("oci:"):
        Reference.parse(_without_scheme(text))
    elif not text.removeprefix("oci:").partition(":")[0]:
        raise ValueError("must have the path of an OCI layout behind 'oci:'")
    return text


def a_cache_source(text: str) -> str:
    """A repository, or an image or cache in one."""
    Reference.parse(_without_scheme(text))
    return text


def a_platform(text: str) -> str:
    """``linux/ARCHITECTURE[/VARIANT]``: a Ray cluster on Kubernetes runs on Linux only."""
    system, _, architecture = text.partition("/")
    if not architecture and system != "linux":
        system, architecture = "linux", system
    architecture = _ARCHITECTURES.get(architecture, architecture)
    meant = f"{system}/{architecture}"
    if system == "linux" and architecture and meant != text:
        raise ValueError(f"{text!r} is not a platform; did you mean {meant!r}?")
    if system != "linux" or not architecture:
        raise ValueError(f"must be linux/ARCHITECTURE, for example linux/amd64, not {text!r}")
    return str(Platform.parse(text))


def a_workdir(text: str) -> str:
    """A directory of the user's own in the image; normalised."""
    if not a_value(text).startswith("/"):
        raise ValueError(f"must be an absolute path, not {text!r}")
    path = "/" + posixpath.normpath(text).lstrip("/")
    # Ray's images keep Ray's wheel, its locks and the Python environment in /home/ray: what is laid over it, or
    # uploaded from it by runtime_env, takes all that along (KubeRay's guide to uv warns of it).
    if path in ("/", "/home", "/home/ray"):
        raise ValueError(f"must be a directory of its own such as /home/ray/app: {path} belongs to the base image")
    if f"{path}/".startswith("/home/ray/anaconda3/"):
        raise ValueError(f"must not lie in the base image's Python environment, as {path} does")
    return path


def a_name(text: str) -> str:
    """The name of a role or an environment, which becomes part of tags and file names."""
    if not _NAME.fullmatch(text):
        raise ValueError(
            "a name must be lower-case letters and digits, then also '.', '_' and '-' (it ends up in tags)"
        )
    return text


def a_variable(text: str) -> str:
    """The name of an environment variable."""
    if not _VARIABLE.fullmatch(text):
        raise ValueError("the name of a variable must be letters, digits and '_', not starting with a digit")
    return text


def a_package(text: str) -> str:
    """The name of a Python package; normalised."""
    if not is_normalized_name(canonicalize_name(text)):
        raise ValueError(f"must be the name of a package alone, not {text!r}")
    return canonicalize_name(text)


def an_index(text: str) -> str:
    """The URL of a package index (the simple repository API)."""
    parts = urlsplit(text)
    # Not quoted in the message: the URL may have a password in it.
    if parts.scheme not in ("http", "https", "file") or not (parts.netloc or parts.path.strip("/")):
        raise ValueError("must be the URL of a package index, for example https://index.example.com/cu128")
    return text


def a_gate(text: str) -> str:
    """Something that an environment can require of a release."""
    if text not in _GATES and not (text.startswith(PROMOTED_FROM) and text != PROMOTED_FROM):
        known = (*_GATES, f"{PROMOTED_FROM}ENVIRONMENT")
        raise ValueError(f"must be one of {', '.join(known)}, not {text!r}{did_you_mean(text, _GATES)}")
    return text


def a_size(text: str) -> str:
    """A number of bytes with its unit: stricter than ``cachedir.parse_size``, which can read what passes here."""
    if not _SIZE.fullmatch(text.strip()):
        raise ValueError(f"must be a size such as '8MiB' or '500kB', not {text!r}")
    return text


def between(low: int, high: int) -> Callable[[int], int]:
    """A check for whole numbers in a range."""

    def check(number: int) -> int:
        if not low <= number <= high:
            raise ValueError(f"must be from {low} to {high}, not {number}")
        return number

    return check


def a_system_package(text: str) -> str:
    """What apt installs: a package's name, and perhaps ``:architecture`` and ``=version``."""
    if not _SYSTEM_PACKAGE.fullmatch(a_text(text)) or text.endswith("-"):
        raise ValueError(f"{text!r} is no name of a package of the operating system, as in 'libgl1' or 'ffmpeg=7:5.1*'")
    return text


def a_secret(text: str) -> str:
    """Where a secret is."""
    kind, _, place = a_text(text).partition(":")
    if not place or kind not in ("env", "file"):
        # What is written there instead may be the secret.
        raise ValueError("must be 'env:VARIABLE' or 'file:PATH'")
    return text


def a_snapshot(text: str) -> str:
    """A time as snapshot archives write it."""
    if not _SNAPSHOT.fullmatch(a_text(text)):
        raise ValueError(f"must be a time in UTC as in '20260101T000000Z', not {text!r}")
    return text


def a_repository_line(text: str) -> str:
    """A line as in sources.list; without a password, which would be in plain sight."""
    if not a_text(text).startswith(("deb ", "deb-src ")) or "\n" in text:
        raise ValueError(f"must be a line as in sources.list, 'deb http://… suite component', not {text!r}")
    if _PASSWORD.search(text):
        raise ValueError("must not have a password in its URL")
    return text


def all_distinct(values: list[str]) -> list[str]:
    """A list without repetitions."""
    if twice := [value for position, value in enumerate(values) if value in values[:position]]:
        raise ValueError(f"lists {twice[0]!r} twice")
    return values


def at_least_one(values: list[str]) -> list[str]:
    """A list that is not empty."""
    if not values:
        raise ValueError("must not be empty; leave the key out for the default")
    return values


def _without_scheme(text: str) -> str:
    # Not quoted in the message: a URL may have a password in it.
    if "://" in text:
        raise ValueError("must be written without a scheme such as https://")
    return text
