"""What a lock came to, for people: counts, every move off a base version, and what changed since the lock before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from rayimage.model.lock import Move, RoleLock
from rayimage.report.tables import print_table

if TYPE_CHECKING:
    from rich.console import Console

_Text = TypeVar("_Text", str, tuple[str, str])

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
        console.print(line, markup=False, soft_wrap=True)


def move_lines(locks: Sequence[RoleLock]) -> list[str]:
    """``moved: pandas 1.5.3 → 2.3.3 (head, worker): you require pandas<3,>=2``, each move once."""
    moves = ((_move(move), lock.role) for lock in locks for move in lock.moves)
    return [f"  moved: {text} ({', '.join(roles)}){why}" for (text, why), roles in _by_text(moves).items()]


def _move(move: Move) -> tuple[str, str]:
    """What moves, and the chain of requirements that forces it."""
    return f"{move.name} {move.old} → {move.new}", f": {'; '.join(move.because)}" if move.because else ""


def change_lines(before: Sequence[RoleLock], after: Sequence[RoleLock]) -> list[str]:
    """``new: holidays 0.109 (head)``, ``changed: joblib 1.5.2 → 1.5.3 (worker)``, ``gone: …``, each once.

    A package that begins to move off the base's version is left to ``move_lines``.
    """
    old = {(lock.role, lock.platform): lock for lock in before}
    changes = ((text, lock.role) for lock in after for text in _changes(old.get((lock.role, lock.platform)), lock))
    return [f"  {text} ({', '.join(roles)})" for text, roles in _by_text(changes).items()]


def _changes(before: RoleLock | None, after: RoleLock) -> Iterator[str]:
    old, new = _versions(before), _versions(after)
    moved = {move.name for move in after.moves}
    for name in sorted({*old, *new}):
        if name not in old and name in moved:
            continue
        if name not in old:
            yield f"new: {name} {new[name]}"
        elif name not in new:
            yield f"gone: {name} {old[name]}"
        elif old[name] != new[name]:
            yield f"changed: {name} {old[name]} → {new[name]}"


def _versions(lock: RoleLock | None) -> Mapping[str, str]:
    return {wheel.name: str(wheel.version) for wheel in lock.wheels} if lock else {}


def _by_text(pairs: Iterable[tuple[_Text, str]]) -> dict[_Text, list[str]]:
    """Texts, sorted, and the roles of each without repetition."""
    roles: dict[_Text, dict[str, None]] = {}
    for text, role in pairs:
        roles.setdefault(text, {})[role] = None
    return {text: list(names) for text, names in sorted(roles.items())}
