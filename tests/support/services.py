"""Real services for tests: Debian's docker-registry and a Docker Engine, started here and ended by process id."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

__all__ = [
    "Engine",
    "MissingPartError",
    "Registry",
    "free_port",
    "no_mount_left",
    "own_engine",
    "running_engine",
    "running_registry",
]

REGISTRY_CONFIG = """\
version: 0.1
log: {{level: warn}}
storage:
  filesystem: {{rootdirectory: "{storage}"}}
  delete: {{enabled: true}}
http: {{addr: "{host}"}}
"""


class MissingPartError(Exception):
    """A part that tests need cannot be had on this machine; the message names it and says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """A registry on the loopback interface; ``host`` is ``127.0.0.1:PORT``, ``root`` what it stores."""

    host: str
    root: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A Docker Engine. Containers started through it are gone when the fixture ends."""

    docker_host: str
    client: str
    label: str = field(default_factory=lambda: f"rayimage.test={uuid.uuid4().hex}")

    def try_run(
        self, *arguments: str, stdin: str | None = None, timeout: float = 300
    ) -> subprocess.CompletedProcess[str]:
        """Run a docker command; whether it worked is the caller's business."""
        command, given = [self.client, *arguments], stdin or ""
        environment = {key: value for key, value in os.environ.items() if not key.startswith("DOCKER_")}
        environment |= {"DOCKER_HOST": self.docker_host, "DOCKER_CONFIG": "/nonexistent"}
        return subprocess.run(
            command, env=environment, input=given, capture_output=True, text=True, timeout=timeout, check=False
        )

    def run(self, *arguments: str, stdin: str | None = None, timeout: float = 300) -> str:
        """Run a docker command and return what it prints; if it fails, raise with both its streams."""
        done = self.try_run(*arguments, stdin=stdin, timeout=timeout)
        if done.returncode:
            raise AssertionError(f"docker {' '.join(arguments)} → {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def start(self, image: str, *command: str, options: tuple[str, ...] = ()) -> str:
        """Start a container in the background; returns its id."""
        return self.run("run", "--detach", "--label", self.label, *options, image, *command).strip()

    def remove_containers(self) -> None:
        """Remove every container that ``start`` made."""
        if started := self.run("ps", "--all", "--quiet", "--filter", f"label={self.label}").split():
            self.run("rm", "--force", "--volumes", *started)

    def answers(self) -> bool:
        """Whether the Engine is there."""
        with suppress(subprocess.TimeoutExpired):
            return self.try_run("version", "--format", "{{.Server.Version}}", timeout=10).returncode == 0
        return False


def free_port() -> int:
    """A TCP port of the loopback interface that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running_registry(*, storage: Path | None = None, port: int | None = None) -> Iterator[Registry]:
    """Debian's registry, on a free port with storage of its own unless they are given; raises MissingPartError."""
    program = _program("docker-registry")
    with tempfile.TemporaryDirectory(prefix="registry-", ignore_cleanup_errors=True) as scratch:
        root, host = Path(scratch), f"127.0.0.1:{port or free_port()}"
        data = storage or root / "data"
        (root / "config.yml").write_text(REGISTRY_CONFIG.format(storage=data, host=host), encoding="utf-8")
        with _process([program, "serve", f"{root}/config.yml"], root / "log") as process:
            _wait("docker-registry", process, root / "log", lambda: _responds(f"http://{host}/v2/"))
            yield Registry(host=host, root=data)


@contextmanager
def running_engine() -> Iterator[Engine]:
    """The Engine that answers already, or one of our own until the end; raises MissingPartError."""
    there = Engine(
        docker_host=os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock", client=_program("docker")
    )
    if there.answers():
        try:
            yield there
        finally:
            there.remove_containers()
        return
    with own_engine() as engine:
        yield engine


@contextmanager
def own_engine(*options: str) -> Iterator[Engine]:
    """An Engine with nothing in it, started with these options of dockerd's, until the end; raises MissingPartError."""
    client, program = _program("docker"), _program("dockerd")
    if os.geteuid() != 0:
        raise MissingPartError("docker engine: none answers, and only root can start one")
    with tempfile.TemporaryDirectory(prefix="engine-", ignore_cleanup_errors=True) as scratch:
        # The path of a Unix socket holds about 100 characters: `scratch` must stay short.
        root = Path(scratch)
        engine = Engine(docker_host=f"unix://{root}/docker.sock", client=client)
        command = [program, "--host", engine.docker_host, "--config-file", _empty_json(root / "daemon.json")]
        command += ["--data-root", f"{root}/data", "--exec-root", f"{root}/exec", "--pidfile", f"{root}/pid", *options]
        with _no_bridge_left(), no_mount_left(root), _process(command, root / "log") as process:
            _wait("docker engine", process, root / "log", engine.answers)
            try:
                yield engine
            finally:
                engine.remove_containers()


def _program(name: str) -> str:
    """Debian's program of that name rather than another that is earlier on PATH."""
    found = shutil.which(name, path="/usr/bin:/usr/sbin") or shutil.which(name)
    if found is None:
        package = "docker-registry" if name == "docker-registry" else "docker.io"
        raise MissingPartError(f"{name}: not installed (Debian package {package})")
    return found


def _empty_json(path: Path) -> str:
    """A configuration of the machine's own Engine is not for this one."""
    path.write_text("{}", encoding="utf-8")
    return str(path)


@contextmanager
def _process(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process with its output in ``log``; ended, with all it started in its session, on the way out."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
    children: set[int] = set()
    try:
        yield process
    finally:
        children = _descendants(process.pid)
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pid in children:  # dockerd's containerd is in a session of its own
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _descendants(pid: int) -> set[int]:
    """Processes below ``pid`` that are there now."""
    found: set[int] = set()
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, tasks.read_text().split()):
            found |= {child, *_descendants(child)}
    return found


def _wait(name: str, process: subprocess.Popen[bytes], log: Path, ready: Callable[[], bool], limit: float = 60) -> None:
    """Wait until ``ready``; raises MissingPartError with the end of the log if the process ends first or takes too long."""
    deadline = time.monotonic() + limit
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            last = log.read_text(errors="replace").strip().splitlines()[-1:]
            raise MissingPartError(f"{name}: does not start ({' '.join(last) or 'no output'})")
        time.sleep(0.1)


def _responds(url: str) -> bool:
    with suppress(urllib.error.URLError, ConnectionError), urllib.request.urlopen(url, timeout=2) as response:
        return bool(response.status == 200)
    return False


@contextmanager
def no_mount_left(root: Path) -> Iterator[None]:
    """Unmount what a program leaves mounted below ``root`` (network namespaces), or the directory could not go."""
    try:
        yield
    finally:
        mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        for mount in reversed([mount for mount in mounts if mount.startswith(f"{root}/")]):
            subprocess.run(["umount", "--lazy", mount], check=False)


@contextmanager
def _no_bridge_left() -> Iterator[None]:
    """Take the Engine's bridge down again, if it was not there before."""
    bridge = Path("/sys/class/net/docker0")
    had_one = bridge.exists()
    try:
        yield
    finally:
        if bridge.exists() and not had_one and shutil.which("ip"):
            subprocess.run(["ip", "link", "delete", "docker0"], check=False)
