"""The results on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.cases import CASES
from benchmarks.formats import amount, duration, times
from benchmarks.results import SUBJECT, Results, verdicts

__all__ = ["show"]


def show(results: Results, console: Console) -> None:
    """Times, ratios and bytes of every project; then the targets; then what did not run, and why."""
    for project, facts in results.projects.items():
        title = f"{facts.title}: {facts.wheels} wheels, {amount(facts.wheel_bytes)}"
        _print(console, title, _times(results, project))
        bump = f"{facts.bump}, {amount(facts.bumped_wheel_bytes)}"
        _print(console, f"bytes that a node pulls after each; the bump is {bump}", _bytes(results, project))
    _print(console, "targets", _targets(results))
    for name, why in results.skipped.items():
        console.print(f"did not run: {name}: {why}", markup=False)


def _print(console: Console, title: str, table: Table) -> None:
    console.print(f"\n[bold]{escape(title)}[/]")
    console.print(table)


def _times(results: Results, project: str) -> Table:
    table = _table(results)
    for name, case in CASES.items():
        cells = [_time(results, project, name, contender) for contender in results.contenders]
        if any(cells):
            table.add_row(case.title, *cells)
    return table


def _time(results: Results, project: str, case: str, contender: str) -> str:
    seconds, ratio = results.seconds(project, case, contender), results.ratio(project, case, contender)
    if seconds is None:
        return ""
    return duration(seconds) if ratio is None or contender == SUBJECT else f"{duration(seconds)}  {times(ratio):>7}"


def _bytes(results: Results, project: str) -> Table:
    table = _table(results)
    for name, case in CASES.items():
        pulled = [results.node_bytes(project, name, contender) for contender in results.contenders]
        if any(each is not None for each in pulled):
            table.add_row(case.title, *("" if each is None else amount(each) for each in pulled))
    return table


def _table(results: Results) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("", min_width=max(len(case.title) for case in CASES.values()))
    for name in results.contenders:
        table.add_column(f"{name} ({results.runs(name)} ×)", justify="right", min_width=16, no_wrap=True)
    return table


def _targets(results: Results) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    for verdict in verdicts(results):
        outcome = "[green]met[/]" if verdict.met else "[red]missed[/]"
        table.add_row(verdict.project, verdict.promise, times(verdict.measured), outcome)
    return table
