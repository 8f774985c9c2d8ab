from __future__ import annotations

from packaging.version import Version

from rayimage.lock import difference
from rayimage.lock.classify import role_lock
from tests.unit.lock.samples import inventory, package, request

OLD = inventory("click==8.1.7", "numpy==1.26.4", "gone==1")
NEW = inventory("click==8.3", "numpy==1.26.4", "pandas==2.3", ray="2.56.0")


def locked(base, *pins):
    return role_lock(request(base), tuple(package(pin) for pin in pins)), base


def rows(found):
    def side(version, in_base):
        return f"{version} in the base" if in_base else version and str(version)

    return {c.name: (side(c.old, c.old_in_base), side(c.new, c.new_in_base)) for c in found.changes}


BEFORE = locked(OLD, "numpy==2.1", "pandas==2.3", "app==1", "click==8.1.7")
AFTER = locked(NEW, "numpy==2.3", "pandas==2.3", "app==1", "click==8.3", "more==1")
CHANGES = {
    "click": ("8.1.7 in the base", "8.3 in the base"),
    "gone": ("1 in the base", None),
    "more": (None, "1"),
    "numpy": ("2.1", "2.3"),
    "pandas": ("2.3", "2.3 in the base"),
    "ray": ("2.55.1 in the base", "2.56.0 in the base"),
}


def test_package_by_package():
    found = difference(BEFORE, AFTER)
    assert rows(found) == CHANGES
    assert (str(found.old.ray), str(found.new.ray), found.base_moves) == ("2.55.1", "2.56.0", True)


def test_nothing_changes():
    found = difference(BEFORE, BEFORE)
    assert (found.changes, found.base_moves) == ((), False)


def test_a_base_that_is_gone_is_compared_as_far_as_the_lock_goes():
    found = rows(difference((BEFORE[0], None), AFTER))
    assert found == {name: change for name, change in CHANGES.items() if name not in ("gone", "ray")}


def test_not_locked_before():
    found = difference(None, locked(NEW, "app==1"))
    assert found.old is None
    assert found.base_moves
    assert rows(found)["app"] == (None, "1")
    assert found.changes[0].new == Version("1")
