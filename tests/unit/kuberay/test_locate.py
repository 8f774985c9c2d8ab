"""Which scalars are Ray's, whose image they get, and what is said about the rest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rayimage.errors import KubeRayError
from rayimage.kuberay import Emission, Images

FIXTURE = Path(__file__).parent / "fixtures" / "every-kind.yaml"
Emit = Callable[..., Emission]
Head = Callable[[str], str]

POD = "template: {spec: {containers: [{image: a/b:1}]}}"


def texts(emission: Emission, level: str = "note") -> list[str]:
    return [note.text for note in emission.notes if note.level == level]


def written(emission: Emission) -> dict[str, str]:
    return {change.path: change.new for change in emission.changes}


def cluster(*lines: str, kind: str = "RayCluster") -> str:
    spec = "\n".join(f"  {line}" for line in lines)
    return f"apiVersion: ray.io/v1\nkind: {kind}\nmetadata: {{name: c}}\nspec:\n{spec}\n"


def test_every_kind(emit: Emit, images: Images) -> None:
    emission = emit(FIXTURE.read_bytes())
    head, worker, gpu = images.by_role.values()
    pod, group = "headGroupSpec.template.spec", "workerGroupSpecs[{}].template.spec.containers[0].image"
    cron = "spec.jobTemplate.rayClusterSpec"
    assert sorted((change.document, change.path, change.new) for change in emission.changes) == sorted(
        [
            ("RayCluster/full", "spec.rayVersion", "2.55.1"),
            ("RayCluster/full", f"spec.{pod}.containers[0].image", head),
            ("RayCluster/full", f"spec.{pod}.initContainers[0].image", head),
            ("RayCluster/full", "spec.autoscalerOptions.image", head),
            ("RayCluster/full", f"spec.{group.format(0)}", worker),
            ("RayCluster/full", f"spec.{group.format(1)}", gpu),
            ("RayJob/nightly-*", "spec.submitterPodTemplate.spec.containers[0].image", head),
            ("RayJob/nightly-*", "spec.rayClusterSpec.rayVersion", "2.55.1"),
            ("RayJob/nightly-*", f"spec.rayClusterSpec.{pod}.containers[0].image", head),
            ("RayService/serving", f"spec.rayClusterConfig.{pod}.containers[0].image", head),
            ("RayCronJob/hourly", f"{cron}.rayVersion", "2.55.1"),
            ("RayCronJob/hourly", f"{cron}.{pod}.containers[0].image", head),
            ("RayCronJob/hourly", f"{cron}.{group.format(0)}", worker),
        ]
    )
    assert emission.documents == ("RayCluster/full", "RayJob/nightly-*", "RayService/serving", "RayCronJob/hourly")


def test_changes_name_exactly_the_lines_that_differ(emit: Emit) -> None:
    emission = emit(FIXTURE.read_bytes())
    before, after = (data.decode().split("\n") for data in (emission.before, emission.after))
    assert len(before) == len(after)
    differing = {number for number, (old, new) in enumerate(zip(before, after, strict=True), start=1) if old != new}
    assert differing == {change.line for change in emission.changes}
    assert all(change.old in before[change.line - 1] for change in emission.changes)
    assert all(change.new in after[change.line - 1] for change in emission.changes)


def test_notes_of_every_kind(emit: Emit) -> None:
    emission = emit(FIXTURE.read_bytes())
    init = "spec.headGroupSpec.template.spec.initContainers[1].image"
    submitter = "spec.jobTemplate.submitterPodTemplate.spec.containers[0].image"
    assert texts(emission) == [
        f"{init}: not the image of the Ray container, left alone",
        "spec.rayClusterConfig.rayVersion: absent, not added (KubeRay then probes with wget)",
        f"{submitter}: quay.io/kuberay/submitter:v1.5.1 is KubeRay's submitter, left alone",
    ]
    assert texts(emission, "warning") == [
        "spec.runtimeEnvYAML: names an image of its own (image_uri or container)",
        "spec.serveConfigV2: names an image of its own (image_uri or container)",
    ]
    lines = FIXTURE.read_text().splitlines()
    seen = {note.text.split(":")[0]: lines[(note.line or 0) - 1].strip() for note in emission.notes}
    assert seen[init] == "image: busybox:1.36"
    assert seen["spec.serveConfigV2"] == "serveConfigV2: |"


def test_a_role_that_claims_groups_serves_others_audibly(emit: Emit) -> None:
    groups = [f"- {{groupName: {name}, {POD}}}" for name in ("gpu-group", "cpu-group")]
    release = Images({"head": "x/h:1", "worker": "x/w:1"}, {"gpu-group": "worker"})
    emission = emit(cluster(f"headGroupSpec: {{{POD}}}", "workerGroupSpecs:", *groups), release)
    assert len(emission.changes) == 3
    assert texts(emission) == [
        "spec.workerGroupSpecs[1]: group 'cpu-group' is named by no role and follows role worker"
    ]


def test_nothing_but_the_role_decides_the_image_of_a_group(emit: Emit) -> None:
    groups = [f"- {{groupName: {name}, {POD}}}" for name in ("a", "b")]
    emission = emit(cluster(f"headGroupSpec: {{{POD}}}", "workerGroupSpecs:", *groups), Images({"head": "x/y:1"}))
    assert set(written(emission).values()) == {"x/y:1"}
    assert len(emission.changes) == 3


@pytest.mark.parametrize(
    "group", ["template: {spec: {containers: [{image: a/b:1}]}}", "groupName: {{ .Name }}\n    " + POD]
)
def test_a_group_without_a_readable_name_is_a_worker(emit: Emit, group: str, images: Images) -> None:
    emission = emit(cluster(f"headGroupSpec: {{{POD}}}", "workerGroupSpecs:", f"- {group}"))
    assert written(emission)["spec.workerGroupSpecs[0].template.spec.containers[0].image"] == images.by_role["worker"]


def test_a_group_without_a_role_is_left_alone_and_reported(emit: Emit) -> None:
    text = cluster(
        f"headGroupSpec: {{{POD}}}", "workerGroupSpecs:", f"- {{groupName: g, {POD}}}", f"- {{groupName: h, {POD}}}"
    )
    emission = emit(text, Images({"head": "x/h:1", "a": "x/a:1", "b": "x/b:1"}, {"h": "absent"}))
    assert list(written(emission)) == ["spec.headGroupSpec.template.spec.containers[0].image"]
    assert texts(emission) == [
        "spec.workerGroupSpecs[0].template.spec.containers[0].image: no role for group 'g', left alone",
        "spec.workerGroupSpecs[1].template.spec.containers[0].image: no image given for role absent, left alone",
    ]


def test_without_a_head_image_head_and_autoscaler_are_left_alone(emit: Emit) -> None:
    text = cluster("autoscalerOptions: {image: a/b:1}", f"headGroupSpec: {{{POD}}}", f"workerGroupSpecs: [{{{POD}}}]")
    emission = emit(text, Images({"worker": "x/w:1"}))
    assert list(written(emission)) == ["spec.workerGroupSpecs[0].template.spec.containers[0].image"]
    assert [text.split(": ")[1] for text in texts(emission)] == ["no image given for role head, left alone"] * 2


def test_autoscaler_options_without_image_get_none(emit: Emit) -> None:
    emission = emit(cluster("autoscalerOptions: {imagePullPolicy: Always}", f"headGroupSpec: {{{POD}}}"))
    assert list(written(emission)) == ["spec.headGroupSpec.template.spec.containers[0].image"]


@pytest.mark.parametrize(
    "spec",
    [
        "headGroupSpec: {template: {spec: {containers: [{name: ray}]}}}",
        "headGroupSpec: {template: {spec: {containers: [{name: ray, image: }]}}}",
        "headGroupSpec: {template: {spec: {containers: [{name: ray, image: null}]}}}",
        "headGroupSpec: {template: {spec: {containers: []}}}",
        "headGroupSpec: {template: {spec: {}}}",
        "headGroupSpec: {rayStartParams: {}}",
    ],
)
def test_no_image_is_a_warning_and_none_is_inserted(emit: Emit, spec: str) -> None:
    emission = emit(cluster(spec))
    assert not emission.changed
    assert texts(emission, "warning") == [
        "spec.headGroupSpec.template.spec.containers[0].image: no image here, and none is inserted"
    ]


def test_no_head_group_is_a_warning(emit: Emit) -> None:
    assert texts(emit(cluster("rayVersion: '2.55.1'")), "warning") == ["spec: no headGroupSpec"]


def test_no_spec_is_a_warning(emit: Emit) -> None:
    emission = emit("apiVersion: ray.io/v1\nkind: RayCronJob\nmetadata: {name: c}\nspec: {schedule: x}\n")
    assert texts(emission, "warning") == ["RayCronJob/c: no spec.jobTemplate to write to"]


def test_a_job_without_cluster_spec_is_a_warning(emit: Emit) -> None:
    assert texts(emit(cluster("entrypoint: x", kind="RayJob")), "warning") == [
        "RayJob/c: no rayClusterSpec to write to"
    ]


def test_a_service_does_not_say_ray_cluster_spec(emit: Emit) -> None:
    emission = emit(cluster(f"rayClusterSpec: {{headGroupSpec: {{{POD}}}}}", kind="RayService"))
    assert not emission.changed
    assert texts(emission, "warning") == ["RayService/c: no rayClusterConfig to write to"]


def test_a_job_on_a_selected_cluster_has_nothing_to_write(emit: Emit) -> None:
    emission = emit(cluster("clusterSelector: {ray.io/cluster: c}", kind="RayJob"))
    assert not emission.changed
    assert texts(emission) == ["RayJob/c: runs on the cluster of its clusterSelector, whose images are set there"]
    assert emission.documents == ("RayJob/c",)


def test_the_submitter_of_a_job_on_a_selected_cluster_follows_the_head(emit: Emit, images: Images) -> None:
    submitter = "submitterPodTemplate: {spec: {containers: [{image: a/b:1}, {image: a/b:1}]}}"
    emission = emit(cluster("clusterSelector: {ray.io/cluster: c}", submitter, kind="RayJob"))
    assert written(emission) == {"spec.submitterPodTemplate.spec.containers[0].image": images.head}


@pytest.mark.parametrize(
    ("image", "kept"),
    [
        ("quay.io/kuberay/submitter", True),
        ("quay.io/kuberay/submitter:v1.5.1", True),
        ("quay.io/kuberay/submitter@sha256:" + "a" * 64, True),
        ("quay.io/kuberay/submitter-of-ours:v1", False),
        ("example.com/quay.io/kuberay/submitter:v1", False),
    ],
)
def test_only_kuberays_own_submitter_is_kept(emit: Emit, image: str, *, kept: bool) -> None:
    submitter = f"submitterPodTemplate: {{spec: {{containers: [{{image: '{image}'}}]}}}}"
    emission = emit(cluster("clusterSelector: {a: b}", submitter, kind="RayJob"))
    assert emission.changed is not kept


def test_a_cluster_has_no_submitter(emit: Emit) -> None:
    emission = emit(
        cluster(f"headGroupSpec: {{{POD}}}", "submitterPodTemplate: {spec: {containers: [{image: a/b:1}]}}")
    )
    assert len(emission.changes) == 1


def test_init_containers_follow_the_image_of_their_own_group(emit: Emit, images: Images) -> None:
    pod = "template: {{spec: {{initContainers: [{{image: a/head:1}}, {{image: a/worker:1}}, {{}}], containers: [{{image: a/{}:1}}]}}}}"
    emission = emit(
        cluster(f"headGroupSpec: {{{pod.format('head')}}}", f"workerGroupSpecs: [{{{pod.format('worker')}}}]")
    )
    assert {path: new for path, new in written(emission).items() if "init" in path} == {
        "spec.headGroupSpec.template.spec.initContainers[0].image": images.by_role["head"],
        "spec.workerGroupSpecs[0].template.spec.initContainers[1].image": images.by_role["worker"],
    }
    assert sum("not the image of the Ray container" in text for text in texts(emission)) == 2


def test_an_unknown_kind_of_the_api_is_left_alone(emit: Emit) -> None:
    emission = emit(cluster(f"headGroupSpec: {{{POD}}}", kind="RayFuture"))
    assert not emission.changed
    assert emission.documents == ()
    assert texts(emission) == ["RayFuture/c: not a kind that holds Ray images", "no KubeRay document in this file"]


@pytest.mark.parametrize(
    ("inner", "warned"),
    [
        ("image_uri: a/b:1", True),
        ('"image_uri" : a/b:1', True),
        ("container: {image: a/b:1}", True),
        ("# image_uri: a/b:1", False),
        ("working_dir: https://example.com/image_uri.zip", False),
        ("env_vars: {MY_container: x}", False),
    ],
)
def test_images_inside_strings_are_warned_about(emit: Emit, inner: str, *, warned: bool) -> None:
    emission = emit(cluster(f"headGroupSpec: {{{POD}}}", "runtimeEnvYAML: |", f"  {inner}", kind="RayJob"))
    assert any("runtimeEnvYAML" in text for text in texts(emission, "warning")) is warned
    assert inner.encode() in emission.after


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("headGroupSpec: text", r"c\.yaml:5: cannot edit spec\.headGroupSpec: it is not a mapping"),
        ("workerGroupSpecs: {a: b}", r"cannot edit spec\.workerGroupSpecs: it is not a list"),
        ("workerGroupSpecs: [text]", r"cannot edit spec\.workerGroupSpecs\[0\]: it is not a mapping"),
        ("headGroupSpec: {template: {spec: {containers: {image: x}}}}", r"containers: it is not a list"),
    ],
)
def test_other_shapes_than_the_crds_are_refused(emit: Emit, spec: str, message: str) -> None:
    with pytest.raises(KubeRayError, match=message):
        emit(cluster(spec))


@pytest.mark.parametrize("key", ["headGroupSpec", "image", "containers", "rayVersion"])
def test_repeated_keys_that_matter_are_refused(emit: Emit, key: str) -> None:
    text = cluster(
        "rayVersion: '1'", "headGroupSpec:", "  template:", "    spec:", "      containers:", "      - image: a/b:1"
    )
    line = next(line for line in text.split("\n") if f"{key}:" in line)
    again = {"headGroupSpec": " {}", "containers": " []"}.get(key, " x")
    extra = line.split(":")[0].replace("- ", "  ") + ":" + again
    with pytest.raises(KubeRayError, match="the key appears twice in one mapping") as caught:
        emit(text + extra + "\n" if key != "rayVersion" else text + "  rayVersion: x\n")
    assert caught.value.fix == "remove one of the two"


def test_the_smallest_cluster_gets_the_head(emit: Emit, head: Head, images: Images) -> None:
    assert written(emit(head("image: a/b:1"))) == {"spec.headGroupSpec.template.spec.containers[0].image": images.head}
