"""What another tool locked, in one form: every package with its version, where it is wanted, and its hashes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from rayimage.specs.findings import Findings
from rayimage.specs.toml import inline

__all__ = ["Lock", "Pin", "index_tables", "require_pins"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """A locked package: ``name==version``, or ``name @ URL``, with the marker that is left; or a directory by name."""

    requirement: Requirement
    hashes: frozenset[str] = frozenset()
    """Hex sha256 digests of all its files; empty where the lock does not say."""
    index: str = ""
    """The index that it comes from; empty for the default one."""
    directory: Path | None = None


@dataclass(slots=True)
class Lock:
    """A lock that was read; ``problems`` say what is wrong with it or with the selection."""

    pins: list[Pin] = field(default_factory=list)
    python: str = ""
    problems: list[str] = field(default_factory=list)


def require_pins(pins: Iterable[Pin], place: str, found: Findings) -> tuple[str, ...]:
    """Make requirements of pins, in ``found`` and as the lines to resolve. The project itself is none of them."""
    lines = []
    for pin in pins:
        if pin.directory == found.root:
            continue
        if pin.directory is not None:
            found.add_local(pin.requirement.name, pin.directory, place)
        found.note_accounts(pin.requirement.url or "")
        found.require(pin.requirement, place, pin.hashes)
        lines.append(str(pin.requirement))
    return tuple(dict.fromkeys(lines))


def index_tables(pins: Sequence[Pin], names: Mapping[str, str]) -> str:
    """Tables of uv that take each package from the index it was locked from; empty when one index is enough.

    The index that most packages come from is left to uv's configuration: that is where a mirror of it is named.
    ``names`` are the names of known index URLs, so that credentials for these are found.
    """
    counts = Counter(pin.index for pin in pins if pin.directory is None and pin.requirement.url is None)
    if not counts:
        return ""
    usual = counts.most_common(1)[0][0]
    labels = {url: names.get(url.rstrip("/"), f"locked-{n}") for n, url in enumerate(sorted({*counts} - {usual, ""}))}
    sources: dict[str, list[dict[str, str]]] = {}
    for pin in pins:
        if pin.index in labels and pin.directory is None and pin.requirement.url is None:
            marker = {"marker": str(pin.requirement.marker)} if pin.requirement.marker else {}
            entry = {"index": labels[pin.index], **marker}
            entries = sources.setdefault(canonicalize_name(pin.requirement.name), [])
            entries += [entry] if entry not in entries else []
    indexes = [{"name": label, "url": url, "explicit": True} for url, label in labels.items()]
    return f"[tool]\nuv = {inline({'sources': sources, 'index': indexes})}\n" if indexes else ""
