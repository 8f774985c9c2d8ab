"""A client that does not wait, and that knows only the credentials a test gives it."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from io import BytesIO
from pathlib import Path

import pytest

from rayimage.http.patience import RetryPolicy
from rayimage.http.transport import Transport
from rayimage.model.content import Blob
from rayimage.model.descriptor import Descriptor
from rayimage.model.digest import Digest
from rayimage.model.reference import Reference
from rayimage.registry.failures import REGISTRY
from rayimage.registry.host import Host
from rayimage.registry.journal import NO_JOURNAL, Journal
from rayimage.registry.keychain import Keychain
from rayimage.registry.repository import Repository
from tests.support.fake_registry import FakeRegistry

Connect = Callable[..., Repository]


class Naps(list[float]):
    """How long the client would have slept, and the time it would be."""

    def clock(self) -> float:
        return time.monotonic() + sum(self)


@pytest.fixture
def naps() -> Naps:
    """How long the client would have slept."""
    return Naps()


@pytest.fixture
def connect(tmp_path: Path, naps: Naps) -> Iterator[Connect]:
    """``connect(registry, "team/app", login="user:secret")`` opens a repository and closes it after the test."""
    with ExitStack() as stack:

        def open_it(
            registry: FakeRegistry | str,
            repository: str = "team/app",
            *,
            login: str = "",
            token: str = "",
            mount: tuple[str, ...] = (),
            journal: Path | None = None,
        ) -> Repository:
            host = registry if isinstance(registry, str) else registry.host
            entry = {"identitytoken": token} if token else {"auth": base64.b64encode(login.encode()).decode()}
            file = tmp_path / "config.json"
            file.write_text(json.dumps({"auths": {host: entry} if login or token else {}}))
            transport = Transport(REGISTRY, policy=RetryPolicy(sleep=naps.append, random=lambda: 1.0, clock=naps.clock))
            siblings = [Reference(host, each) for each in mount] or None
            name = Reference(host, repository)
            return stack.enter_context(
                Repository(
                    name,
                    mount_from=siblings,
                    host=Host(transport),
                    keychain=Keychain((file,)),
                    journal=Journal(journal) if journal else NO_JOURNAL,
                )
            )

        yield open_it


def blob_of(data: bytes, *, origin: Reference | None = None, really: bytes | None = None) -> Blob:
    """A blob in memory; ``really`` are the bytes that are read instead of those it claims."""
    descriptor = Descriptor(media_type="application/octet-stream", digest=Digest.of(data), size=len(data))
    return Blob(
        descriptor=descriptor, open=lambda: nullcontext(BytesIO(data if really is None else really)), origin=origin
    )


@pytest.fixture(scope="session")
def payload() -> bytes:
    """Three and a half megabytes without a pattern that a shifted offset would survive."""
    return b"".join(index.to_bytes(4, "big") for index in range(7 * 131072))
