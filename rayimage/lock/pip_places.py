"""Where pip-tools may run: it resolves for the interpreter that it runs in, so that must be like the base's.

This machine's interpreter is like it when it is CPython of the same minor version on Linux, on the same kind of
machine, and with a glibc that is not older. A newer glibc is no hindrance: a module named ``_manylinux`` (PEP 600)
says that wheels for more than the base's glibc do not run, so that exactly the base's wheels are seen. An older one
is: wheels that the base can load would stay unseen, and the lock would depend on the machine.

The patch version may differ: see ``pip_solution.told_apart``.
"""

from __future__ import annotations

import os
import platform
import sys
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

from packaging.version import Version

from rayimage.errors import LockError
from rayimage.lock.pip_settings import host_environment, named_files, network_variables
from rayimage.lock.target import Target
from rayimage.model.execution import BaseCommand, RunInBase
from rayimage.model.inventory import Inventory
from rayimage.processes import run_captured

__all__ = ["HostPython", "Place", "Visible", "in_base", "manylinux_module", "on_host"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPython:
    """The interpreter that rayimage runs in; ``glibc`` is None with another C library."""

    implementation: str
    python: Version
    system: str
    machine: str
    glibc: Version | None
    free_threaded: bool = False

    @classmethod
    def here(cls) -> HostPython:
        """This one."""
        library, version = platform.libc_ver()
        return cls(
            implementation=platform.python_implementation(),
            python=Version(platform.python_version()),
            system=platform.system(),
            machine=platform.machine(),
            glibc=Version(version) if library == "glibc" and version else None,
            free_threaded=bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        )

    def mismatch(self, target: Target) -> str:
        """Why pip-tools cannot resolve for ``target`` here, for people; empty when it can."""
        minor = f"{self.python.major}.{self.python.minor}"
        if (self.system, self.machine) != ("Linux", target.machine):
            return f"this machine is {self.system} on {self.machine}, the base is Linux on {target.machine}"
        if self.implementation != "CPython" or self.free_threaded:
            kind = "free-threaded CPython" if self.free_threaded else self.implementation
            return f"rayimage runs in {kind} here, the base has CPython"
        if minor != target.minor:
            return f"rayimage runs in Python {minor} here, the base has {target.minor}"
        if self.glibc is None or self.glibc < target.glibc:
            here = f"glibc {self.glibc}" if self.glibc else "no glibc"
            return f"this machine has {here}, the base glibc {target.glibc}: wheels that run there would not be seen"
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An interpreter of version ``python``; ``run`` takes its arguments and gives back what came of them."""

    python: Version
    run: Callable[[Sequence[str]], CompletedProcess[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Visible:
    """What of this machine a container sees: ``tools`` holds pip-tools, ``directory`` is the working directory."""

    tools: Path
    directory: Path
    readable: tuple[Path, ...] = ()
    writable: tuple[Path, ...] = ()


def manylinux_module(target: Target) -> str:
    """The text of a ``_manylinux.py`` that lets wheels for the target's glibc and older pass (PEP 600)."""
    return (
        "def manylinux_compatible(major, minor, arch):\n"
        f"    return (major, minor) <= ({target.glibc.major}, {target.glibc.minor})\n"
    )


def on_host(host: HostPython, settings: Mapping[str, str], directory: Path | None) -> Place:
    """This interpreter, with pip's ``settings`` (PIP_* variables) and nothing else of its configuration."""

    def run(arguments: Sequence[str]) -> CompletedProcess[str]:
        try:
            env = host_environment(os.environ, settings) | {"NO_COLOR": "1"}
            return run_captured([sys.executable, *arguments], env=env, cwd=directory)
        except OSError as error:
            raise LockError("pip-tools cannot be started", why=str(error), fix="pip install pip-tools") from error

    return Place(python=host.python, run=run)


def in_base(base: Inventory, run_in_base: RunInBase, settings: Mapping[str, str], visible: Visible) -> Place:
    """The base's interpreter in a container.

    What pip's settings name (certificates, directories of wheels, file: indexes) is readable there as well.
    """
    environment = {
        **network_variables(os.environ),
        **host_environment({}, settings),
        "PYTHONPATH": str(visible.tools),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": "/tmp",  # noqa: S108 - in the container, and nothing of value is written there
        "NO_COLOR": "1",
    }
    readable = {visible.tools, visible.directory, *visible.readable, *named_files(environment)}

    def run(arguments: Sequence[str]) -> CompletedProcess[str]:
        command = BaseCommand(
            image=base.image,
            arguments=(base.layout.interpreter, *arguments),
            environment=environment,
            directory=visible.directory,
            readable=tuple(sorted(readable - {Path("/"), *visible.writable})),
            writable=tuple(sorted(visible.writable)),
        )
        return run_in_base(command)

    return Place(python=base.python, run=run)
