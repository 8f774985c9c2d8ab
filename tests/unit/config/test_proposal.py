from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayimage.config.proposal import EnvironmentProposal, Findings, Proposal, RoleProposal, propose
from rayimage.config.starter import start
from rayimage.model.cluster import Cluster

CPU, GPU = "rayproject/ray:2.55.1-py311", "rayproject/ray:2.55.1-py311-cu128"


def cluster(file: str = "deploy/dev/ray.yaml", head: str | None = CPU, **groups: str | None) -> Cluster:
    return Cluster(file=Path(file), title="RayCluster/x", ray_version="2.55.1", head=head, groups=tuple(groups.items()))


def proposed(*clusters: Cluster, requirements: tuple[str, ...] = (), **options: Any) -> Proposal:
    facts = {key: options.pop(key) for key in ("has_dependencies", "python", "name") if key in options}
    files = frozenset(str(each.file) for each in clusters)
    return propose(
        Findings(**{"name": "app", "requirements": requirements, "clusters": clusters, "yaml_files": files} | facts),
        **options,
    )


class TestBase:
    @pytest.mark.parametrize(
        "image", [CPU, GPU, "rayproject/ray:nightly", "mirror.example.com/hub/rayproject/ray:2.55.1-py311"]
    )
    def test_the_head_s_image_if_it_is_ray_s(self, image: str) -> None:
        found = proposed(cluster(head=image))
        assert (found.roles[0].base, found.base_known) == (image, True)

    @pytest.mark.parametrize(
        "image",
        [None, "", "rayproject/ray", "example.com/team/app:v1", "rayproject/ray-ml:2.9", "{{.Image}}", "$IMAGE"],
    )
    def test_else_a_guess_by_ray_version(self, image: str | None) -> None:
        found = proposed(cluster(head=image), python="3.12")
        assert (found.roles[0].base, found.base_known) == ("rayproject/ray:2.55.1-py312", False)

    def test_the_option_overrules(self) -> None:
        found = proposed(cluster(), base="oci:layout:x")
        assert (found.roles[0].base, found.base_known) == ("oci:layout:x", True)

    def test_arm(self) -> None:
        assert proposed(cluster(head=f"{CPU}-aarch64")).platform == "linux/arm64"


class TestRepository:
    def test_where_the_present_images_come_from(self) -> None:
        found = proposed(cluster(head="example.com:5000/team/app:v1"))
        assert (found.repository, found.repository_known) == ("example.com:5000/team/app", True)

    @pytest.mark.parametrize(("name", "slug"), [("Fraud App", "fraud-app"), ("a_b.c", "a-b-c"), ("日本", "app")])
    def test_else_a_placeholder(self, name: str, slug: str) -> None:
        found = proposed(cluster(), name=name)
        assert (found.repository, found.repository_known) == (f"registry.example.com/team/{slug}", False)

    def test_environments_that_differ_have_their_own(self) -> None:
        dev = cluster("deploy/dev/ray.yaml", "example.com/dev/app:1")
        prod = cluster("deploy/prod/ray.yaml", "example.com/prod/app:1")
        found = proposed(prod, dev)
        assert found.repository == "example.com/dev/app"
        assert [each.repository for each in found.environments] == [None, "example.com/prod/app"]

    def test_the_option_overrules_them_all(self) -> None:
        found = proposed(cluster(head="example.com/dev/app:1"), repository="example.com/x")
        assert found.repository == "example.com/x"
        assert found.environments[0].repository is None


class TestRoles:
    def test_groups_on_the_head_s_base_are_one_role(self) -> None:
        found = proposed(cluster(small=CPU, large=CPU))
        assert found.roles[1:] == (RoleProposal(name="worker", base=CPU, worker_groups=("small", "large")),)

    def test_a_group_of_its_own_base_is_a_role_of_its_own(self) -> None:
        found = proposed(cluster(**{"GPU group": GPU, "small": CPU}))
        assert found.roles == (
            RoleProposal(name="head", base=CPU),
            RoleProposal(name="worker", base=CPU, worker_groups=("small",)),
            RoleProposal(name="gpu-group", base=GPU, worker_groups=("GPU group",)),
        )

    def test_one_other_base_for_all_groups(self) -> None:
        assert [role.name for role in proposed(cluster(gpu=GPU)).roles] == ["head", "worker"]

    def test_a_group_without_a_base_runs_on_the_head_s(self) -> None:
        assert proposed(cluster(x="example.com/team/app:v1", y=None)).roles[1].base == CPU

    def test_names_do_not_collide(self) -> None:
        groups = {"a": CPU, "head": GPU, "worker": "rayproject/ray:2.54.0", "??": "rayproject/ray:2.53.0"}
        found = proposed(replace(cluster(), groups=tuple(groups.items())))
        names = [role.name for role in found.roles]
        assert len(set(names)) == len(names) == 5

    def test_a_group_of_several_files_is_named_once(self) -> None:
        found = proposed(cluster("deploy/dev/a.yaml", cpu=CPU), cluster("deploy/prod/a.yaml", cpu=GPU))
        assert found.roles[1].worker_groups == ("cpu",)
        assert len(found.roles) == 2

    def test_no_groups_at_all(self) -> None:
        assert proposed().roles[1] == RoleProposal(name="worker", base=CPU)


class TestRequirements:
    @pytest.mark.parametrize(
        ("files", "common"),
        [
            (("requirements.in", "requirements.txt"), ("requirements.in",)),
            (("requirements.txt",), ("requirements.txt",)),
            (("requirements/base.in", "requirements/dev.in"), ("requirements/base.in",)),
            (("requirements-dev.txt", "requirements_test.in", "requirements-docs.in"), ()),
        ],
    )
    def test_of_all_roles(self, files: tuple[str, ...], common: tuple[str, ...]) -> None:
        found = proposed(cluster(cpu=CPU), requirements=files)
        assert (found.requirements, found.remarks) == (common, ())

    @pytest.mark.parametrize(
        "file", ["requirements-worker.in", "requirements_worker.txt", "requirements/worker.in", "requirements-cpu.in"]
    )
    def test_of_a_role_or_its_group(self, file: str) -> None:
        found = proposed(cluster(cpu=CPU), requirements=(file,))
        assert (found.requirements, found.roles[1].requirements) == ((), (file,))

    def test_what_belongs_to_nobody_is_told(self) -> None:
        found = proposed(requirements=("requirements-gpu.in",))
        assert found.remarks == ("requirements-gpu.in is not used: no role is called 'gpu'",)

    def test_a_txt_beside_project_dependencies_is_compiled_from_them(self) -> None:
        found = proposed(requirements=("requirements.txt",), has_dependencies=True)
        assert (found.project, found.requirements) == (True, ())
        assert proposed(requirements=("requirements.in",), has_dependencies=True).requirements == ("requirements.in",)


class TestEnvironments:
    def test_by_directory_dev_first(self) -> None:
        found = proposed(
            *(cluster(f"k8s/overlays/{name}/ray.yaml") for name in ("production", "staging", "Dev")), cluster("a.yaml")
        )
        assert [each.name for each in found.environments] == ["dev", "staging", "production"]
        assert set(found.environments[0].manifests) == {"a.yaml", "k8s/overlays/Dev/*.yaml"}

    def test_a_directory_with_other_yaml_is_not_taken_whole(self) -> None:
        findings = Findings(
            name="app", clusters=(cluster(),), yaml_files=frozenset({"deploy/dev/ray.yaml", "deploy/dev/other.yaml"})
        )
        assert propose(findings).environments == (EnvironmentProposal(name="dev", manifests=("deploy/dev/ray.yaml",)),)

    def test_suffixes_are_kept_apart(self) -> None:
        found = proposed(cluster("deploy/dev/a.yaml"), cluster("deploy/dev/b.yml"))
        assert found.environments[0].manifests == ("deploy/dev/*.yaml", "deploy/dev/*.yml")

    def test_none(self) -> None:
        assert proposed().environments == ()


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)
images = st.none() | st.sampled_from([CPU, GPU, "example.com/team/app:v1"]) | texts


@given(
    name=texts,
    heads=st.lists(images, max_size=3),
    groups=st.dictionaries(texts, images, max_size=4),
    prefix=st.sampled_from(["", "[project]\nname = 'x'\n"]),
)
def test_whatever_is_found_makes_a_valid_configuration(
    tmp_path_factory: pytest.TempPathFactory, name: str, heads: list[str | None], groups: dict[str, Any], prefix: str
) -> None:
    root = tmp_path_factory.mktemp("project")
    if prefix:
        (root / "pyproject.toml").write_text(prefix)
    clusters = tuple(cluster(f"deploy/{n}/ray.yaml", head, **groups) for n, head in enumerate(heads))
    made = start(root, propose(Findings(name=name, clusters=clusters)))
    owned = {group for role in made.project.roles for group in role.worker_groups}
    assert owned == (set(groups) if clusters else set())
