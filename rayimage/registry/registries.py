"""The registries that one command speaks to, and what its repositories share."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from rayimage.http.transport import Transport
from rayimage.model.reference import Reference
from rayimage.registry.failures import REGISTRY
from rayimage.registry.host import CONNECTIONS, Host
from rayimage.registry.journal import NO_JOURNAL, Journal, UploadJournal
from rayimage.registry.keychain import Keychain
from rayimage.registry.repository import Repository

__all__ = ["Registries"]


class Registries:
    """Opens repositories that share connections, and per registry the way to log in and the budget. Thread-safe.

    With ``uploads``, a directory, an upload that a killed process left is continued.
    """

    def __init__(
        self, *, uploads: Path | None = None, transport: Transport | None = None, keychain: Keychain | None = None
    ) -> None:
        self._transport = transport or Transport(REGISTRY, connections=CONNECTIONS)
        self._keychain = keychain
        self._journal: UploadJournal = Journal(uploads) if uploads else NO_JOURNAL
        self._hosts: dict[str, Host] = {}
        self._readers: dict[Reference, Repository] = {}
        self._lock = threading.Lock()

    def open(self, name: Reference, *, mount_from: Sequence[Reference] | None = None) -> Repository:
        """The repository that ``name`` is in, as ``open_repository`` has it; without ``mount_from`` one for all."""
        with self._lock:
            host = self._hosts.setdefault(name.registry, Host(self._transport))
            if mount_from is None and name.name in self._readers:
                return self._readers[name.name]
            opened = Repository(
                name,
                mount_from=mount_from,
                keychain=self._keychain,
                host=host,
                journal=self._journal,
            )
            if mount_from is None:
                self._readers[name.name] = opened
            return opened

    def close(self) -> None:
        """Close the connections that are kept for later requests."""
        self._transport.close()
