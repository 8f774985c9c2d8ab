from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml.nodes import MappingNode

from rayimage.errors import KubeRayError
from rayimage.kuberay.documents import parse
from rayimage.kuberay.nodes import Place, entries, paths_to


def place(text: str) -> Place:
    return Place(file=Path("f.yaml"), path="", node=parse(text.encode(), Path("f.yaml")).roots[0])


def found(text: str, *keys: str) -> str | None:
    below = place(text).child(*keys)
    return below.text if below is not None else None


def test_child_and_items_say_where_they_are() -> None:
    below = place("a:\n  b:\n  - x\n  - c: y\n").child("a", "b")
    assert below is not None
    value = below.items()[1].child("c")
    assert value is not None
    assert (value.path, value.line, value.text) == ("a.b[1].c", 4, "y")


@pytest.mark.parametrize("value", ["", "~", "null", "&x", "!!str"])
def test_null_is_absent(value: str) -> None:
    assert place(f"a: {value}\n").child("a") is None
    assert place(f"a: {value}\n").child("a", "b") is None


def test_an_empty_string_is_a_value() -> None:
    assert found("a: ''\n", "a") == ""


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("base: &b {image: x}\nc: {<<: *b}\n", "x"),
        ("base: &b {image: x}\nc: {<<: *b, image: y}\n", "y"),
        ("base: &b {image: x}\nc: {image: y, <<: *b}\n", "y"),
        ("p: &p {image: x}\nq: &q {image: y}\nc: {<<: [*p, *q]}\n", "x"),
        ("p: &p {other: x}\nq: &q {image: y}\nc: {<<: [*p, *q]}\n", "y"),
        ("p: &p {image: x}\nq: &q {<<: *p}\nc: {<<: *q}\n", "x"),
        ("c: {<<: {image: x}}\n", "x"),
        ("c: &c {<<: *c, image: x}\n", "x"),
        ("c: {<<: text}\n", None),
        ("c: {'<<': {image: x}}\n", None),
    ],
)
def test_merge_keys(text: str, value: str | None) -> None:
    assert found(text, "c", "image") == value


def test_a_tower_of_merges_is_climbed_once() -> None:
    """2^60 ways lead down to the image."""
    floors = [f"m{n}: &m{n} {{<<: [*m{n - 1}, *m{n - 1}], k{n}: v}}\n" for n in range(1, 60)]
    text = "m0: &m0 {image: x}\n" + "".join(floors) + "c: {<<: *m59}\n"
    assert found(text, "c", "image") == "x"
    below = place(text).child("c")
    assert below is not None
    assert isinstance(below.node, MappingNode)
    assert len(entries(below.node)) == 60


def test_a_key_that_is_no_scalar_is_passed_over() -> None:
    assert found("{{x}}: 1\nimage: y\n", "image") == "y"


def test_repeated_key() -> None:
    with pytest.raises(KubeRayError, match=r"f\.yaml:2: cannot edit a: the key appears twice"):
        place("a: 1\na: 2\n").child("a")
    assert found("a: 1\na: 2\nb: 3\n", "b") == "3"


def test_wrong_shapes_are_named() -> None:
    with pytest.raises(KubeRayError, match="cannot edit a: it is not a mapping"):
        place("a: text\n").child("a", "b")
    below = place("a: {b: c}\n").child("a")
    assert below is not None
    with pytest.raises(KubeRayError, match="cannot edit a: it is not a list"):
        below.items()


def test_paths_through_aliases_and_merges() -> None:
    root = place("x: &i v\na: {image: *i}\nb: &b [{image: *i}]\nc: *b\nm: &m {image: *i}\nn: {<<: *m, z: 1}\n").node
    (_, target) = entries(root)[0]  # type: ignore[arg-type]
    assert sorted(paths_to(root, target, limit=10)) == [
        "a.image",
        "b[0].image",
        "c[0].image",
        "m.image",
        "n.image",
        "x",
    ]
    assert len(paths_to(root, target, limit=3)) == 3


def test_an_overridden_merge_is_no_path() -> None:
    root = place("m: &m {image: v}\nn: {<<: *m, image: w}\n").node
    (_, mapping) = root.value[0]
    assert paths_to(root, mapping.value[0][1], limit=10) == ["m.image"]


def test_paths_in_a_document_that_contains_itself() -> None:
    root = place("&r\na: *r\nb: v\n").node
    assert paths_to(root, root.value[1][1], limit=10) == ["b"]
