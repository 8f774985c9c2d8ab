"""How long ``rayimage --version`` and ``--help`` take, as ratios to the smallest click program.

    python benchmarks/startup.py [ROUNDS]

The programs run by turns, so that a busy machine is as busy for each; medians are compared. Exits with 1 when
``--version`` takes more than twice as long.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

LIMIT = 2.0
CLICK = "import click\n@click.command()\n@click.version_option('1.0')\ndef cli(): pass\ncli()"
PROGRAMS = {
    "python -c pass": ["-c", "pass"],
    "bare click --version": ["-c", CLICK, "--version"],
    "rayimage --version": ["-m", "rayimage", "--version"],
    "rayimage --help": ["-m", "rayimage", "--help"],
}


def measure(rounds: int) -> dict[str, float]:
    """Median seconds per program; the first round fills caches and does not count."""
    times: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    for number in range(rounds + 1):
        for name, arguments in PROGRAMS.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
            if number:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(each) for name, each in times.items()}


def main() -> int:
    """Print the ratios."""
    medians = measure(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
    click = medians["bare click --version"]
    for name, median in medians.items():
        print(f"{name:24} {median / click:5.2f} x click")
    return int(medians["rayimage --version"] > LIMIT * click)


if __name__ == "__main__":
    sys.exit(main())
