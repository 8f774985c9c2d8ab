"""Which Python an image runs, its version to the patch, and where its packages lie.

The patch level is nowhere in the image config, and Ray refuses nodes that differ in it, so it is read from what
Python's own installers leave behind: conda-meta, patchlevel.h, pyvenv.cfg, the dpkg database.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from packaging.version import InvalidVersion, Version

from rayimage.base.interest import DPKG_STATUS, DPKG_STATUS_DIR
from rayimage.base.tree import File, Tree
from rayimage.errors import BaseImageError

__all__ = ["DEFAULT_PATH", "Interpreter", "dpkg_version", "find_interpreter"]

DEFAULT_PATH: Final = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
"""What runtimes search when the image config has no PATH (moby's ``DefaultPathEnvUnix``)."""

_DEBIAN_VERSION: Final = re.compile(r"(?:\d+:)?(\d+(?:\.\d+)+(?:~?(?:a|b|rc)\d+)?)")
_MINOR: Final = re.compile(r"python(\d+\.\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """A Python and its directories (absolute, free of symbolic links)."""

    path: str
    version: Version
    prefix: str
    """Where packages go: the environment's root, or /usr/local for Debian's own Python."""
    purelib: str
    site_dirs: tuple[str, ...]
    """Directories that hold distributions, in the order of ``sys.path``; ``purelib`` is the first."""

    @property
    def minor(self) -> str:
        """As in ``3.11``."""
        return f"{self.version.major}.{self.version.minor}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Environment:
    """A Python prefix: an installation, or a virtual environment over one."""

    home: str
    interpreter: str
    real: str
    config: Mapping[str, str]
    """pyvenv.cfg; empty for an installation."""

    @property
    def installation(self) -> str:
        """The prefix of the Python that runs in it."""
        return _parent(self.config["home"]) if self.config.get("home") else _parent(_parent(self.real))


def find_interpreter(tree: Tree, path: Sequence[str]) -> Interpreter:
    """The first ``python`` or ``python3`` along ``path``, which is what ``ray start`` runs with.

    Raises BaseImageError when there is none, or when its version cannot be told.
    """
    environment = _first_on_path(tree, path or DEFAULT_PATH)
    version = _version(tree, environment)
    minor = f"{version.major}.{version.minor}"
    if environment.home == "/usr" and tree.children("/usr/lib/python3/dist-packages"):
        return _debian(environment, version, minor)
    homes = [environment.home]
    if environment.config.get("include-system-site-packages", "").lower() == "true":
        homes.append(environment.installation)
    site_dirs = [
        tree.resolve(f"{home}/{lib}/python{minor}/site-packages") for home in homes for lib in ("lib", "lib64")
    ]
    known = tuple(dict.fromkeys(path for path in site_dirs if path))
    if not known:
        raise BaseImageError(
            f"the base's {environment.interpreter} has no site-packages",
            why=f"{environment.home}/lib is a loop of symbolic links",
        )
    return Interpreter(
        path=environment.interpreter, version=version, prefix=environment.home, purelib=known[0], site_dirs=known
    )


def _debian(environment: _Environment, version: Version, minor: str) -> Interpreter:
    """Debian's own Python: apt owns /usr, and its pip installs below /usr/local (``posix_local`` scheme)."""
    purelib = f"/usr/local/lib/python{minor}/dist-packages"
    return Interpreter(
        path=environment.interpreter,
        version=version,
        prefix="/usr/local",
        purelib=purelib,
        site_dirs=(purelib, "/usr/lib/python3/dist-packages", f"/usr/lib/python{minor}/dist-packages"),
    )


def _first_on_path(tree: Tree, path: Sequence[str]) -> _Environment:
    dangling = ""
    for directory in path:
        for name in ("python", "python3"):
            here = tree.find(f"{directory}/{name}", follow=False)
            real = tree.find(f"{directory}/{name}")
            if here and real and isinstance(real.node, File) and "/python2" not in real.path:
                return _environment(tree, here.path, real.path)
            if here and not real:
                dangling = dangling or f"; {here.path} is a link to something that is not in the image"
    raise BaseImageError(
        "the base has no Python",
        why=f"neither python nor python3 is in the directories of its PATH, {':'.join(path)}{dangling}",
        fix="use a base whose PATH leads to the Python that Ray is installed for",
    )


def _environment(tree: Tree, here: str, real: str) -> _Environment:
    """As CPython does: a pyvenv.cfg beside or above ``bin`` makes a virtual environment, else links are followed."""
    home = _parent(_parent(here))
    config = tree.content(f"{home}/pyvenv.cfg")
    if config is None:
        home = _parent(_parent(real))
    names = (f"{home}/bin/python", f"{home}/bin/python3")
    interpreter = next((name for name in names if (found := tree.find(name)) and found.path == real), here)
    return _Environment(home=home, interpreter=interpreter, real=real, config=_pyvenv(config or b""))


def _pyvenv(data: bytes) -> dict[str, str]:
    pairs = (line.partition("=") for line in data.decode(errors="replace").splitlines())
    return {key.strip().lower(): value.strip() for key, equals, value in pairs if equals}


def _version(tree: Tree, environment: _Environment) -> Version:
    looked: list[str] = []
    for where, text in _version_sources(tree, environment):
        looked.append(where)
        if text and (version := _parse(text)):
            return version
    raise BaseImageError(
        f"the patch version of the base's Python ({environment.interpreter}) cannot be told",
        why=f"looked for {', '.join(looked)}",
        fix="install Python with its headers, with conda or from the distribution's packages",
    )


def _parse(text: str) -> Version | None:
    """A full version; virtualenv writes ``3.11.9.final.0``, a build between releases says ``3.11.9+``."""
    try:
        version = Version(text.replace(".final.0", "").rstrip("+"))
    except InvalidVersion:
        return None
    return version if len(version.release) == 3 else None


def _version_sources(tree: Tree, environment: _Environment) -> Iterator[tuple[str, str]]:
    """Where a version may be written, and what is there; the most telling first."""
    homes = list(dict.fromkeys([environment.home, environment.installation]))
    for home in homes:
        if home == environment.installation and environment.config:
            for key in ("version", "version_info"):
                yield f"{key} in {environment.home}/pyvenv.cfg", environment.config.get(key, "")
        yield f"{home}/conda-meta/python-3*.json", _conda_version(tree, home)
        yield from _header_versions(tree, home, environment.real)
    minor = _MINOR.search(environment.real)
    if minor and "/usr" in homes:
        for package in (f"python{minor[1]}-minimal", f"python{minor[1]}"):
            yield f"package {package} in {DPKG_STATUS}", dpkg_version(tree, package)


def _conda_version(tree: Tree, home: str) -> str:
    for name, node in sorted(tree.children(f"{home}/conda-meta").items()):
        if name.startswith("python-3") and isinstance(node, File) and node.content:
            record = json.loads(node.content)
            if record["name"] == "python":
                return str(record["version"])
    return ""


def _header_versions(tree: Tree, home: str, real: str) -> Iterator[tuple[str, str]]:
    minor = _MINOR.fullmatch(real.rpartition("/")[2])
    names = [minor[0]] if minor else [name for name in sorted(tree.children(f"{home}/include")) if _MINOR.match(name)]
    for name in names or ["python3.*"]:
        path = f"{home}/include/{name}/patchlevel.h"
        yield path, (tree.content(path) or b"").decode(errors="replace")


def dpkg_version(tree: Tree, package: str) -> str:
    """The upstream version of an installed Debian package, without epoch and revision; ``""`` when absent."""
    status_dir = [node.content for _, node in sorted(tree.children(DPKG_STATUS_DIR).items()) if isinstance(node, File)]
    status = b"".join([tree.content(DPKG_STATUS) or b"", *status_dir])
    for line in status.decode(errors="replace").splitlines():
        name, _, version = line.partition(" ")
        match = _DEBIAN_VERSION.match(version)
        if name == package and match:
            return match[1].replace("~", "")
    return ""


def _parent(path: str) -> str:
    return path.rstrip("/").rpartition("/")[0] or "/"
