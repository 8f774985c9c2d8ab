"""``python -m benchmarks``: run, print, write JSON and chart. ``make bench`` is this; docs/benchmark.md explains it."""

from __future__ import annotations

import argparse
import fcntl
import os
import platform
import signal
import sys
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

from rich.console import Console

from benchmarks.cases import CASES, needed
from benchmarks.chart import draw
from benchmarks.contenders import CONTENDERS, Contender
from benchmarks.process import BuildFailedError
from benchmarks.projects import PROJECTS
from benchmarks.results import Results, from_json, to_json
from benchmarks.schedule import Plan, Say, carry_out
from benchmarks.tables import show
from benchmarks.verify import WrongImageError
from tests.support.base import base_reference
from tests.support.services import MissingPartError

ROOT = Path(__file__).parents[1]
HOME = ROOT / ".cache/bench"
RESULTS = ROOT / "benchmarks/results"
KEPT = "what was measured is kept: `--resume` goes on from there"


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0; 1 when rayimage failed; 2 when nothing can be measured here, or not resumed; 130 when stopped."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that services are ended and directories removed
    console, started = Console(stderr=True, highlight=False), time.monotonic()

    def say(text: str) -> None:
        console.print(f"{(time.monotonic() - started) / 60:5.1f} min  {text}", markup=False, soft_wrap=True)

    file = RESULTS / f"{options.name}.json"
    if options.show:
        show(from_json(file.read_text(encoding="utf-8")), Console())
        return 0
    kept = HOME / f"{options.name}.json"
    try:
        plan, results = _plan(options, say)
        if options.resume and kept.exists():
            results = results.resumed(from_json(kept.read_text(encoding="utf-8")))
        HOME.mkdir(parents=True, exist_ok=True)
        with (HOME / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # Two at once would measure each other.
            results = carry_out(plan, results, lambda so_far: _write(kept, to_json(so_far)), say)
    except MissingPartError as missing:
        say(f"nothing to measure: {missing}")
        return 2
    except ValueError as other:
        say(f"cannot resume: {other}")
        return 2
    except (BuildFailedError, WrongImageError) as failure:
        say(f"{failure}\n{KEPT}")
        return 1
    except KeyboardInterrupt:
        say(f"stopped; {KEPT}")
        return 130
    kept.unlink(missing_ok=True)
    _write(file, to_json(results))
    _write(file.with_suffix(".svg"), draw(results))
    show(results, Console())
    say(f"wrote {file.relative_to(ROOT)} and the chart beside it")
    return 0


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="rounds; default: 3")
    parser.add_argument(
        "--side-rounds", type=int, default=1, metavar="N", help="rounds of those that no target refers to; default: 1"
    )
    for option, known in (("project", PROJECTS), ("case", CASES), ("contender", CONTENDERS)):
        parser.add_argument(f"--{option}", action="append", choices=known, help=f"a {option}; default: all of them")
    parser.add_argument("--name", default="latest", help="of the files in benchmarks/results; default: latest")
    parser.add_argument("--resume", action="store_true", help="go on with a run of this name that was stopped")
    parser.add_argument("--show", action="store_true", help="print the results of this name, and run nothing")
    return parser


def _plan(options: argparse.Namespace, say: Say) -> tuple[Plan, Results]:
    """What to run, and results without a measurement; a contender that cannot run here is skipped by name."""
    contenders: dict[str, Contender] = {}
    versions: dict[str, str] = {}
    skipped: dict[str, str] = {}
    for name in options.contender or CONTENDERS:
        try:
            versions[name] = CONTENDERS[name].version()
            contenders[name] = CONTENDERS[name]
        except MissingPartError as missing:  # noqa: PERF203 - a few
            skipped[name] = str(missing)
            say(f"skipped: {name}: {missing}")
    plan = Plan(
        rounds=options.rounds,
        side_rounds=options.side_rounds,
        projects=tuple(options.project or PROJECTS),
        contenders=contenders,
        cases=tuple(needed(set(options.case or CASES))),
        base=base_reference(),
        home=HOME,
    )
    results = Results(
        date=datetime.now(timezone.utc).date().isoformat(),
        machine={
            "cpus": os.cpu_count() or 0,
            "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
            "system": f"{platform.system()} {platform.machine()}",
        },
        contenders=versions,
        skipped=skipped,
    )
    return plan, results


if __name__ == "__main__":
    sys.exit(main())
