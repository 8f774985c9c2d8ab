"""Small packages for a benchmark without a network: pure-Python wheels, byte for byte the same in every run."""

from __future__ import annotations

import random
from pathlib import Path

from tests.support.wheelmaker import wheel_files, zipped

__all__ = ["write_small_wheels"]

_WORDS = (
    "value result index table frame batch model score weight label column record stream buffer offset length "
    "parse merge split apply encode decode reduce filter format update remove insert append extend"
).split()


def write_small_wheels(directory: Path, count: int, bumped: int) -> list[str]:
    """Write packages ``small-000`` … at 1.0.0, and number ``bumped`` at 1.0.1 too; returns the packages' names."""
    directory.mkdir(parents=True, exist_ok=True)
    names = [f"small-{number:03}" for number in range(count)]
    for number, name in enumerate(names):
        for version in ("1.0.0", "1.0.1") if number == bumped else ("1.0.0",):
            _write(directory, name.replace("-", "_"), version)
    return names


def _write(directory: Path, name: str, version: str) -> None:
    """A package of 2 to 20 modules of 1 to 30 kB each: what the middle of the package index looks like."""
    choice = random.Random(f"{name} {version}")  # noqa: S311 - the same bytes in every run are the point
    files = {f"{name}/__init__.py": f'__version__ = "{version}"\n'.encode()}
    for module in range(choice.randint(2, 20)):
        functions = round(choice.lognormvariate(3.2, 0.8))
        files[f"{name}/module_{module:02}.py"] = "\n\n".join(_function(choice) for _ in range(functions)).encode()
    wheel = directory / f"{name}-{version}-py3-none-any.whl"
    wheel.write_bytes(zipped(wheel_files(files, name, version)))


def _function(choice: random.Random) -> str:
    """Text that deflate shrinks to about a quarter, as it does Python source."""
    name, *arguments = ("_".join(choice.sample(_WORDS, 2)) for _ in range(choice.randint(2, 4)))
    lines = [f"def {name}_{choice.randrange(1000)}({', '.join(arguments)}):"]
    lines += [
        f"    {choice.choice(arguments)} = {choice.choice(_WORDS)}({choice.choice(arguments)}, {choice.randrange(10_000)})"
        for _ in range(choice.randint(2, 12))
    ]
    return "\n".join([*lines, f"    return {arguments[0]}"])
