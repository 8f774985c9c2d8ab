"""Image references: ``[registry/]repository[:tag][@digest]``."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from rayimage.errors import UsageError
from rayimage.model.digest import Digest

__all__ = ["DOCKER_HUB", "Reference"]

DOCKER_HUB = "docker.io"

# Grammar of the distribution specification; a repository's components and a tag's characters.
_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_REGISTRY = re.compile(r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?")


@dataclass(frozen=True, slots=True, order=True)
class Reference:
    """A name in a registry, with a tag, a digest, both or neither (then it names the repository)."""

    registry: str
    repository: str
    tag: str = ""
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read a reference as Docker does: no registry means Docker Hub, and there no namespace means ``library/``.

        Raises UsageError that names the part which does not fit the distribution specification.
        """
        name, at, digest_text = text.partition("@")
        digest = Digest.parse(digest_text) if at else None
        head, _, last = name.rpartition("/")
        last, colon, tag = last.partition(":")
        if colon and not tag:
            raise UsageError(f"not an image reference: {text!r}", why="nothing follows its colon")
        name = f"{head}/{last}" if head else last
        first, slash, rest = name.partition("/")
        if slash and ("." in first or ":" in first or first == "localhost"):
            registry, repository = first, rest
        else:
            registry, repository = DOCKER_HUB, name
        if registry in ("index.docker.io", "registry-1.docker.io"):
            registry = DOCKER_HUB
        if registry == DOCKER_HUB and "/" not in repository:
            repository = f"library/{repository}"
        _check(text, registry, repository, tag)
        return cls(registry, repository, tag, digest)

    @property
    def name(self) -> Reference:
        """The repository alone, without tag and digest."""
        return Reference(self.registry, self.repository)

    @property
    def target(self) -> str:
        """What a registry is asked for: the digest, else the tag, else ``latest``."""
        return str(self.digest) if self.digest else self.tag or "latest"

    def with_tag(self, tag: str) -> Reference:
        """The same repository and digest under ``tag``."""
        _check(tag, self.registry, self.repository, tag)
        return replace(self, tag=tag)

    def with_digest(self, digest: Digest) -> Reference:
        """The same name pinned to ``digest``."""
        return replace(self, digest=digest)

    def __str__(self) -> str:
        """The shortest form that ``parse`` reads back: Docker Hub's host and ``library/`` are left out."""
        name = f"{self.registry}/{self.repository}"
        if self.registry == DOCKER_HUB:
            name = self.repository.removeprefix("library/") if self.repository.count("/") == 1 else self.repository
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{name}{tag}{digest}"


def _check(text: str, registry: str, repository: str, tag: str) -> None:
    if not _REGISTRY.fullmatch(registry):
        raise UsageError(f"not an image reference: {text!r}", why=f"{registry!r} is no registry host")
    if not _REPOSITORY.fullmatch(repository):
        fix = "use lower-case letters, digits and single separators . _ - between them"
        raise UsageError(f"not an image reference: {text!r}", why=f"{repository!r} is no repository name", fix=fix)
    if tag and not _TAG.fullmatch(tag):
        fix = "use at most 128 letters, digits, . _ and -, not starting with . or -"
        raise UsageError(f"not an image reference: {text!r}", why=f"{tag!r} is no tag", fix=fix)
