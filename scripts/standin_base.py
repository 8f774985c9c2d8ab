"""Build a stand-in for ``rayproject/ray:2.55.1-py311`` straight into an OCI layout, where the real one is out of reach.

    python scripts/standin_base.py --output DIR [--tag 2.55.1-py311] [--ray 2.55.1] [--cache DIR]

It is Debian bookworm from the host's own apt sources (``mmdebstrap``), with what the published image has where a tool
that locks against it, or layers onto it, would look: user ray 1000:100, HOME and working directory /home/ray, Python in
/home/ray/anaconda3 and first on PATH, the older pins that Ray's image carries (``standin_pins.txt``), packages that
conda put there and pip replaced later (so layers hold whiteouts), uv in /usr/local/bin, the ``io.ray.*`` labels.

What differs from the published image:

- Debian 12 (glibc 2.36) instead of Ubuntu 22.04 (glibc 2.35); no git, tmux, screen, rsync, ssh or sudo, no
  sources for apt.
- The interpreter is Debian's, in a virtual environment, so the standard library stays in /usr/lib/python3.11 and there
  is a ``pyvenv.cfg``. ``conda-meta/python-*.json`` and ``patchlevel.h`` are written here, with its true version.
- conda itself and most of its machinery are absent. The few packages that carry INSTALLER ``conda`` and a conda-meta
  record were installed by pip and marked so.
- No cupy, no memray, and no Ray wheel left in /home/ray. One platform, the host's; OCI media types.

Needs root and mmdebstrap (exit code 3 otherwise). Wheels come from whatever index pip is configured for, and are
downloaded on the host, so that its proxies and certificates apply. The result is cached by a hash of its inputs.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import standin_image

PINS = Path(__file__).with_name("standin_pins.txt")
PACKAGES = ("ca-certificates", "netbase", "procps", "python3.11", "tzdata", "wget")
CONDA_PACKAGES = (
    "boltons==24.0.0",
    "distro==1.9.0",
    "packaging==25.0",
    "pip==24.3.1",
    "pluggy==1.6.0",
    "setuptools==80.9.0",
    "tqdm==4.67.1",
    "urllib3==2.5.0",
    "wheel==0.45.1",
)
UV = "uv==0.11.6"
HOME = "home/ray"
PREFIX = f"{HOME}/anaconda3"
SITE_PACKAGES = f"{PREFIX}/lib/python3.11/site-packages"
UID, GID = 1000, 100
EPOCH = 1_775_000_000
"""Every time stamp of the image that would be later (seconds); pip then writes hash-checked .pyc files."""
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
RUNTIME = {
    "User": str(UID),
    "WorkingDir": f"/{HOME}",
    "Env": [
        f"PATH=/{PREFIX}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/nvidia/bin",
        f"HOME=/{HOME}",
        "TZ=America/Los_Angeles",
        "LC_ALL=C.UTF-8",
        "LANG=C.UTF-8",
    ],
    "Cmd": ["/bin/bash"],
}


class CannotBuildError(Exception):
    """The host lacks what the build needs; nothing was written."""


def main() -> int:
    """Parse the arguments, build unless cached, and put the layout where it is wanted."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, required=True, help="directory of the OCI layout; replaced if it is one")
    parser.add_argument("--tag", default="2.55.1-py311")
    parser.add_argument("--ray", default="2.55.1", help="another Ray on the same pins, e.g. to test a mismatch")
    parser.add_argument("--cache", type=Path, default=default_cache())
    options = parser.parse_args()
    try:
        layout = cached_layout(options.cache, options.ray)
        publish(layout, options.output, options.tag)
    except CannotBuildError as error:
        print(f"standin_base: {error}", file=sys.stderr)
        return 3
    except subprocess.CalledProcessError as error:
        print(f"standin_base: {error.cmd[0]} failed with exit code {error.returncode}", file=sys.stderr)
        return 1
    print(f"oci:{options.output}:{options.tag}")
    return 0


def default_cache() -> Path:
    """``$XDG_CACHE_HOME/rayimage-standin``, or below ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rayimage-standin"


def cached_layout(cache: Path, ray: str) -> Path:
    """The layout for this Ray in the cache; built first if it is not there yet."""
    sources = (Path(__file__), Path(standin_image.__file__), PINS)
    inputs = (*(path.read_bytes() for path in sources), ray.encode(), platform.machine().encode())
    target = cache / hashlib.sha256(b"\0".join(inputs)).hexdigest()[:16]
    if (target / "index.json").exists():
        return target
    if os.geteuid() != 0:
        raise CannotBuildError("needs root: mmdebstrap and chroot make files that belong to other users")
    if shutil.which("mmdebstrap") is None:
        raise CannotBuildError("mmdebstrap is not installed: apt-get install mmdebstrap")
    if platform.machine() not in ARCHITECTURES:
        raise CannotBuildError(f"no stand-in for {platform.machine()}: Ray has wheels for x86_64 and aarch64")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".building-") as scratch:
        build(Path(scratch), ray)
        with contextlib.suppress(OSError):  # another run was faster: its layout is as good
            (Path(scratch) / "layout").rename(target)
    return target


def publish(layout: Path, output: Path, tag: str) -> None:
    """Put ``layout`` at ``output`` under ``tag``, by hard links where the file system allows; atomic."""
    index = json.loads((layout / "index.json").read_bytes())
    index["manifests"][0]["annotations"] = {"org.opencontainers.image.ref.name": tag}
    data = json.dumps(index).encode()
    if (output / "index.json").exists() and (output / "index.json").read_bytes() == data:
        return
    if output.exists() and any(output.iterdir()) and not (output / "oci-layout").exists():
        raise SystemExit(f"standin_base: {output} holds something else than an OCI layout: give another --output")
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".standin-") as scratch:
        shutil.copytree(layout, f"{scratch}/new", copy_function=link_or_copy)
        (Path(scratch) / "new/index.json").unlink()
        (Path(scratch) / "new/index.json").write_bytes(data)
        if output.exists():
            output.rename(f"{scratch}/old")
        Path(scratch, "new").rename(output)


def link_or_copy(source: str, target: str) -> None:
    """A hard link, or a copy on another file system."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def build(scratch: Path, ray: str) -> None:
    """Build the image in ``scratch/root`` and its layers, step by step, into ``scratch/layout``."""
    root, wheels = scratch / "root", scratch / "root/wheels"
    root.mkdir()
    image = standin_image.Image(root, scratch / "layout", owned={HOME: (UID, GID)}, epoch=EPOCH)
    pins = [line for line in PINS.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    with step("Debian"):
        debootstrap(root)
        chroot(root, "useradd", "--uid", str(UID), "--gid", str(GID), "--create-home", "--shell", "/bin/bash", "ray")
    with step("wheels"):
        download(wheels, CONDA_PACKAGES)
        download(wheels, [*pins, f"ray=={ray}", UV])
        extract_uv(wheels, root)
        image.commit("Debian bookworm, user ray, uv")
    with step("Python"):
        python = make_environment(root)
        install(root, wheels, CONDA_PACKAGES)
        for directory in sorted((root / SITE_PACKAGES).glob("*.dist-info")):
            mark_as_conda(root, directory)
        image.commit(f"Python {python}")
    with step("pinned packages"):
        (root / HOME / "python_depset.lock").write_text("\n".join(pins) + "\n", encoding="utf-8")
        image.commit("COPY python_depset.lock")
        install(root, wheels, pins)
        image.commit("pinned packages")
    with step("Ray"):
        commit = install_ray(root, wheels)
        image.commit(f"ray {ray}")
    labels = {"io.ray.ray-version": ray, "io.ray.ray-commit": commit}
    image.finish(ARCHITECTURES[platform.machine()], {**RUNTIME, "Labels": labels})


@contextlib.contextmanager
def step(name: str) -> Iterator[None]:
    """Say how long a step took."""
    start = time.monotonic()
    yield
    print(f"standin_base: {name}: {time.monotonic() - start:.1f} s", file=sys.stderr)


def debootstrap(root: Path) -> None:
    """Debian bookworm in ``root`` from the host's sources of that suite, or mmdebstrap's own if it has none."""
    sources = [
        path
        for path in (Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*")))
        if path.suffix in {".list", ".sources"}
        and path.is_file()
        and re.search(r"^(?!\s*#).*\sbookworm(\s|$)", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    excluded = ("man", "doc", "info", "locale", "lintian", "bug")
    command = ["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", f"--include={','.join(PACKAGES)}"]
    command += [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in excluded]
    subprocess.run(
        [*command, "bookworm", root, *sources], check=True, env={**os.environ, "SOURCE_DATE_EPOCH": str(EPOCH)}
    )


def chroot(root: Path, *command: str) -> str:
    """Run a command inside the image's file system, cut off from the host's settings; return its output."""
    environment = {
        "HOME": f"/{HOME}",
        "LANG": "C.UTF-8",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_CACHE_DIR": "1",
        "PATH": f"/{PREFIX}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin",
        "SOURCE_DATE_EPOCH": str(EPOCH),
    }
    arguments = ["chroot", os.fspath(root), *command]
    return subprocess.run(arguments, check=True, env=environment, stdout=subprocess.PIPE, text=True).stdout


def download(wheels: Path, requirements: Sequence[str]) -> None:
    """Fetch the wheels with the host's pip, for the image's Python and glibc."""
    machine = platform.machine()
    tags = [f"manylinux_2_{minor}_{machine}" for minor in range(36, 4, -1)]
    tags += [f"manylinux{name}_{machine}" for name in ("2014", "2010", "1")]
    command = [sys.executable, "-m", "pip", "download", "-qq", "--no-deps", "--only-binary=:all:"]
    command += ["--implementation=cp", "--python-version=3.11", *(f"--platform={tag}" for tag in tags)]
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    subprocess.run([*command, f"--dest={wheels}", *requirements], check=True, env=environment)


def extract_uv(wheels: Path, root: Path) -> None:
    """The image has uv as a program outside its Python environment."""
    (wheel,) = wheels.glob("uv-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (member,) = (name for name in archive.namelist() if name.endswith(".data/scripts/uv"))
        target = root / "usr/local/bin/uv"
        target.write_bytes(archive.read(member))
        target.chmod(0o755)


def make_environment(root: Path) -> str:
    """An empty environment at PREFIX, shaped like conda's; returns the interpreter's full version."""
    for directory in (f"{PREFIX}/bin", SITE_PACKAGES, f"{PREFIX}/conda-meta", f"{PREFIX}/include/python3.11"):
        (root / directory).mkdir(parents=True)
    shutil.copy2(root / "usr/bin/python3.11", root / PREFIX / "bin/python3.11")
    for name in ("python", "python3"):
        (root / PREFIX / "bin" / name).symlink_to("python3.11")
    version = chroot(root, "/usr/bin/python3.11", "-c", "import platform; print(platform.python_version())").strip()
    (root / PREFIX / "pyvenv.cfg").write_text(
        f"home = /usr/bin\ninclude-system-site-packages = false\nversion = {version}\n", encoding="utf-8"
    )
    (root / PREFIX / "include/python3.11/patchlevel.h").write_text(
        f'#define PY_VERSION              "{version}"\n', encoding="utf-8"
    )
    write_conda_record(root, "python", version, [f"bin/{name}" for name in ("python", "python3", "python3.11")])
    return version


def install(root: Path, wheels: Path, requirements: Sequence[str]) -> None:
    """Install from ``wheels`` with the pip that is among them, as the image's build does: without dependencies."""
    (pip,) = wheels.glob("pip-*.whl")
    command = [f"/{PREFIX}/bin/python", f"/wheels/{pip.name}/pip", "install", "--quiet", "--no-deps", "--no-index"]
    command += ["--find-links=/wheels", "--root-user-action=ignore", "--no-warn-script-location"]
    chroot(root, *command, *requirements)


def mark_as_conda(root: Path, dist_info: Path) -> None:
    """Give an installed distribution the marks of one that conda installed."""
    name, _, version = dist_info.name.removesuffix(".dist-info").partition("-")
    build_url = f"file:///home/conda/feedstock_root/build_artifacts/{name}_0/work"
    (dist_info / "INSTALLER").write_text("conda\n", encoding="utf-8")
    (dist_info / "direct_url.json").write_text(json.dumps({"dir_info": {}, "url": build_url}), encoding="utf-8")
    record = dist_info / "RECORD"
    lines = record.read_text(encoding="utf-8").splitlines()
    kept = [
        line for line in lines if not line.startswith((f"{dist_info.name}/INSTALLER,", f"{dist_info.name}/REQUESTED,"))
    ]
    kept += [f"{dist_info.name}/INSTALLER,,", f"{dist_info.name}/direct_url.json,,"]
    record.write_text("\n".join(kept) + "\n", encoding="utf-8")
    (dist_info / "REQUESTED").unlink(missing_ok=True)
    files = [os.path.normpath(f"lib/python3.11/site-packages/{line.rsplit(',', 2)[0]}") for line in kept]
    write_conda_record(root, name, version, files)


def write_conda_record(root: Path, name: str, version: str, files: list[str]) -> None:
    """The file that conda keeps for each of its packages; the only place where a file name tells Python's patch."""
    build_string = "0_standin"
    record = {"name": name, "version": version, "build": build_string, "build_number": 0, "files": sorted(files)}
    target = root / PREFIX / "conda-meta" / f"{name}-{version}-{build_string}.json"
    target.write_text(json.dumps(record, indent=2), encoding="utf-8")


def install_ray(root: Path, wheels: Path) -> str:
    """Install Ray from a wheel in its home, as the published image does; returns the commit it was built from."""
    (wheel,) = wheels.glob("ray-*.whl")
    local = wheel.rename(root / HOME / wheel.name)
    install(root, wheels, [f"/{HOME}/{local.name}"])
    local.unlink()
    freeze = chroot(root, f"/{PREFIX}/bin/python", "-m", "pip", "freeze")
    (root / HOME / "pip-freeze.txt").write_text(freeze, encoding="utf-8")
    version_file = (root / SITE_PACKAGES / "ray/_version.py").read_text(encoding="utf-8")
    found = re.search(r'^commit = "(\w+)"', version_file, re.MULTILINE)
    return found[1] if found else "unknown"


if __name__ == "__main__":
    sys.exit(main())
