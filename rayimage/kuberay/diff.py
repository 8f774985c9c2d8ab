"""An emission as a unified diff that ``git apply`` and ``patch -p1`` read."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import unified_diff
from pathlib import Path

from rayimage.kuberay.emission import Emission

__all__ = ["diff"]


def diff(emission: Emission) -> str:
    """The change as unified diff, names relative to the current directory after ``a/`` and ``b/``; "" without change.

    Lines end as the file's lines end; a last line without one is marked as diff does.
    """
    name = _relative(emission.file)
    lines = unified_diff(_lines(emission.before), _lines(emission.after), f"a/{name}", f"b/{name}")
    return "".join(_terminated(lines))


def _lines(data: bytes) -> list[str]:
    """Lines as ``patch`` counts them: only a line feed ends one, which ``str.splitlines`` sees otherwise."""
    parts = data.decode().split("\n")
    return [f"{line}\n" for line in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def _terminated(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def _relative(file: Path) -> str:
    here = Path.cwd()
    if file.is_absolute():
        file = file.relative_to(here if file.is_relative_to(here) else file.anchor)
    return file.as_posix()
