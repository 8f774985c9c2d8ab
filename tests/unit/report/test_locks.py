from __future__ import annotations

from dataclasses import replace

from rayimage.model.platform import Platform
from rayimage.report.locks import change_lines, move_lines, show_changes, show_locks
from tests.support.values import lock, move, wheel
from tests.unit.report.samples import console

PANDAS = replace(move("pandas", "1.5.3", "2.3.3"), because=("app 1 requires pandas>=2", "you require app"))


def test_counts() -> None:
    out, text = console()
    show_locks(out, [lock(wheel("pandas", "2.3.3"), wheel("new", "1"), moves=(PANDAS,))])
    assert text.getvalue().splitlines()[1].split() == ["head", "linux/amd64", "0", "1", "1"]


def test_a_move_is_told_once_with_its_reason() -> None:
    locks = [lock(moves=(PANDAS, move("numpy", "1.26", "2.0"))), lock(moves=(PANDAS,), role="worker")]
    assert move_lines(locks) == [
        "  moved: numpy 1.26 → 2.0 (head)",
        "  moved: pandas 1.5.3 → 2.3.3 (head, worker): app 1 requires pandas>=2",
        "    as you require app",
    ]


def test_other_reasons_are_told_apart() -> None:
    other = replace(PANDAS, because=("the base of role head on linux/amd64 has 2.3.3",))
    assert move_lines([lock(moves=(PANDAS,)), lock(moves=(other,), role="worker")]) == [
        "  moved: pandas 1.5.3 → 2.3.3 (head, worker)",
        "    head: app 1 requires pandas>=2; you require app",
        "    worker: the base of role head on linux/amd64 has 2.3.3",
    ]


def test_a_pointer_to_a_reason_that_is_told_is_not() -> None:
    other = replace(PANDAS, because=("in role head on linux/amd64 app 1 requires pandas>=2", "you require app"))
    assert move_lines([lock(moves=(PANDAS,)), lock(moves=(other,), role="worker")]) == [
        "  moved: pandas 1.5.3 → 2.3.3 (head, worker): app 1 requires pandas>=2",
        "    as you require app",
    ]
    assert move_lines([lock(), lock(moves=(other,), role="worker")]) == [
        "  moved: pandas 1.5.3 → 2.3.3 (worker): in role head on linux/amd64 app 1 requires pandas>=2",
        "    as you require app",
    ]


def test_a_platform_is_named_where_it_is_not_all() -> None:
    arm = replace(lock(wheel("new", "1"), moves=(PANDAS,)), platform=Platform("linux", "arm64"))
    assert move_lines([lock(moves=(PANDAS,)), arm])[0].startswith("  moved: pandas 1.5.3 → 2.3.3 (head): ")
    assert move_lines([lock(), arm])[0].startswith("  moved: pandas 1.5.3 → 2.3.3 (head on linux/arm64): ")
    assert change_lines([], [lock(), arm]) == ["  new in head on linux/arm64: new 1"]


def test_changes() -> None:
    before = [lock(wheel("a", "1"), wheel("b", "1"), wheel("same", "1"))]
    after = [
        lock(wheel("a", "2"), wheel("c", "1"), wheel("same", "1")),
        lock(wheel("a", "2"), wheel("c", "1"), role="worker"),
    ]
    assert change_lines(before, after) == [
        "  changed: a 1 → 2 (head)",
        "  gone: b 1 (head)",
        "  new in worker: a 2",
        "  new in head, worker: c 1",
    ]
    assert change_lines(after, after) == []


def test_what_moves_for_the_first_time_is_no_news_twice() -> None:
    moved = [lock(wheel("pandas", "2.3.3"), moves=(PANDAS,))]
    assert change_lines([], moved) == []
    later = [lock(wheel("pandas", "2.3.4"), moves=(PANDAS,))]
    assert change_lines(moved, later) == ["  changed: pandas 2.3.3 → 2.3.4 (head)"]


def test_what_is_new_is_wrapped_between_packages() -> None:
    out, text = console()
    show_changes(out, [], [lock(*(wheel(f"package-with-a-name-{n}", "1.0") for n in range(8)))])
    lines = text.getvalue().splitlines()
    assert lines[0].startswith("  new in head: package-with-a-name-0 1.0, ")
    assert len(lines) > 1
    assert all(line.startswith("    package-with-a-name-") for line in lines[1:])
    assert max(map(len, lines)) <= out.width
