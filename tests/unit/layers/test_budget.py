from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.utils import canonicalize_name
from packaging.version import Version

from rayimage.errors import UsageError
from rayimage.layers import pack
from rayimage.model.digest import Digest
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
    packed = names(pack(LOCK, max_layers=40))
    assert packed[:3] == [["torch"], ["scipy"], ["exact"]]
    assert 1 < len(packed[3:]) <= 8
    assert all(layer == sorted(layer) for layer in packed)


def test_bundles_are_the_ones_they_have_always_been() -> None:
    """The hash is part of what keeps layers stable across releases."""
    assert names(pack([wheel(n) for n in ("click", "rich", "numpy", "idna", "six")], max_layers=40)) == [
        ["numpy"],
        ["idna"],
        ["click"],
        ["rich"],
        ["six"],
    ]


@given(st.randoms(use_true_random=False), st.integers(1, 60))
def test_every_wheel_is_packed_once_within_the_budget_in_whatever_order(rng: random.Random, budget: int) -> None:
    shuffled = LOCK.copy()
    rng.shuffle(shuffled)
    packed = pack(shuffled, max_layers=budget)
    assert packed == pack(LOCK, max_layers=budget)
    assert len(packed) <= budget
    assert sorted(w.name for layer in packed for w in layer) == sorted(w.name for w in LOCK)


@given(st.sampled_from(range(len(LOCK))), st.integers(1, 60))
def test_another_version_changes_one_layer(index: int, budget: int) -> None:
    changed = [replace(w, version=Version("2.0"), filename="new") if n == index else w for n, w in enumerate(LOCK)]
    before, after = set(pack(LOCK, max_layers=budget)), set(pack(changed, max_layers=budget))
    assert len(before - after) == len(after - before) == 1


@pytest.mark.parametrize("added", ["brand-new", "another", "zlib-like"])
def test_another_package_changes_at_most_one_layer(added: str) -> None:
    before, after = set(pack(LOCK, max_layers=20)), set(pack([*LOCK, wheel(added, 5000)], max_layers=20))
    assert len(before - after) <= 1
    assert len(after - before) == 1


def test_tight_budgets() -> None:
    assert len(pack(LOCK, max_layers=1)) == 1
    assert names(pack(LOCK, max_layers=2))[0] == ["torch"]
    assert names(pack(LOCK, max_layers=3))[:2] == [["torch"], ["scipy"]]


def test_nothing_to_pack() -> None:
    assert pack([], max_layers=0) == ()


def test_no_layer_left() -> None:
    with pytest.raises(UsageError, match="no layer is left"):
        pack(LOCK, max_layers=0)
