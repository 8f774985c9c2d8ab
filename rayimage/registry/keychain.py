"""Credentials from the files that ``docker login``, ``podman login`` and their helpers keep.

The files are read here rather than by ``docker.auth``, which knows Docker's file only, hands an entry that is scoped
to ``host/team`` to ``host`` as well, and names its result's keys in three ways. The helper protocol is the SDK's.
Looked up only when a registry asks for credentials; a helper is slow, so each is asked once per server.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import shutil
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from rayimage.errors import AuthError, RegistryError
from rayimage.http.urls import basic_authorization
from rayimage.model.reference import Reference
from rayimage.registry.quirks import quirks_of

__all__ = ["ANONYMOUS", "Credentials", "Keychain", "credential_files", "default_keychain"]

_TOKEN_USER = "<token>"  # noqa: S105 -- docker-credential-helpers' mark of an identity token


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What proves who we are; secrets stay out of ``repr``. ``source`` is for messages."""

    source: str
    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)

    @property
    def basic(self) -> str:
        """The value of an ``Authorization: Basic`` header; empty when there is no user."""
        return basic_authorization(self.username, self.password) if self.username else ""


ANONYMOUS = Credentials(source="none (anonymous)")


@dataclass(frozen=True, slots=True)
class _File:
    """One parsed credentials file."""

    path: Path
    auths: Mapping[str, Any]
    helpers: Mapping[str, str]
    store: str


class Keychain:
    """Credentials of the files, first match wins; inside a file ``credHelpers``, then ``credsStore``, then ``auths``.

    Thread-safe.
    """

    def __init__(self, paths: tuple[Path, ...]) -> None:
        self._paths = paths
        self._files: list[_File] | None = None
        self._told: dict[tuple[str, str], Credentials | None] = {}
        self._lock = threading.Lock()

    def resolve(self, name: Reference) -> Credentials:
        """The credentials for a repository, ANONYMOUS if there are none.

        Raises RegistryError for a file that does not parse, AuthError for a helper that is missing or fails.
        """
        with self._lock:
            if self._files is None:
                self._files = [_read(path) for path in self._paths if path.is_file()]
            found = (self._look_up(file, name) for file in self._files)
            return next((credentials for credentials in found if credentials), ANONYMOUS)

    def _look_up(self, file: _File, name: Reference) -> Credentials | None:
        keys = tuple(_keys(name))
        for key, helper in _matching(keys, file.helpers):
            return self._ask(helper, key)
        if file.store:
            known = quirks_of(name.registry).credential_keys
            told = self._ask(file.store, known[0] if known else name.registry)
            if told:
                return told
        for key, entry in _matching(keys, file.auths):
            credentials = _from_entry(file.path, key, entry)
            if credentials:
                return credentials
        return None

    def _ask(self, helper: str, server: str) -> Credentials | None:
        if (helper, server) not in self._told:
            self._told[helper, server] = _run_helper(helper, server)
        return self._told[helper, server]


def credential_files(environment: Mapping[str, str], home: Path) -> tuple[Path, ...]:
    """Where credentials may be, in the order of go-containerregistry: Docker's file, then Podman's.

    ``DOCKER_CONFIG`` stands in for ``~/.docker`` as it does for Docker, so an empty directory there means none.
    """
    docker = environment.get("DOCKER_CONFIG")
    paths = [(Path(docker) if docker else home / ".docker") / "config.json"]
    if environment.get("REGISTRY_AUTH_FILE"):
        paths.append(Path(environment["REGISTRY_AUTH_FILE"]))
    if environment.get("XDG_RUNTIME_DIR"):
        paths.append(Path(environment["XDG_RUNTIME_DIR"]) / "containers/auth.json")
    paths.append(home / ".config/containers/auth.json")
    return tuple(paths)


def default_keychain() -> Keychain:
    """The keychain of this user, one per process, so that no helper is asked twice."""
    return _keychain(credential_files(os.environ, Path.home()))


@lru_cache(maxsize=8)
def _keychain(paths: tuple[Path, ...]) -> Keychain:
    return Keychain(paths)


def _read(path: Path) -> _File:
    try:
        data = json.loads(path.read_bytes() or b"{}")
        return _File(
            path=path,
            auths=dict(data.get("auths") or {}),
            helpers=dict(data.get("credHelpers") or {}),
            store=str(data.get("credsStore") or ""),
        )
    except (OSError, ValueError, TypeError, AttributeError) as error:
        why = getattr(error, "strerror", None) or "it is not the JSON object that docker login writes"
        raise RegistryError(f"cannot read credentials from {path}", why=why, fix="repair or remove the file") from error


def _keys(name: Reference) -> Iterator[str]:
    """The keys that hold for a repository, closest first, then the registry's other names.

    For ``host/team/app`` these are ``host/team/app``, ``host/team`` and ``host`` (containers-auth.json(5)).
    """
    path = f"{name.registry}/{name.repository}"
    while path != name.registry:
        yield path
        path = path.rpartition("/")[0]
    yield name.registry
    yield from (_normal(key) for key in quirks_of(name.registry).credential_keys)


def _normal(key: str) -> str:
    """A key without the scheme and API version that old Docker clients wrote."""
    bare = key.removeprefix("https://").removeprefix("http://").rstrip("/")
    return bare.removesuffix("/v1").removesuffix("/v2") if bare != key else bare


def _matching(keys: tuple[str, ...], entries: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The entries that hold, closest first, under the keys as the file writes them."""
    for wanted in keys:
        yield from ((key, entry) for key, entry in entries.items() if _normal(key) == wanted)


def _from_entry(path: Path, key: str, entry: Any) -> Credentials | None:
    """An ``auths`` entry; None for the empty one that Docker writes beside a credentials store."""
    source = f"{path.name} entry for {key}"
    try:
        if entry.get("identitytoken"):
            return Credentials(source=source, identity_token=str(entry["identitytoken"]))
        if entry.get("auth"):
            username, colon, password = base64.b64decode(entry["auth"]).decode().partition(":")
            if not colon:
                raise ValueError("no colon")
            return Credentials(source=source, username=username, password=password.strip("\0"))
        if entry.get("username"):
            return Credentials(source=source, username=entry["username"], password=str(entry.get("password", "")))
    except (ValueError, TypeError, AttributeError, binascii.Error) as error:
        fix = f"run: docker login {key}"
        # The cause is not shown: it may quote the secret.
        raise RegistryError(f"cannot read the entry for {key} in {path}", why="it is malformed", fix=fix) from error
    return None


def _run_helper(helper: str, server: str) -> Credentials | None:
    """Ask ``docker-credential-<helper>`` for a server; None when it knows none (its exit code says failure then)."""
    from docker.credentials.errors import CredentialsNotFound, StoreError
    from docker.credentials.store import Store

    program = f"docker-credential-{helper}"
    what = f"no credentials for {server} from {program}"
    if not shutil.which(program):
        fix = f"install {program}, or take it out of credsStore or credHelpers in Docker's config.json"
        raise AuthError(what, why="the program is not on PATH", fix=fix)
    try:
        told: dict[str, str] = Store(helper).get(server)  # type: ignore[no-untyped-call]
        username, secret = str(told["Username"]), str(told["Secret"])
    except CredentialsNotFound:
        return None
    except (StoreError, ValueError, KeyError, TypeError) as error:
        # The output of a helper that failed half-way may hold the secret.
        why = str(error)[:200] if isinstance(error, StoreError) and "Secret" not in str(error) else "it failed"
        raise AuthError(what, why=why, fix=f"run: docker login {server}") from error
    source = f"{program} for {server}"
    if username == _TOKEN_USER:
        return Credentials(source=source, identity_token=secret)
    return Credentials(source=source, username=username, password=secret)
