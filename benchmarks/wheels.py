"""Small packages for a benchmark without a network: pure-Python wheels, byte for byte the same in every run."""

from __future__ import annotations

import random
from itertools import product
from pathlib import Path

from tests.support.wheelmaker import wheel_files, zipped

__all__ = ["write_small_wheels"]

_WORDS = "value result index table frame batch model score weight label column record stream buffer offset parse merge"
_NAMES = [f"{first}_{second}" for first, second in product(_WORDS.split(), repeat=2)]


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
    choice = random.Random(f"{name} {version}")
    files = {f"{name}/__init__.py": f'__version__ = "{version}"\n'.encode()}
    for module in range(choice.randint(2, 20)):
        functions = round(choice.lognormvariate(3.2, 0.8))
        files[f"{name}/module_{module:02}.py"] = "\n\n".join(_function(choice) for _ in range(functions)).encode()
    wheel = directory / f"{name}-{version}-py3-none-any.whl"
    wheel.write_bytes(zipped(wheel_files(files, name, version)))


def _function(choice: random.Random) -> str:
    """Text that deflate shrinks to about a quarter, as it does Python source."""
    name, *arguments = choice.sample(_NAMES, choice.randint(2, 4))
    lines = [f"def {name}_{choice.randrange(1000)}({', '.join(arguments)}):"]
    for _ in range(choice.randint(2, 12)):
        target, given = choice.choice(arguments), choice.choice(arguments)
        lines.append(f"    {target} = {choice.choice(_NAMES)}({given}, {choice.randrange(10_000)})")
    return "\n".join([*lines, f"    return {arguments[0]}"])
