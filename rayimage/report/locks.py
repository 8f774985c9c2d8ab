"""What a lock came to, for people: counts, every move off a base version, and what changed since the lock before."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING

from rayimage.model.lock import RoleLock
from rayimage.report.tables import print_table

if TYPE_CHECKING:
    from rich.console import Console

_Place = tuple[str, str]  # role and platform

__all__ = ["change_lines", "move_lines", "show_changes", "show_locks"]


def show_locks(console: Console, locks: Sequence[RoleLock]) -> None:
    """Per role and platform how many packages the base provides, and how many are added and moved; every move."""
    columns = {"role": "left", "platform": "left", "from the base": "right", "added": "right", "moved": "right"}
    rows = [
        (lock.role, str(lock.platform), str(len(lock.provided)), str(len(lock.added)), str(len(lock.moves)))
        for lock in locks
    ]
    print_table(console, columns, rows)
    for line in move_lines(locks):
        console.print(line, markup=False, soft_wrap=True)


def show_changes(console: Console, before: Sequence[RoleLock], after: Sequence[RoleLock]) -> None:
    """What the wheels in ``after`` are that were not in ``before``, and the other way round."""
    for line in change_lines(before, after):
        whole = re.sub(r" (?=\d)", "\N{NO-BREAK SPACE}", line)
        for part in wrap(whole, max(console.width, 40), subsequent_indent="    ", break_on_hyphens=False):
            console.print(part.replace("\N{NO-BREAK SPACE}", " "), markup=False, soft_wrap=True)


def move_lines(locks: Sequence[RoleLock]) -> list[str]:
    """``moved: pandas 1.5.3 → 2.3.3 (head, worker): requirements.in requires pandas<3,>=2.2``, each move once.

    What brought that requirement in follows, a line for each step up to the project. Where roles have different
    reasons, each has a line below the move.
    """
    lines: list[str] = []
    for text, reasons in sorted(_moves(locks).items()):
        places = list(dict.fromkeys(place for there in reasons.values() for place in there))
        head = f"  moved: {text} ({', '.join(_roles(places, locks))})"
        told = {chain: there for chain, there in reasons.items() if chain and not _repeats(chain, reasons)}
        if len(told) == 1:
            [(first, *rest)] = told
            lines += [f"{head}: {first}", *(f"    as {step}" for step in rest)]
        else:
            lines += [head, *(f"    {', '.join(_roles(there, locks))}: {'; '.join(c)}" for c, there in told.items())]
    return lines


def _moves(locks: Sequence[RoleLock]) -> dict[str, dict[tuple[str, ...], list[_Place]]]:
    """What moves → the chains of requirements that force it → where."""
    found: dict[str, dict[tuple[str, ...], list[_Place]]] = {}
    for lock in locks:
        for move in lock.moves:
            reasons = found.setdefault(f"{move.name} {move.old} → {move.new}", {})
            reasons.setdefault(move.because, []).append((lock.role, str(lock.platform)))
    return found


def _repeats(chain: tuple[str, ...], others: Iterable[tuple[str, ...]]) -> bool:
    """Whether the chain is only the pointer to that of another role: ``in role head on … app 1 requires …``."""
    return any(chain != other and other and chain == (f"{_pointer(chain)}{other[0]}", *other[1:]) for other in others)


def _pointer(chain: tuple[str, ...]) -> str:
    found = re.match(r"in role \S+ on \S+ ", chain[0])
    return found[0] if found else ""


def _roles(places: Sequence[_Place], locks: Sequence[RoleLock]) -> list[str]:
    """Names of roles; with the platform where a role has others as well."""
    everywhere: dict[str, set[str]] = {}
    for lock in locks:
        everywhere.setdefault(lock.role, set()).add(str(lock.platform))
    here: dict[str, list[str]] = {}
    for role, platform in places:
        here.setdefault(role, []).append(platform)
    return [
        name
        for role, platforms in here.items()
        for name in ([role] if set(platforms) == everywhere[role] else [f"{role} on {each}" for each in platforms])
    ]


def change_lines(before: Sequence[RoleLock], after: Sequence[RoleLock]) -> list[str]:
    """``changed: joblib 1.5.2 → 1.5.3 (worker)``, ``gone: …``, each once; ``new in worker: joblib 1.5.3, …`` together.

    A package that begins to move off the base's version is left to ``move_lines``.
    """
    old = {(lock.role, lock.platform): lock for lock in before}
    changes: dict[tuple[str, str], list[_Place]] = {}
    for lock in after:
        place = (lock.role, str(lock.platform))
        for change in _changes(old.get((lock.role, lock.platform)), lock):
            changes.setdefault(change, []).append(place)
    lines: list[str] = []
    new: dict[str, list[str]] = {}
    for (kind, text), places in sorted(changes.items()):
        where = ", ".join(_roles(places, after))
        if kind == "new":
            new.setdefault(where, []).append(text)
        else:
            lines.append(f"  {kind}: {text} ({where})")
    return [*lines, *(f"  new in {where}: {', '.join(texts)}" for where, texts in new.items())]


def _changes(before: RoleLock | None, after: RoleLock) -> Iterator[tuple[str, str]]:
    """The kind of each change, and the package with its versions."""
    old, new = _versions(before), _versions(after)
    moved = {move.name for move in after.moves}
    for name in sorted({*old, *new}):
        if name not in old and name in moved:
            continue
        if name not in old:
            yield "new", f"{name} {new[name]}"
        elif name not in new:
            yield "gone", f"{name} {old[name]}"
        elif old[name] != new[name]:
            yield "changed", f"{name} {old[name]} → {new[name]}"


def _versions(lock: RoleLock | None) -> Mapping[str, str]:
    return {wheel.name: str(wheel.version) for wheel in lock.wheels} if lock else {}
