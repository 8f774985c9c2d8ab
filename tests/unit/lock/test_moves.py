"""Which packages move off the base, why, and when they come back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rayimage.errors import LockError
from rayimage.lock import Options
from rayimage.lock.joint import resolve
from rayimage.lock.reasons import UPGRADED
from tests.support.listener import Listener
from tests.unit.lock.samples import ARM64, WorldEngine, dist, inventory, package, request

WORLD = {
    "numpy==2.1": (),
    "numpy==2.3": (),
    "old==1": ("numpy",),
    "new==1": ("numpy>=2",),
    "app==1": ("new[fast]<2", "old"),
}
BASE = inventory("click==8.1.7", "numpy==1.26.4")


def lock(requests, wants, world=WORLD, previous=None, listener=None, **options):
    engine = WorldEngine(wants, world)
    former = {(item.role, str(item.platform)): item for item in previous or ()}
    return resolve(requests, Options(**options), previous=former, engine=engine, progress=listener or Listener())


def moves(role_lock):
    return {move.name: (f"{move.old} → {move.new}", *move.because) for move in role_lock.moves}


def one(*wants, previous=None, options=None, **rules):
    (found,) = lock([request(BASE, *wants, **rules)], {"worker": wants}, previous=previous, **options or {})
    return found


def test_a_requirement_of_the_project():
    assert moves(one("numpy>=2", "old")) == {"numpy": ("1.26.4 → 2.3", "role worker requires numpy>=2")}


def test_the_file_that_says_so_is_named_without_its_line():
    ask = request(BASE, "numpy>=2")
    ask = replace(ask, specs=replace(ask.specs, origins={"numpy>=2": "gpu/requirements.in:12"}))
    (found,) = lock([ask], {"worker": ["numpy>=2"]})
    assert moves(found)["numpy"][1:] == ("gpu/requirements.in requires numpy>=2",)


def test_a_chain_leads_to_the_project():
    assert moves(one("app", "old")) == {
        "numpy": (
            "1.26.4 → 2.3",
            "new 1 requires numpy>=2",
            "app 1 requires new[fast]<2",
            "role worker requires app",
        )
    }


def test_the_nearest_requirement_is_the_reason():
    assert moves(one("app", "new", "numpy>1.26.4"))["numpy"][1:] == ("role worker requires numpy>1.26.4",)


def test_requirements_that_do_not_apply_are_no_reason():
    ask = request(BASE, "numpy>=3; sys_platform == 'win32'", "new")
    (found,) = lock([ask], {"worker": ["new"]})
    assert moves(found)["numpy"][1:] == ("new 1 requires numpy>=2", "role worker requires new")


def test_what_the_base_has_is_not_moved_by_what_fits():
    found = one("old", "numpy")
    assert moves(found) == {}
    assert [item.name for item in found.provided] == ["click", "numpy", "ray"]


def test_a_file_asked_for_moves():
    class Direct(WorldEngine):
        def solve(self, question):
            packages = [item for item in super().solve(question) if item.name != "numpy"]
            return (*packages, package("numpy==1.26.4", direct=True, requires=()))

    engine = Direct({"worker": ["click"]}, WORLD)
    (found,) = resolve([request(BASE, "click")], Options(), previous={}, engine=engine)
    assert moves(found)["numpy"] == (
        "1.26.4 → 1.26.4",
        "the file numpy-1.26.4-py3-none-any.whl is required",
    )


def test_the_other_role_is_named_where_its_requirement_forces_a_move():
    requests = [request(BASE, "old", role="head"), request(BASE, "new")]
    head, worker = lock(requests, {"head": ["old"], "worker": ["new"]})
    chain = ("new 1 requires numpy>=2", "role worker requires new")
    assert moves(worker)["numpy"][1:] == chain
    assert moves(head)["numpy"][1:] == ("in role worker on linux/amd64 new 1 requires numpy>=2", chain[1])


def test_another_platforms_base_can_be_the_reason():
    arm = inventory("click==8.1.7", "numpy==2.1", platform=ARM64)
    amd64, arm64 = lock([request(BASE, "numpy"), request(arm, "numpy")], {"worker": ["numpy"]})
    assert moves(amd64) == {"numpy": ("1.26.4 → 2.1", "the base of role worker on linux/arm64 has 2.1")}
    assert moves(arm64) == {}


def test_a_move_whose_reason_is_gone_is_undone():
    before = one("new", "numpy")
    assert moves(before)["numpy"][0] == "1.26.4 → 2.3"
    after = one("old", "numpy", previous=[before])
    assert moves(after) == {}


def test_a_move_that_is_still_required_keeps_its_version():
    before = one("numpy==2.1", "new")
    assert moves(one("numpy", "new", previous=[before]))["numpy"] == (
        "1.26.4 → 2.1",
        "new 1 requires numpy>=2",
        "role worker requires new",
    )


def test_what_was_upgraded_on_purpose_stays():
    upgraded = one("old", "numpy", options={"upgrade_packages": ("NumPy",)})
    assert moves(upgraded) == {"numpy": ("1.26.4 → 2.3", UPGRADED)}
    kept = one("old", "numpy>1", previous=[upgraded])
    assert moves(kept) == {"numpy": ("1.26.4 → 2.3", UPGRADED)}
    assert moves(one("old", "numpy>1", previous=[upgraded], options={"upgrade": True})) == {}


def test_without_a_word_on_requirements_moves_have_no_reason_and_stay():
    class Silent(WorldEngine):
        def solve(self, question):
            return tuple(replace(item, requires=None) for item in super().solve(question))

    before = one("new", "numpy")
    engine = Silent({"worker": ["old", "numpy"]}, WORLD)
    former = {("worker", "linux/amd64"): before}
    (after,) = resolve([request(BASE, "old", "numpy")], Options(), previous=former, engine=engine)
    assert moves(after) == {"numpy": ("1.26.4 → 2.3",)}


def test_nothing_is_asked_where_nothing_changed():
    requests = [request(BASE, "new", role="head"), request(BASE, "old")]
    engine = WorldEngine({"head": ["new"], "worker": ["old"]}, WORLD)
    first = resolve(requests, Options(), previous={}, engine=engine)
    asked = len(engine.questions)
    former = {(item.role, str(item.platform)): item for item in first}
    assert resolve(requests, Options(), previous=former, engine=engine) == first
    assert len(engine.questions) == asked
    for options in (Options(upgrade=True), Options(upgrade_packages=("old",))):
        resolve(requests, options, previous=former, engine=engine)
        asked, before = len(engine.questions), asked
        assert asked > before


@pytest.mark.parametrize("change", ["requirement", "base", "name", "rule", "missing"])
def test_everything_is_asked_where_anything_changed(change):
    requests = [request(BASE, "new", role="head"), request(BASE, "old")]
    engine = WorldEngine({"head": ["new"], "worker": ["old"]}, WORLD)
    former = {item.role: item for item in resolve(requests, Options(), previous={}, engine=engine)}
    requests[1] = {
        "requirement": request(BASE, "old", "numpy"),
        "base": request(inventory("click==8.1.7", "numpy==1.26.4", seed="newer"), "old"),
        "name": replace(requests[1], base="registry.example.com/ray:2.55.1"),
        "rule": request(BASE, "old", allow_skew={"new"}),
        "missing": requests[1],
    }[change]
    if change == "missing":
        del former["worker"]
    asked = len(engine.questions)
    previous = {(role, "linux/amd64"): item for role, item in former.items()}
    resolve(requests, Options(), previous=previous, engine=engine)
    assert len(engine.questions) > asked


@pytest.mark.parametrize(
    ("written", "told"),
    [("numpy~=2.1", "numpy<3,>=2.1"), ("numpy~=2.1.0,!=2.2", "numpy!=2.2,<2.2,>=2.1.0"), ("numpy==2.*", "numpy==2.*")],
)
def test_a_package_says_the_same_with_every_resolver(written, told):
    (found,) = lock([request(BASE, "app")], {"worker": ["app"]}, {"app==1": (written,), "numpy==2.1": ()})
    assert moves(found)["numpy"][1] == f"app 1 requires {told}"


def test_a_move_of_what_nodes_exchange_is_a_warning():
    listener = Listener()
    lock(
        [request(BASE, "new", role="head"), request(BASE, "new")],
        {"head": ["new"], "worker": ["new"]},
        listener=listener,
    )
    (warning,) = listener.warnings
    assert warning.startswith("numpy 1.26.4 → 2.3 moves off the base (head, worker), and nodes exchange its objects")
    quiet = Listener()
    lock([request(BASE, "click==8.3")], {"worker": ["click==8.3"]}, {"click==8.3": ()}, listener=quiet)
    assert quiet.warnings == []


def test_a_broken_base_package_is_a_warning_and_the_bases_own_troubles_are_not():
    base = inventory("click==8.1.7", "numpy==1.26.4", dist("dagger==1", "numpy<2"), dist("torn==1", "absent"))
    listener = Listener()
    lock([request(base, "new")], {"worker": ["new"]}, listener=listener)
    _, warning = listener.warnings
    assert warning == (
        "dagger 1 requires numpy<2, but 2.3 is installed; require dagger, too: then versions are chosen that fit "
        "together (role worker on linux/amd64)"
    )
    assert listener.notes[1:] == [
        "the base's own: torn 1 requires absent, but it is not installed (role worker on linux/amd64)"
    ]


def test_what_is_broken_is_said_again_where_nothing_changed():
    base = inventory("click==8.1.7", "numpy==1.26.4", dist("dagger==1", "numpy<2"))
    (first,) = lock([request(base, "new")], {"worker": ["new"]})
    listener = Listener()
    lock([request(base, "new")], {}, previous=[first], listener=listener)
    assert [text.partition(" requires")[0] for text in listener.warnings] == ["dagger 1"]


def test_pinned_packages_stay_and_older_ones_are_found():
    world = {**WORLD, "new==0.9": ("numpy<2",)}
    (found,) = lock([request(BASE, "new", base_packages="pin")], {"worker": ["new"]}, world)
    assert moves(found) == {}
    assert [str(wheel.version) for wheel in found.wheels] == ["0.9"]
    (found,) = lock([request(BASE, "new")], {"worker": ["new"]}, {**world, "numpy==2.4": ()})
    assert set(moves(found)) <= {"numpy"}


def test_a_requirement_that_contradicts_a_pinned_base():
    with pytest.raises(LockError, match="role worker requires another numpy than its base has") as caught:
        one("numpy>=2", base_packages="pin")
    assert "numpy>=2" in caught.value.why
    assert "rayproject/ray:2.55.1-py311 has numpy 1.26.4" in caught.value.why
    assert 'base-packages = "prefer"' in caught.value.fix
    assert moves(one("numpy>=2; sys_platform == 'win32'", "click", base_packages="pin")) == {}


def test_a_pinned_package_cannot_be_upgraded():
    with pytest.raises(LockError, match="numpy cannot be upgraded") as caught:
        one("numpy", base_packages="pin", options={"upgrade_packages": ("Numpy",)})
    assert "numpy 1.26.4" in caught.value.why


def test_pinned_bases_that_differ_leave_no_solution():
    other = inventory("click==8.1.7", "numpy==2.1", seed="other")
    requests = [request(BASE, "numpy", role="head", base_packages="pin"), request(other, "numpy", base_packages="pin")]
    with pytest.raises(LockError, match="numpy cannot have one version everywhere") as caught:
        lock(requests, {"head": ["numpy"], "worker": ["numpy"]})
    assert caught.value.why == "role head on linux/amd64 has 1.26.4; role worker on linux/amd64 has 2.1"
