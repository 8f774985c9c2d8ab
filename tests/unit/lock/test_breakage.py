from __future__ import annotations

from dataclasses import replace

import pytest
from packaging.version import Version

from rayimage.lock import check_environment
from rayimage.lock.breakage import broken, remedy
from tests.unit.lock.samples import dist, inventory, request, role_lock


def lock(*pins):
    wheel = role_lock().wheels[0]
    pairs = [pin.partition("==")[::2] for pin in pins]
    return role_lock(wheels=tuple(replace(wheel, name=n, version=Version(v)) for n, v in pairs), provided=(), moves=())


def advice(base, locked, requires, *wanted):
    report = check_environment(base, locked, {name: tuple(lines) for name, lines in requires.items()})
    return [remedy(problem, request(base, *wanted), locked, requires) for problem in report.new]


DAGGER = dist("dagger==1", "click<8.2")


def test_a_range_that_suits_all():
    base = inventory("click==8.1.7", DAGGER, dist("other==1", "click>=8.0.1"))
    assert advice(base, lock("click==8.3", "app==1"), {"click": (), "app": ("click>=8.1",)}, "click!=8.1.3") == [
        "require click!=8.1.3,<8.2,>=7.0,>=8.0.1,>=8.1, which suits all who need it"
    ]


@pytest.mark.parametrize("who", ["a wheel", "the project"])
def test_no_range_suits_all(who):
    base = inventory("click==8.1.7", DAGGER)
    needs = {"click": (), "app": ("click>=8.2",) if who == "a wheel" else ()}
    wanted = ("click>=8.2",) if who == "the project" else ()
    assert advice(base, lock("click==8.3", "app==1"), needs, *wanted) == [
        "require dagger, too: then versions are chosen that fit together"
    ]


def test_ranges_are_not_guessed():
    base = inventory("click==8.1.7", DAGGER)
    assert advice(base, lock("click==8.3", "app==1"), {"click": ()})[0].startswith("require dagger")


def test_what_the_base_breaks_itself_does_not_count():
    base = inventory("click==8.1.7", DAGGER, dist("torn==1", "click<7"))
    assert advice(base, lock("click==8.3"), {"click": ()}) == ["require click<8.2,>=7.0, which suits all who need it"]


def test_what_is_missing():
    base = inventory("click==8", dist("uvicorn==1", "httptools>=0.5; extra == 'standard'"))
    assert advice(base, lock("app==1"), {"app": ("uvicorn[standard]",)}) == ["require httptools>=0.5"]


def test_each_problem_is_said_once():
    base = inventory("click==8.1.7", DAGGER, dist("torn==1", "absent"))
    checked = [(request(base, role=role), lock("click==8.3"), {}) for role in ("head", "worker")]
    new, known = broken(checked)
    where = "(role head on linux/amd64, role worker on linux/amd64)"
    (line,) = new
    assert line == (
        "dagger 1 requires click<8.2, but 8.3 is installed; require dagger, too: then versions are chosen that fit "
        f"together {where}"
    )
    assert known == [f"the base's own: torn 1 requires absent, but it is not installed {where}"]
