"""Where registries leave the distribution specification, as data.

Here stands what has to be known before the first request, about registries that are known by their names. Everything
else shows in an answer, and is handled where the answer is read; those who run the same software differ in the proxy
in front of it, so the answer says more than its name:

- mounts that answer 202 for ever (Artifactory, ggcr's server: bazel-contrib/rules_img ``docs/registry-support.md``) or
  an error (google/go-containerregistry#1404): ``upload``. ``mount`` never goes without ``from``, as Quay fails on it.
- 413 of a proxy (Harbor and GitLab behind nginx, Cloudflare's 100 MB), and requests that are cut after some time:
  smaller chunks, ``transfer``.
- no PATCH, or none that continues (404, 405, 416, 501: artifact-keeper/artifact-keeper#3275, regclient/regclient#75):
  the blob in one request, ``transfer``.
- uploads that are forgotten when a request into them is cut (distribution 2.8): a new upload, ``transfer``.
- repositories that have to be created first (Amazon ECR, aws/containers-roadmap#853): advice in ``failures``.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field

from rayimage.http.urls import is_this_machine
from rayimage.model.reference import DOCKER_HUB

__all__ = ["INSECURE_REGISTRIES", "Quirks", "base_url", "host_of", "is_loopback", "quirks_of"]

INSECURE_REGISTRIES = "RAYIMAGE_INSECURE_REGISTRIES"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quirks:
    """What has to be known about a registry before it is asked."""

    api_host: str = ""
    """The host that speaks the protocol, when the name of the registry is another."""
    credential_keys: tuple[str, ...] = field(default=())
    """Keys under which Docker's files keep its credentials, besides the host; the first is told to helpers."""
    patches: bool = True
    """Whether PATCH may continue an upload."""
    resumes: bool = True
    """Whether an upload that was cut may be continued."""
    chunks: bool = True
    """Whether a large blob may go in chunks of 64 MiB before a limit is met."""
    limit: int = 0
    """Bytes that may go in one request; 0: no limit is known."""


_TABLE = (
    # Docker Hub: https://docs.docker.com/reference/cli/docker/login/ keeps the key of the first Hub API.
    (
        re.compile(re.escape(DOCKER_HUB)),
        Quirks(
            api_host="registry-1.docker.io",
            credential_keys=("https://index.docker.io/v1/", "index.docker.io", "registry-1.docker.io"),
        ),
    ),
    # Google Artifact Registry takes an upload in one piece: dotnet/sdk-container-builds#287, kitops-ml/kitops#777.
    (re.compile(r"(.+-docker\.pkg\.dev|(.+\.)?gcr\.io)"), Quirks(patches=False)),
    # Amazon ECR tells a Range that stands still (aws/containers-roadmap#2831) and wants a new upload after a failure
    # (google/go-containerregistry#431).
    (
        re.compile(r".+\.dkr\.ecr(-fips)?\..+\.amazonaws\.com(\.cn)?|public\.ecr\.aws"),
        Quirks(resumes=False, chunks=False),
    ),
    # GitHub refuses a PATCH of more than 4 MiB with 416, a PUT not: ocx-sh/ocx#237, oras-project/rust-oci-client#37.
    (re.compile(r"ghcr\.io"), Quirks(resumes=False, chunks=False)),
    # Azure answers 413 to bodies of more than about 20 MB: goharbor/harbor#23015.
    (re.compile(r".+\.azurecr\.(io|cn|us)"), Quirks(limit=16 * 1024 * 1024)),
)
_NONE = Quirks()


def quirks_of(registry: str) -> Quirks:
    """What is known about ``registry`` (``host[:port]`` as in a Reference)."""
    return next((quirks for pattern, quirks in _TABLE if pattern.fullmatch(registry)), _NONE)


def host_of(registry: str) -> str:
    """The host name without its port, and without the brackets of an IPv6 address."""
    bracketed = re.fullmatch(r"\[(.*)\](:\d+)?", registry)
    if bracketed:
        return bracketed[1]
    return registry if registry.count(":") > 1 else registry.partition(":")[0]


def is_loopback(registry: str) -> bool:
    """Whether ``registry`` is this very machine: ``localhost``, 127.0.0.0/8 or ::1."""
    return is_this_machine(host_of(registry))


def base_url(registry: str) -> str:
    """``scheme://host[:port]`` of the registry's API.

    https, but http on loopback as Docker does it, and for the hosts that ``RAYIMAGE_INSECURE_REGISTRIES``
    (comma-separated, with their port) lists.
    """
    listed = {item.strip() for item in os.environ.get(INSECURE_REGISTRIES, "").split(",")}
    scheme = "http" if is_loopback(registry) or registry in listed else "https"
    return f"{scheme}://{quirks_of(registry).api_host or registry}"
