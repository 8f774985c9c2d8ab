"""How a scalar is spelled before and after, what is refused, and what the proof catches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from rayimage.errors import KubeRayError
from rayimage.kuberay import Emission, Images
from rayimage.kuberay.documents import Source, parse
from rayimage.kuberay.locate import Site
from rayimage.kuberay.nodes import Place
from rayimage.kuberay.splice import Edit, apply, plan_edit, prove

Emit = Callable[..., Emission]
Head = Callable[[str], str]

FILE = Path("c.yaml")
SITE = "spec.headGroupSpec.template.spec.containers[0].image"
V6 = "[2001:db8::1]:5000/team/x:1"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("image: a/b:1", "image: {new}"),
        ("image: a/b:1 # a comment", "image: {new} # a comment"),
        ("image:   a/b:1   ", "image:   {new}   "),
        ("image: 'a/b:1'", "image: '{new}'"),
        ('image: "a/b:1" # c', 'image: "{new}" # c'),
        ('image: "a\\u002fb:1"', 'image: "{new}"'),
        ("image: 'it''s'", "image: '{new}'"),
        ("image: ''", "image: '{new}'"),
        ("image:\n  a/b:1", "image:\n  {new}"),
        ("image: &i a/b:1", "image: &i {new}"),
        ("image: !!str a/b:1", "image: !!str {new}"),
        ("image: !!str &i 'a/b:1' # c", "image: !!str &i '{new}' # c"),
        ("image: &i !!str a/b:1", "image: &i !!str {new}"),
        ("image: !<tag:yaml.org,2002:str> a/b:1", "image: !<tag:yaml.org,2002:str> {new}"),
        ("image: ! a/b:1", "image: ! {new}"),
        ('"image": "a/b:1"', '"image": "{new}"'),
        ("? image\n: a/b:1", "? image\n: {new}"),
        ("image: 2", "image: {new}"),
        ("image:\ta/b:1\t# tabs", "image:\t{new}\t# tabs"),
        ("image: a/b:1 # é 🙂", "image: {new} # é 🙂"),
        ("é: 🙂\nimage: a/b:1", "é: 🙂\nimage: {new}"),
    ],
)
def test_only_the_value_is_replaced(emit: Emit, head: Head, images: Images, before: str, after: str) -> None:
    emission = emit(head(before))
    assert emission.after.decode() == head(after.format(new=images.head))
    assert emit(emission.after).after == emission.after


@pytest.mark.parametrize(
    "layout", ["{{image: a/b:1}}", "{{image: a/b:1, name: x}}", "{{name: x,image: 'a/b:1'}}", '{{"image":"a/b:1"}}']
)
def test_flow_style(emit: Emit, images: Images, layout: str) -> None:
    text = f"apiVersion: ray.io/v1\nkind: RayCluster\nspec: {{headGroupSpec: {{template: {{spec: {{containers: [{layout.format()}]}}}}}}}}\n"
    assert emit(text).after.decode() == text.replace("a/b:1", str(images.head))


def test_crlf_byte_order_mark_and_no_newline_at_the_end(emit: Emit, head: Head, images: Images) -> None:
    text = "\ufeff" + head("image: a/b:1 # é").rstrip("\n").replace("\n", "\r\n")
    assert emit(text).after == text.replace("a/b:1", str(images.head)).encode()


@pytest.mark.parametrize(
    ("new", "spelling"),
    [
        ("registry:5000/x:1", "registry:5000/x:1"),
        ("ray:2.9", "ray:2.9"),
        ("x@sha256:" + "0" * 64, "x@sha256:" + "0" * 64),
        (V6, f'"{V6}"'),
        ("20:30", '"20:30"'),
        ("null", '"null"'),
        ("2024", '"2024"'),
        ("ray", '"ray"'),
        ("1e3", '"1e3"'),
    ],
)
def test_plain_stays_plain_only_where_it_stays_a_string(emit: Emit, head: Head, new: str, spelling: str) -> None:
    emission = emit(head("image: a/b:1"), Images({"head": new}))
    assert emission.after.decode() == head(f"image: {spelling}")
    quoted = emit(head("image: 'a/b:1'"), Images({"head": new}))
    assert quoted.after.decode() == head(f"image: '{new}'")


@pytest.mark.parametrize(
    ("before", "version", "after"),
    [
        ("'2.9.0' # c", "2.55.1", "'2.55.1' # c"),
        ('"2.9.0"', "2.10", '"2.10"'),
        ("2.9.0", "2.55.1", '"2.55.1"'),
        ("2.9.0 # c", "2.10", '"2.10" # c'),
        ("2.10", "2.10", '"2.10"'),
        ("2", "2", '"2"'),
        ("1e3", "1e3", '"1e3"'),
        ("2.55.1", "2.55.1", "2.55.1"),
        ("!!str 2.10", "2.10", "!!str 2.10"),
    ],
)
def test_ray_version_is_a_string_in_the_end(emit: Emit, before: str, version: str, after: str) -> None:
    text = "apiVersion: ray.io/v1\nkind: RayCluster\nspec:\n  rayVersion: {}\n"
    release = Images({}, ray_version=version)
    emission = emit(text.format(before), release)
    assert emission.after.decode() == text.format(after)
    assert not emit(emission.after, release).changed


def test_without_a_version_ray_version_is_not_looked_at(emit: Emit) -> None:
    emission = emit(
        "apiVersion: ray.io/v1\nkind: RayCluster\nspec:\n  rayVersion: {{ .v }}\n", Images({"head": "a/b:1"})
    )
    assert not emission.changed
    assert [note.text for note in emission.notes] == ["spec: no headGroupSpec"]


@pytest.mark.parametrize("piece", ["image: >-\n  {new}", "image: '{new}'", "image: {new} # c", "image: !!str {new}"])
def test_what_already_says_so_is_not_touched(emit: Emit, head: Head, images: Images, piece: str) -> None:
    emission = emit(head(piece.format(new=images.head)))
    assert not emission.changed
    assert emission.changes == ()


@pytest.mark.parametrize(
    ("piece", "why"),
    [
        ("image: {{.Image}}", "template"),
        ("image: {{ .Values.image }}", "template"),
        ('image: "{{ .Values.image }}"', "template or variable"),
        ("image: a/{{ tag }}", "template or variable"),
        ("image: '{% raw %}'", "template or variable"),
        ("image: $VLLM_IMAGE", "template or variable"),
        ("image: ${REGISTRY}/x:1", "template or variable"),
        ("image: $(IMAGE)", "template or variable"),
        ("image: {repository: a/b, tag: '1'}", "not a scalar"),
        ("image: [a/b:1]", "not a scalar"),
        ("image: >-\n  a/b:1", "several lines"),
        ("image: |-\n  a/b:1", "several lines"),
        ("image: a/b:1\n  and more", "several lines"),
        ('image: "a/b\\\n  :1"', "several lines"),
        ("image: 'a/b\n  :1'", "several lines"),
        ("image: &i # c\n  a/b:1", "several lines"),
        ("image: !secret a/b:1", "tagged !secret"),
        ("image: !!int 12", "tagged tag:yaml.org,2002:int"),
    ],
)
def test_refusals_name_file_line_path_cause_and_next_step(emit: Emit, head: Head, piece: str, why: str) -> None:
    with pytest.raises(KubeRayError) as caught:
        emit(head(piece))
    assert caught.value.what == f"c.yaml:11: cannot edit {SITE}"
    assert why in caught.value.why
    assert caught.value.fix


@pytest.mark.parametrize("version", ['"{{ .Values.rayVersion }}"', "{{ .v }}", "$RAY", "[2]", "!!float 2.10"])
def test_a_ray_version_that_is_no_literal_is_refused(emit: Emit, version: str) -> None:
    with pytest.raises(KubeRayError, match=r"c\.yaml:4: cannot edit spec\.rayVersion"):
        emit(f"apiVersion: ray.io/v1\nkind: RayCluster\nspec:\n  rayVersion: {version}\n")


def one_edit(text: str) -> tuple[Source, Edit]:
    source = parse(text.encode(), FILE)
    (_, node) = source.roots[0].value[0]
    edit = plan_edit(source, Site(place=Place(file=FILE, path="image", node=node), new="x/y:2"))
    assert edit is not None
    return source, edit


def test_apply_keeps_positions_right_whatever_the_order() -> None:
    _, edit = one_edit("image: a\n")
    first, second = replace(edit, start=0, end=1, spelling="long"), replace(edit, start=2, end=3, spelling="")
    assert apply("abcd", [first, second]) == apply("abcd", [second, first]) == "longbd"


@pytest.mark.parametrize(
    "after",
    [
        "image: x/y:3\nb: 1\n",
        "image: 'x/y:2'\nb: 1\n",
        "image: &i x/y:2\nb: 1\n",
        "image: !t x/y:2\nb: 1\n",
        "image: [x/y:2]\nb: 1\n",
        "image: x/y:2\nb: 2\n",
        "image: x/y:2\nb: '1'\n",
        "image: x/y:2\nb: [1]\n",
        "image: x/y:2\nb: &b 1\n",
        "image: x/y:2\nb: !!str 1\n",
        "image: x/y:2\nc: 1\n",
        "image: x/y:2\n",
        "image: x/y:2\nb: 1\nc: 1\n",
        "{image: x/y:2, b: 1}\n",
        "image: x/y:2\nb: 1\n---\n",
        "image: a\nb: 1\n",
    ],
)
def test_the_proof_sees_every_other_difference(after: str) -> None:
    source, edit = one_edit("image: a\nb: 1\n")
    prove(source, parse(b"image: x/y:2\nb: 1\n", FILE), [edit])
    with pytest.raises(KubeRayError, match=r"c\.yaml: not written, because more than the images would have changed"):
        prove(source, parse(after.encode(), FILE), [edit])


def test_the_proof_sees_where_aliases_point() -> None:
    source, edit = one_edit("image: a\nb: &x 1\nc: &y 1\nd: *x\n")
    prove(source, parse(b"image: x/y:2\nb: &x 1\nc: &y 1\nd: *x\n", FILE), [edit])
    for after in (b"image: x/y:2\nb: &x 1\nc: &y 1\nd: *y\n", b"image: x/y:2\nb: &x 1\nc: &y 1\nd: &x 1\n"):
        with pytest.raises(KubeRayError, match="more than the images"):
            prove(source, parse(after, FILE), [edit])


def test_the_proof_ends_on_a_document_that_contains_itself() -> None:
    source, edit = one_edit("image: a\nself: &s [*s]\n")
    prove(source, parse(b"image: x/y:2\nself: &s [*s]\n", FILE), [edit])


def test_the_proof_wants_every_edit_made() -> None:
    source, edit = one_edit("image: a\n")
    _, foreign = one_edit("image: a\n")
    with pytest.raises(KubeRayError, match="more than the images"):
        prove(source, parse(b"image: x/y:2\n", FILE), [edit, foreign])
