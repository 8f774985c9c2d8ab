from __future__ import annotations

from pathlib import Path

import pytest

from rayimage.errors import KubeRayError
from rayimage.kuberay import survey

FIXTURE = Path(__file__).parent / "fixtures/every-kind.yaml"
HEAD_ONLY = "headGroupSpec: {template: {spec: {containers: [{image: a}, {image: sidecar}]}}}"


def test_every_kind() -> None:
    clusters = survey(FIXTURE.read_bytes(), Path("x.yaml"))
    assert all(cluster.file == Path("x.yaml") for cluster in clusters)
    with_cluster = [cluster for cluster in clusters if cluster.head]
    assert {cluster.title.partition("/")[0] for cluster in with_cluster} == {
        "RayCluster",
        "RayJob",
        "RayService",
        "RayCronJob",
    }


@pytest.mark.parametrize(
    ("text", "head", "version", "groups"),
    [
        (f"spec: {{{HEAD_ONLY}, rayVersion: '2.10'}}", "a", "2.10", ()),
        (f"spec: {{{HEAD_ONLY}, workerGroupSpecs: [{{groupName: g}}, {{}}]}}", "a", None, (("g", None),)),
        (f"spec: {{{HEAD_ONLY.replace('{image: a}', '{}')}}}", None, None, ()),
        (f"spec: {{{HEAD_ONLY.replace('image: a', 'image: {b: c}')}}}", None, None, ()),
        ("spec: {headGroupSpec: {}}", None, None, ()),
        ("metadata: {name: x}", None, None, ()),
    ],
)
def test_what_is_absent_is_none(text: str, head: str | None, version: str | None, groups: tuple[object, ...]) -> None:
    [cluster] = survey(f"apiVersion: ray.io/v1\nkind: RayCluster\n{text}\n".encode(), Path("x.yaml"))
    assert (cluster.head, cluster.ray_version, cluster.groups) == (head, version, groups)


@pytest.mark.parametrize("text", ["", "kind: ConfigMap\n", "apiVersion: ray.io/v1\nkind: RayOther\nspec: {}\n"])
def test_other_documents_are_passed_by(text: str) -> None:
    assert survey(text.encode(), Path("x.yaml")) == ()


@pytest.mark.parametrize("text", ["a: [", "apiVersion: ray.io/v1\nkind: RayCluster\nspec: [headGroupSpec]\n"])
def test_refused(text: str) -> None:
    with pytest.raises(KubeRayError, match=r"x\.yaml"):
        survey(text.encode(), Path("x.yaml"))
