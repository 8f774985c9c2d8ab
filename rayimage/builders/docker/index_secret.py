"""What a build has to know of package indexes and must not keep: two files, for the time of the build.

They reach RUN as BuildKit's secrets, which are in no layer, no history and no cache. One is a shell script that sets
pip's and uv's variables; of Docker's own, only proxies are passed, as arguments that Docker keeps out of the history
(docs.docker.com/reference/dockerfile/#predefined-args).
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import quote, urlunsplit

from rayimage.builders.download import Downloader
from rayimage.builders.simple_index import DEFAULT_INDEX_VARIABLES, configured_indexes
from rayimage.errors import UsageError
from rayimage.http.urls import is_http, split_url

__all__ = ["PROXIES", "index_script", "index_secrets"]

PROXIES: Final = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY")
_CERTIFICATES: Final = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
_LINKS: Final = ("PIP_FIND_LINKS", "UV_FIND_LINKS")
_CA_IN_BUILD: Final = "/dev/certificates"
_SECRET_LIMIT: Final = 500 * 1024
"""BuildKit takes no larger secret (moby/buildkit session/secrets: MaxSecretSize)."""


@contextmanager
def index_secrets(
    indexes: Sequence[str], accounts: Sequence[str], environ: Mapping[str, str] = os.environ
) -> Iterator[dict[str, Path]]:
    """The secrets of a build by id, in files that only this user can read and that are gone afterwards.

    ``indexes`` and ``accounts`` as the specs name them. Raises UsageError for certificates that cannot be passed.
    """
    certificates = _certificates(environ)
    with TemporaryDirectory(prefix="rayimage-secret-") as directory:
        script = Path(directory) / "index"
        script.touch(mode=0o600)
        script.write_text(index_script(indexes, accounts, environ, certificates=certificates is not None))
        yield {"index": script} | ({"certificates": certificates} if certificates else {})


def index_script(
    indexes: Sequence[str], accounts: Sequence[str], environ: Mapping[str, str], *, certificates: bool = False
) -> str:
    """The shell script: the same indexes, credentials included, for pip and for uv."""
    found = configured_indexes(environ, more=indexes)
    downloader = Downloader((*accounts, *found))
    urls = [_with_credentials(url, downloader) for url in found]
    default = urls[0] if any(is_http(environ.get(name, "")) for name in DEFAULT_INDEX_VARIABLES) else ""
    others = " ".join(url for url in urls if url != default)
    links = " ".join(dict.fromkeys(url for name in _LINKS for url in environ.get(name, "").split() if is_http(url)))
    variables = {
        "PIP_INDEX_URL": default,
        "UV_DEFAULT_INDEX": default,
        "PIP_EXTRA_INDEX_URL": others,
        "UV_INDEX": others,
        "PIP_FIND_LINKS": links,
        "PIP_CERT": _CA_IN_BUILD if certificates else "",
        "SSL_CERT_FILE": _CA_IN_BUILD if certificates else "",
        **{name: environ.get(name, "") for name in ("PIP_TRUSTED_HOST", "PIP_DEFAULT_TIMEOUT", "UV_INSECURE_HOST")},
    }
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items() if value)


def _with_credentials(url: str, downloader: Downloader) -> str:
    parts = split_url(url)
    found = downloader.credentials(url)
    if parts.password or not found:
        return url
    user, password = (quote(part, safe="") for part in found)
    return urlunsplit(parts._replace(netloc=f"{user}:{password}@{parts.netloc.rpartition('@')[2]}"))


def _certificates(environ: Mapping[str, str]) -> Path | None:
    """The file of certificates that this machine trusts in the place of the system's, if one is named."""
    name = next((name for name in _CERTIFICATES if environ.get(name)), None)
    if name is None:
        return None
    path = Path(environ[name])
    try:
        size = path.stat().st_size
    except OSError as error:
        raise UsageError(f"{name} names {path}", why=error.strerror or str(error), fix="correct or unset it") from error
    if not path.is_file() or size > _SECRET_LIMIT:
        raise UsageError(
            f"{name} names {path}, which a Docker build cannot be given",
            why=f"secrets are files of at most {_SECRET_LIMIT} bytes",
            fix="name a file with the certificates that are needed, or use --wheelhouse, which downloads here",
        )
    return path
