"""One file through all stages: shared values, and the guards at the end."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rayimage.errors import KubeRayError
from rayimage.kuberay import Emission, Images
from rayimage.kuberay import emit as emit_module
from rayimage.kuberay.splice import apply

Emit = Callable[..., Emission]
Head = Callable[[str], str]

ONE = Images({"head": "x/one:2"})
TWO = Images({"head": "x/head:2", "worker": "x/worker:2"})

SHARED = """\
apiVersion: ray.io/v1
kind: RayCluster
metadata:
  name: c
{extra}spec:
  headGroupSpec:
    template:
      spec:
        containers:
        - {head}
  workerGroupSpecs:
  - groupName: g
    template:
      spec:
        containers:
        - {worker}
"""


def shared(head: str, worker: str, extra: str = "") -> str:
    return SHARED.format(head=head, worker=worker, extra=extra)


LAYOUTS = [
    pytest.param(shared("image: &ray a/b:1", "image: *ray"), 1, id="alias"),
    pytest.param(shared("&c {image: a/b:1}", "*c"), 1, id="container"),
    pytest.param(shared("&c {name: h, image: 'a/b:1'}", "{<<: *c, name: w}"), 1, id="merge"),
    pytest.param(
        shared("image: &ray a/b:1\n          env: [{name: RAY_IMAGE, value: *ray}]", "image: *ray"), 1, id="env"
    ),
    pytest.param(shared("image: *ray", "image: *ray", "  annotations: {image: &ray a/b:1}\n"), 1, id="annotation"),
    pytest.param(shared("<<: *base", "<<: *base", "x-base: &base {image: a/b:1}\n"), 1, id="base"),
    pytest.param(shared("image: &ray a/b:1", "image: &ray a/b:1"), 2, id="anchor-again"),
]


@pytest.mark.parametrize(("text", "count"), LAYOUTS)
def test_a_shared_value_is_edited_once(emit: Emit, text: str, count: int) -> None:
    emission = emit(text, ONE)
    assert emission.after.decode() == text.replace("a/b:1", "x/one:2")
    assert len(emission.changes) == count
    assert any("edited once at its anchor" in note.text for note in emission.notes) is (count == 1)
    assert not emit(emission.after, ONE).changed


@pytest.mark.parametrize(("text", "count"), LAYOUTS)
def test_a_shared_value_cannot_be_two(emit: Emit, text: str, count: int) -> None:
    if count == 2:
        assert emit(text, TWO).after == text.replace("a/b:1", "x/head:2", 1).replace("a/b:1", "x/worker:2").encode()
        return
    with pytest.raises(KubeRayError, match="the two get different images") as caught:
        emit(text, TWO)
    assert "spec.workerGroupSpecs[0].template.spec.containers[0].image" in caught.value.what
    assert "value of its own" in caught.value.fix


def test_the_note_lists_what_an_anchor_serves(emit: Emit) -> None:
    text = shared("image: &ray a/b:1\n          env: [{name: RAY_IMAGE, value: *ray}]", "image: *ray")
    (note,) = [note for note in emit(text, ONE).notes if "anchor" in note.text]
    assert note.level == "warning"
    assert note.line == 10
    assert "spec.headGroupSpec.template.spec.containers[0].env[0].value" in note.text
    assert "spec.workerGroupSpecs[0].template.spec.containers[0].image" in note.text


def test_an_anchor_that_serves_ray_alone_is_no_warning(emit: Emit) -> None:
    (note,) = emit(shared("image: &ray a/b:1", "image: *ray"), ONE).notes
    assert note.level == "note"


@pytest.mark.parametrize(
    "text",
    [
        shared("image: &ray a/b:1\n        - image: *ray", "image: c/d:1"),
        shared("&c {image: a/b:1}\n        - {<<: *c, name: sidecar}", "image: c/d:1"),
        shared("image: &ray a/b:1\n        volumes: [{name: v, rbd: {image: *ray}}]", "image: c/d:1"),
    ],
)
def test_an_anchor_is_not_edited_under_a_sidecar(emit: Emit, text: str) -> None:
    with pytest.raises(KubeRayError, match="which is not to be written"):
        emit(text, ONE)


def test_a_sidecar_with_its_own_image_over_a_merge_is_kept(emit: Emit) -> None:
    text = shared("&c {image: a/b:1}\n        - {<<: *c, image: 'side/car:1'}", "image: c/d:1")
    assert emit(text, ONE).after.decode() == text.replace("a/b:1", "x/one:2").replace("c/d:1", "x/one:2")


def test_an_alias_of_a_group_that_is_left_alone_is_refused(emit: Emit) -> None:
    with pytest.raises(KubeRayError, match="which is not to be written"):
        emit(shared("image: &ray a/b:1", "image: *ray"), Images({"head": "x/h:1"}, {"g": "absent"}))


def test_too_many_aliases_are_refused(emit: Emit) -> None:
    env = ", ".join("*ray" for _ in range(120))
    with pytest.raises(KubeRayError, match="aliases lead to it from 100 places or more"):
        emit(shared(f"image: &ray a/b:1\n          args: [{env}]", "image: c/d:1"), ONE)


def test_an_anchor_across_the_items_of_a_list_is_edited_once(emit: Emit) -> None:
    pod = "spec: {{headGroupSpec: {{template: {{spec: {{containers: [{{image: {}}}]}}}}}}}}"
    item = "- apiVersion: ray.io/v1\n  kind: RayCluster\n  metadata: {name: n}\n  "
    text = f"apiVersion: v1\nkind: List\nitems:\n{item}{pod.format('&i a/b:1')}\n{item}{pod.format('*i')}\n"
    emission = emit(text, ONE)
    assert emission.after.decode() == text.replace("a/b:1", "x/one:2")
    assert [change.path for change in emission.changes] == [
        "items[0].spec.headGroupSpec.template.spec.containers[0].image"
    ]


def test_a_file_of_others_is_noted_and_kept(emit: Emit) -> None:
    emission = emit("kind: Deployment\nimage: a/b:1\n")
    assert emission.after is emission.before
    assert emission.documents == ()
    assert [(note.text, note.line, note.level) for note in emission.notes] == [
        ("no KubeRay document in this file", None, "note")
    ]


@pytest.mark.parametrize(("tail", "message"), [(" [", "no longer YAML"), ("\nmore: 1\n", "more than the images")])
def test_a_wrong_splice_is_caught(
    emit: Emit, head: Head, monkeypatch: pytest.MonkeyPatch, tail: str, message: str
) -> None:
    monkeypatch.setattr(emit_module, "apply", lambda text, edits: apply(text, edits) + tail)
    with pytest.raises(KubeRayError, match=message) as caught:
        emit(head("image: a/b:1"))
    assert "report this" in caught.value.fix
