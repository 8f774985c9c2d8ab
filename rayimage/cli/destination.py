"""Where a build's images go: a registry (and then into YAML), an OCI layout, or an Engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rayimage.cli.app import App
from rayimage.errors import ContentError, EngineError, UsageError
from rayimage.model.reference import Reference

if TYPE_CHECKING:
    from rayimage.builders.publish import PublishedRole, Release
    from rayimage.config import Project
    from rayimage.model.content import ContentStore
    from rayimage.registry import Repository

__all__ = ["Destination"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """One of ``push``, ``oci``, ``docker``; ``manifests`` are the YAML files that follow a push."""

    kind: Literal["push", "oci", "docker"]
    layout: Path | None = None
    repository: Reference | None = None
    local_name: str = ""
    manifests: tuple[Path, ...] = ()

    @classmethod
    def choose(cls, app: App, project: Project, environment: str | None, output: str | None) -> Destination:
        """Read ``--env`` and ``--output``; raises UsageError or ConfigError for what does not exist."""
        from rayimage.config import repository_of

        if output is None:
            repository = repository_of(project, environment)
            chosen = project.environments.get(environment or project.default_environment or "")
            files = chosen.manifest_files(project.root) if chosen else ()
            return cls(kind="push", repository=repository, manifests=files)
        scheme, _, path = output.partition(":")
        if scheme == "oci" and path:
            return cls(kind="oci", layout=(app.directory / path).resolve())
        if output == "docker":
            if project.layering.compression == "zstd":
                raise UsageError(
                    "zstd layers cannot be loaded into an Engine",
                    why=f'{project.source} says compression = "zstd", which Engines read only since 23.0',
                    fix='set compression = "gzip", or use --output oci:DIR',
                )
            from rayimage.builders.docker.load import connect

            connect().close()  # an Engine that does not answer is better known before the build than after
            return cls(kind="docker", local_name=project.repository or project.root.name.lower())
        raise UsageError(f"--output {output!r} is unknown", fix="use oci:DIR or docker, or leave it out to push")

    @property
    def sent(self) -> str:
        """What happens to a layer that is not there yet."""
        return {"push": "uploaded", "oci": "written", "docker": "loaded"}[self.kind]

    @staticmethod
    def check_tag(tag: str | None, project: Project) -> None:
        """Raise UsageError for a ``--tag`` that makes no tag with a role's name, before anything is built."""
        for role in project.roles if tag is not None else ():
            Reference("example.com", "image").with_tag(f"{tag}-{role.name}")

    def references(self, release: Release, tag: str) -> dict[str, Reference]:
        """``repository:tag-role@digest`` per role of a push, else nothing."""
        if self.repository is None:
            return {}
        return {
            role: self.repository.with_tag(f"{tag}-{role}").with_digest(top.digest)
            for role, top in release.tops.items()
        }

    def open_repository(self, app: App, project: Project) -> Repository | None:
        """The repository to push to, None when there is none; with the right to mount what bases and caches have.

        One for the whole command: its connections and its token serve the cache and the push. Nothing is asked yet.
        """
        if self.repository is None:
            return None
        bases = [role.base for role in project.roles if not role.base.startswith("oci:")]
        names = {Reference.parse(text).name for text in (*bases, *project.cache_from)}
        mountable = sorted(n for n in names if n.registry == self.repository.registry and n != self.repository)
        return app.registries.open(self.repository, mount_from=mountable)

    def send(self, app: App, release: Release, tag: str, repository: Repository | None) -> tuple[PublishedRole, ...]:
        """Store the release; an Engine has no manifests to tell of, so a load publishes nothing."""
        from rayimage.builders.publish import publish

        app.progress.call(_titles(release))
        if self.kind == "docker":
            self._load(app, release, tag)
            return ()
        with app.progress.stage("push" if self.kind == "push" else "write layout"):
            return publish(release, repository or self._layout(), tag=tag, progress=app.progress)

    def check_pushed(self, app: App, published: Sequence[PublishedRole]) -> None:
        """Ask the registry what each tag names now; raises ContentError if it is not what was built."""
        if self.repository is None:
            return
        repository = app.open_repository(self.repository)
        for role in published:
            there = repository.head(role.tag)
            if there is None or there.digest != role.digest:
                raise ContentError(
                    f"{self.repository}:{role.tag} is not what was pushed",
                    why=f"the registry says {there.digest if there else 'that it is not there'}, not {role.digest}",
                    fix="see whether somebody else pushes this tag; the YAML was not changed",
                )

    def _layout(self) -> ContentStore:
        from rayimage.image.layout import OciLayout

        assert self.layout is not None  # noqa: S101
        return OciLayout.create(self.layout)

    def _load(self, app: App, release: Release, tag: str) -> None:
        from rayimage.builders.docker.load import connect, engine_architecture, load

        client = connect()
        architecture = engine_architecture(client)
        with app.progress.stage("load"):
            for role, images in release.images.items():
                by_architecture = {image.plan.platform.architecture: image for image in images}
                if architecture not in by_architecture:
                    raise EngineError(
                        f"the Engine cannot run the image of {role}",
                        why=f"it runs {architecture}, the image is for {', '.join(sorted(by_architecture))}",
                        fix=f'add "linux/{architecture}" to platforms',
                    )
                load(by_architecture[architecture], self.names(release, tag)[role], client, app.progress)

    def names(self, release: Release, tag: str) -> Mapping[str, str]:
        """What a person calls the images, by role: pushed references, ``oci:DIR:TAG``, or the Engine's names."""
        if self.layout is not None:
            return {role: f"oci:{self.layout}:{tag}-{role}" for role in release.tops}
        if self.kind == "docker":
            return {role: f"{self.local_name}:{tag}-{role}" for role in release.tops}
        return {role: str(reference) for role, reference in self.references(release, tag).items()}


def _titles(release: Release) -> dict[str, str]:
    """What the blobs hold, by the short digests that uploads are reported under."""
    from rayimage.image.plan import LayerKind

    images = [image for images in release.images.values() for image in images]
    titles = {image.manifest.config.digest.short: f"config of {image.plan.label}" for image in images}
    for image in images:
        for layer in image.layers:
            short = layer.descriptor.digest.short
            titles[short] = f"base layer {short}" if layer.kind is LayerKind.BASE else layer.title
    return titles
