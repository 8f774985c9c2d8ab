from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from packaging.utils import canonicalize_name
from packaging.version import Version

from rayimage.errors import UsageError
from rayimage.layers import pack
from rayimage.model.digest import Digest
from rayimage.model.layering import Layering
from rayimage.model.lock import LockedWheel

MIB = 1 << 20


def wheel(name: str, size: int | None = None, version: str = "1.0") -> LockedWheel:
    return LockedWheel(
        name=canonicalize_name(name),
        version=Version(version),
        filename=f"{name}-{version}-py3-none-any.whl",
        digest=Digest.of(f"{name}{version}".encode()),
        size=size,
    )


def names(packed: tuple[tuple[LockedWheel, ...], ...]) -> list[list[str]]:
    return [[w.name for w in layer] for layer in packed]


LOCK = [wheel("torch", 800 * MIB), wheel("scipy", 40 * MIB), wheel("exact", 8 * MIB), wheel("below", 8 * MIB - 1)]
LOCK += [wheel(f"small{n}", 1000 * n) for n in range(30)] + [wheel("unknown")]


def test_big_wheels_are_alone_and_first_biggest_first() -> None:
    packed = names(pack(LOCK, room=40))
    assert packed[:3] == [["torch"], ["scipy"], ["exact"]]
    assert 1 < len(packed[3:]) <= 8
    assert all(layer == sorted(layer) for layer in packed)


def test_bundles_are_the_ones_they_have_always_been() -> None:
    """The hash is part of what keeps layers stable across releases."""
    assert names(pack([wheel(n) for n in ("click", "rich", "numpy", "idna", "six")], room=40)) == [
        ["numpy"],
        ["idna"],
        ["click"],
        ["rich"],
        ["six"],
    ]


@settings(deadline=None)
@given(st.randoms(use_true_random=False), st.integers(1, 60))
def test_every_wheel_is_packed_once_within_the_budget_in_whatever_order(rng: random.Random, budget: int) -> None:
    shuffled = LOCK.copy()
    rng.shuffle(shuffled)
    packed = pack(shuffled, room=budget)
    assert packed == pack(LOCK, room=budget)
    assert len(packed) <= budget
    assert sorted(w.name for layer in packed for w in layer) == sorted(w.name for w in LOCK)


@settings(deadline=None)
@given(st.sampled_from(range(len(LOCK))), st.integers(1, 60))
def test_another_version_changes_one_layer(index: int, budget: int) -> None:
    changed = [replace(w, version=Version("2.0"), filename="new") if n == index else w for n, w in enumerate(LOCK)]
    before, after = set(pack(LOCK, room=budget)), set(pack(changed, room=budget))
    assert len(before - after) == len(after - before) == 1


@pytest.mark.parametrize("added", ["brand-new", "another", "zlib-like"])
def test_another_package_changes_at_most_one_layer(added: str) -> None:
    before, after = set(pack(LOCK, room=20)), set(pack([*LOCK, wheel(added, 5000)], room=20))
    assert len(before - after) <= 1
    assert len(after - before) == 1


def test_tight_budgets() -> None:
    assert len(pack(LOCK, room=1)) == 1
    assert names(pack(LOCK, room=2))[0] == ["torch"]
    assert names(pack(LOCK, room=3))[:2] == [["torch"], ["scipy"]]


MANY = [
    wheel(f"package{n}", size * MIB) for n, size in enumerate([900, 70, 66, 65, 30, 20, 12, 9, 8, 7, 6, 1, 1, 1, 1])
]


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 60 * MIB) | st.none(), max_size=60),
    st.builds(
        Layering,
        max_layers=st.integers(1, 50),
        alone_from=st.integers(0, 20 * MIB),
        bundles=st.none() | st.integers(1, 50),
    ),
    st.integers(1, 120),
)
def test_never_more_layers_than_allowed(sizes: list[int | None], layering: Layering, room: int) -> None:
    wheels = [wheel(f"p{n}", size) for n, size in enumerate(sizes)]
    packed = pack(wheels, room=room, layering=layering)
    assert len(packed) <= min(room, layering.max_layers)
    assert all(packed)
    assert sorted(w.name for layer in packed for w in layer) == sorted(w.name for w in wheels)
    assert packed == pack(wheels[::-1], room=room, layering=layering)


@settings(deadline=None)
@given(st.integers(0, len(MANY) - 1), st.floats(0.9, 1.1))
def test_a_version_of_another_size_changes_one_layer(index: int, factor: float) -> None:
    """As long as it stays on its side of the threshold, and there are layers for all that are large."""
    old = MANY[index]
    new = replace(old, version=Version("2.0"), filename="new", size=int(old.size * factor))
    layering = Layering(alone_from=7 * MIB + MIB // 2)
    assume((old.size < layering.alone_from) == (new.size < layering.alone_from))
    before = set(pack(MANY, room=100, layering=layering))
    after = set(pack([new if w is old else w for w in MANY], room=100, layering=layering))
    assert len(before - after) == len(after - before) == 1


def test_a_wheel_that_outgrows_its_bundle_changes_the_bundle_too() -> None:
    grown = replace(MANY[9], size=9 * MIB)
    before, after = set(pack(MANY, room=100)), set(pack([*MANY[:9], grown, *MANY[10:]], room=100))
    assert (grown,) in after - before
    assert len(after - before) <= 2


def test_like_sizes_do_not_change_places() -> None:
    before = names(pack(MANY, room=100))
    grown = [replace(w, size=71 * MIB) if w.name == "package3" else w for w in MANY]
    assert names(pack(grown, room=100)) == before


def test_layering_steers_the_cut() -> None:
    assert len(pack(LOCK, room=100, layering=Layering(bundles=1))) == 4
    assert len(pack(LOCK, room=100, layering=Layering(max_layers=6, bundles=3))) == 6
    assert names(pack(LOCK, room=100, layering=Layering(alone_from=MIB)))[:4] == [
        ["torch"],
        ["scipy"],
        ["exact"],
        ["below"],
    ]
    assert len(pack(LOCK, room=2, layering=Layering(bundles=9))) == 2


def test_nothing_to_pack() -> None:
    assert pack([], room=0) == ()


def test_no_layer_left() -> None:
    with pytest.raises(UsageError, match="no layer is left"):
        pack(LOCK, room=0)
