"""The Dockerfiles of the contenders: what their users are told to write, and what is fair to write here.

Best practice, from the documentation of uv (Docker guide), pip and BuildKit: packages in a layer of their own below the
code; the installer's cache in a cache mount; requirements bind-mounted, so that only their content counts; uv mounted
from its image, so that it is not in ours; locked and hashed requirements, without resolving again. No bytecode is
compiled, as rayimage compiles none.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["INDEX_ARGUMENT", "Installer", "dockerfile", "warm_up"]

INDEX_ARGUMENT = "INDEX_URL"
"""The build argument that names the package index."""

_OWNER = "uid=1000,gid=100"


@dataclass(frozen=True, slots=True, kw_only=True)
class Installer:
    """uv or pip: mounts and command of the RUN that installs a requirements file."""

    name: str
    cache: str
    command: str
    mounts: tuple[str, ...] = ()
    copied: bool = False
    """Whether requirements come in a layer of their own, for a builder that takes no notice of what a bind mount
    contains and would go on with the packages of before: buildah, containers/buildah#5400."""

    def run(self, *scripts: str, requirements: tuple[str, ...] = ("requirements.txt",)) -> str:
        """A RUN of ``scripts``, each behind the install command, with the cache and ``requirements`` mounted."""
        mounts = [f"type=cache,id=bench-{self.name},target={self.cache},{_OWNER}", *self.mounts]
        mounts += [f"type=bind,source={name},target=/tmp/{name}" for name in requirements]
        lines = [f"--mount={mount} \\" for mount in mounts]
        return "\n    ".join(["RUN \\", *lines, " && ".join(f"{self.command} {script}" for script in scripts)])

    @classmethod
    def uv(cls, image: str) -> Installer:
        """uv, mounted from ``image``."""
        return cls(
            name="uv",
            cache="/home/ray/.cache/uv",
            mounts=(f"type=bind,from={image},source=/uv,target=/usr/local/bin/uv",),
            # The cache mount is another file system: without the link mode uv would try hard links first, and warn.
            command=f"UV_LINK_MODE=copy UV_DEFAULT_INDEX=${INDEX_ARGUMENT} "
            "uv pip install --python $(command -v python) --no-deps",
        )

    @classmethod
    def pip(cls) -> Installer:
        """The base's pip."""
        return cls(
            name="pip",
            cache="/home/ray/.cache/pip",
            command=f"PIP_INDEX_URL=${INDEX_ARGUMENT} PIP_DISABLE_PIP_VERSION_CHECK=1 "
            "python -m pip install --no-compile --no-deps",
        )


def dockerfile(base: str, installer: Installer, code: str) -> str:
    """Packages, then the directory ``code``."""
    install = "--require-hashes -r /tmp/requirements.txt"
    if installer.copied:
        packages = ["COPY requirements.txt /tmp/", installer.run(install, requirements=())]
    else:
        packages = [installer.run(install)]
    return _lines(
        f"FROM {base}",
        f"ARG {INDEX_ARGUMENT}",
        "WORKDIR /home/ray/app",
        *packages,
        "ENV PYTHONPATH=/home/ray/app",
        f"COPY --chown=1000:100 {code} ./{code}",
    )


def warm_up(base: str, installer: Installer) -> str:
    """Fills the installer's cache with the wheels of both states, and leaves nothing else."""
    install = [f"--target /tmp/{state} --require-hashes -r /tmp/{state}.txt" for state in ("before", "after")]
    run = installer.run(*install, requirements=("before.txt", "after.txt"))
    return _lines(f"FROM {base}", f"ARG {INDEX_ARGUMENT}", f"{run} && rm -rf /tmp/before /tmp/after")


def _lines(*lines: str) -> str:
    return "\n".join([*lines, ""])
