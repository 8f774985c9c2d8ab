from __future__ import annotations

import posixpath
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rayimage.builders.planner import RoleSettings, plan_image, removed_paths
from rayimage.builders.source import SourceInfo
from rayimage.errors import BaseImageError, LockError, UsageError
from rayimage.image.plan import ImagePlan, LayerKind
from rayimage.layers import CodeTree
from rayimage.model.inventory import DirectoryOwner, Distribution, InstalledFile
from tests.support.values import PREFIX, SITE, distribution, inventory, lock, move, wheel

SOURCE = SourceInfo(created="2026-01-02T03:04:05Z", revision="c" * 40)
BASE = inventory(
    distribution("pandas", "1.5.3", "pandas/__init__.py", "pandas/core.py"), distribution("six", "1.16", "six.py")
)


def settings(**changes: Any) -> RoleSettings:
    values = {
        "name": "head",
        "base_name": "rayproject/ray:2.55.1",
        "base_layers": 10,
        "code": "none",
        "workdir": "/home/ray/app",
    }
    return RoleSettings(**(values | changes))


def plan(*wheels: Any, moves: Any = (), **changes: Any) -> ImagePlan:
    return plan_image(settings(**changes), BASE, lock(*wheels, moves=moves), None, SOURCE)


def test_removals_lie_below_the_wheels() -> None:
    made = plan(wheel("pandas", "2.2.3"), moves=(move("pandas", "1.5.3", "2.2.3"),))
    assert [layer.kind for layer in made.layers] == [LayerKind.REMOVAL, LayerKind.WHEELS]
    assert made.layers[0].title == "without the base's pandas 1.5.3"


def test_no_removal_layer_without_a_move() -> None:
    assert [layer.kind for layer in plan(wheel("scipy", "1.0")).layers] == [LayerKind.WHEELS]


def test_a_dist_info_directory_goes_as_a_whole() -> None:
    paths = removed_paths(BASE, lock(moves=(move("pandas", "1.5.3", "2.2.3"),)))
    assert paths == (f"{SITE}/pandas-1.5.3.dist-info", f"{SITE}/pandas/__init__.py", f"{SITE}/pandas/core.py")


ODD = (
    "/etc/passwd", "../../../../../../etc/shadow", "../../../bin", "..", ".", "shared/__init__.py", "shared", "old",
    "six.py", "old/core.py", "old/a\nb", "../../../share/old.1", "../../../bin/old",
)  # fmt: skip


def odd_record() -> Distribution:
    files = tuple(InstalledFile(posixpath.normpath(posixpath.join(SITE, path))) for path in ODD)
    return replace(distribution("old", "1.0"), files=files)


def test_only_what_is_the_packages_own_goes_whatever_its_record_says() -> None:
    base = inventory(odd_record(), distribution("six", "1.16", "six.py", "shared/__init__.py"))
    assert removed_paths(base, lock(moves=(move("old", "1.0", "2.0"),))) == (
        f"{PREFIX}/bin/old",
        f"{SITE}/old",
        f"{SITE}/old-1.0.dist-info",
        f"{SITE}/old/core.py",
        f"{PREFIX}/share/old.1",
    )


def test_a_package_of_the_operating_system_is_left_to_it() -> None:
    yaml = InstalledFile("/usr/lib/python3/dist-packages/yaml/__init__.py")
    system = replace(
        distribution("pyyaml", "5.0"), files=(yaml,), dist_info="/usr/lib/python3/dist-packages/y.egg-info"
    )
    assert removed_paths(inventory(system), lock(moves=(move("pyyaml", "5.0", "6.0"),))) == ()


def test_a_move_of_what_the_base_does_not_have() -> None:
    with pytest.raises(LockError, match="replaces none, which the base does not have"):
        removed_paths(BASE, lock(moves=(move("none", "1.0", "2.0"),)))


def test_every_wheel_is_in_exactly_one_layer() -> None:
    wheels = [wheel(f"p{n}", "1.0", size=n * 1_000_000) for n in range(60)]
    made = plan(*wheels)
    names = [w.name for layer in made.layers for w in layer.wheels]
    assert sorted(names) == sorted(w.name for w in wheels)


@pytest.mark.parametrize("base_layers", [1, 60, 118, 126])
def test_the_layers_stay_below_the_limit(base_layers: int) -> None:
    wheels = [wheel(f"p{n}", "1.0", size=50_000_000) for n in range(200)]
    made = plan(*wheels, base_layers=base_layers)
    assert base_layers + len(made.layers) <= 127
    assert len({w.name for layer in made.layers for w in layer.wheels}) == 200


def test_one_changed_version_changes_one_layer() -> None:
    wheels = [wheel(f"p{n}", "1.0", size=n * 400_000) for n in range(40)]
    before = {layer.key for layer in plan(*wheels).layers}
    for n in (0, 17, 39):
        changed = [*wheels[:n], wheel(f"p{n}", "2.0", size=n * 400_000), *wheels[n + 1 :]]
        assert len(before - {layer.key for layer in plan(*changed).layers}) == 1


def test_labels_say_where_it_came_from() -> None:
    labels = plan(wheel("a", "1"), labels={"team": "risk", "io.rayimage.role": "mine"}).config.labels
    assert labels["org.opencontainers.image.base.name"] == "rayproject/ray:2.55.1"
    assert labels["org.opencontainers.image.base.digest"] == str(BASE.image)
    assert labels["org.opencontainers.image.revision"] == SOURCE.revision
    assert labels["io.ray.ray-version"] == "2.55.1"
    assert labels["team"] == "risk"
    assert labels["io.rayimage.role"] == "mine"


def test_the_lock_label_is_independent_of_where_wheels_come_from() -> None:
    one, other = wheel("a", "1"), replace(wheel("a", "1"), url="https://mirror.example.com/a.whl", size=None)
    assert plan(one).config.labels == plan(other).config.labels
    assert plan(one).config.labels["io.rayimage.lock"] != plan(wheel("a", "2")).config.labels["io.rayimage.lock"]


def test_without_code_the_base_keeps_its_workdir() -> None:
    assert plan().config.workdir == "/home/ray"
    assert plan(code="wheel").config.workdir == "/home/ray/app"


def test_the_codes_directories_stay_what_they_are_in_the_base() -> None:
    owners = {
        "/tmp": DirectoryOwner(0o1777, 0, 0),
        "/tmp/a": DirectoryOwner(0o700, 0, 0),
        "/srv": DirectoryOwner(0, 0, 0),
    }
    made = plan_image(settings(workdir="/tmp"), replace(BASE, directories=owners), lock(wheel("a", "1")), None, SOURCE)
    assert made.layers[-1].paths == ("/tmp", "/tmp/a")


@pytest.mark.parametrize(("base_layers", "fits"), [(124, True), (125, False), (200, False)])
def test_too_many_layers_are_known_before_any_is_made(base_layers: int, fits: bool) -> None:
    pandas = wheel("pandas", "2"), (move("pandas", "1.5.3", "2"),)
    if fits:
        assert len(plan(pandas[0], moves=pandas[1], base_layers=base_layers).layers) + base_layers <= 127
        return
    with pytest.raises(BaseImageError, match="the image would have"):
        plan(pandas[0], moves=pandas[1], code="wheel", base_layers=base_layers)


@pytest.mark.parametrize("workdir", ["/home/ray/app", "/home/ray/app/deep", "/data/app"])
def test_code_is_not_copied_through_a_link_of_the_base(workdir: str) -> None:
    base = replace(BASE, symlinks={"/home/ray/app": "../../srv", "/data": "mnt"})
    tree = CodeTree(root=Path("/nowhere"), files=())
    with pytest.raises(UsageError, match=r"is a symbolic link to (\.\./\.\./srv|mnt) in the base"):
        plan_image(settings(code="copy", workdir=workdir), base, lock(), tree, SOURCE)
    assert plan_image(settings(code="copy", workdir="/home/ray/code"), base, lock(), tree, SOURCE).layers


def test_the_topmost_layer_gives_directories_back_to_the_base() -> None:
    base = replace(
        BASE,
        directories={
            "/home": DirectoryOwner(0o755, 0, 0),
            "/home/ray": DirectoryOwner(0o750, 1000, 100),
            SITE: DirectoryOwner(0o755, 1000, 100),
            f"{SITE}/odd": DirectoryOwner(0o1777, 0, 0),
            "/usr/local": DirectoryOwner(0o755, 0, 0),
            "/srv": DirectoryOwner(0o700, 0, 0),
        },
    )
    made = plan_image(settings(workdir="/srv/app"), base, lock(wheel("a", "1")), None, SOURCE)
    assert made.layers[-1].kind is LayerKind.DIRECTORIES
    assert made.layers[-1].paths == ("/home", "/home/ray", SITE, f"{SITE}/odd", "/srv")
    assert plan_image(settings(), base, lock(), None, SOURCE).layers == ()
