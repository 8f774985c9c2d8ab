"""``lock``, ``plan`` and ``build`` as people read them: what they say, and what they leave alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.project import YAML, Project
from tests.support.wheelmaker import make_wheel


def append(project: Project, file: str, text: str) -> None:
    path = project.root / file
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines()]


class TestLock:
    def test_the_first_time(self, project: Project) -> None:
        ran = project.run("lock")
        assert ran.code == 0, ran.err
        [heading, head, worker, *rest] = lines(ran.out)
        assert heading.split() == ["role", "platform", "from", "the", "base", "added", "moved"]
        assert head.split()[:2] == ["head", "linux/amd64"]
        assert (head.split()[-2:], worker.split()[-2:]) == (["1", "1"], ["2", "1"])
        assert rest[0].startswith("moved: old 1.0 → 2.0 (head, worker)")
        assert rest[1:] == ["new in head, worker: common 1.0", "new in worker: extra 1.0"]
        assert "wrote lockfiles/pylock.head-amd64.toml" in lines(ran.err)
        assert "next: commit the locks, then `rayimage build`" in lines(ran.err)
        assert not any(line.endswith(" ") for line in ran.out.splitlines())

    def test_again(self, project: Project) -> None:
        project.run("lock")
        ran = project.run("lock")
        assert "nothing changed" in ran.err
        assert "next:" not in ran.err
        assert "new:" not in ran.out

    def test_what_changed_since(self, project: Project) -> None:
        project.run("lock")
        make_wheel(project.root.parent / "wheels", {"common/__init__.py": b"1.1"}, "common", "1.1")
        (project.root / "requirements-worker.in").write_text("")
        ran = project.run("lock", "--upgrade-package", "common")
        assert "changed: common 1.0 → 1.1 (head, worker)" in lines(ran.out)
        assert "gone: extra 1.0 (worker)" in lines(ran.out)

    def test_an_upgrade_of_something_unknown_is_told(self, project: Project) -> None:
        ran = project.run("lock", "--upgrade-package", "Comon")
        assert ran.code == 0
        assert "! --upgrade-package Comon: no role has a package of that name" in lines(ran.err)
        assert "! --upgrade" not in project.run("lock", "--upgrade-package", "Common").err

    @pytest.mark.parametrize("other", [["--upgrade"], ["--upgrade-package", "common"], ["--export", "requirements"]])
    def test_a_check_writes_nothing(self, project: Project, other: list[str]) -> None:
        ran = project.run("lock", "--check", *other)
        assert ran.code == 2
        assert "--check writes nothing" in ran.err

    def test_export_names_its_files(self, project: Project) -> None:
        ran = project.run("lock", "--export", "requirements")
        assert "wrote lockfiles/requirements.worker-amd64.txt" in lines(ran.err)


class TestLockCheck:
    def refused(self, project: Project, *reasons: str) -> None:
        before = {file: file.read_bytes() for file in project.root.rglob("*") if file.is_file()}
        ran = project.run("lock", "--check")
        assert ran.code == 12, ran.err
        assert "error: the locks do not fit the project" in ran.err
        assert "rayimage lock" in ran.err
        for reason in reasons:
            assert reason in ran.err
        assert before == {file: file.read_bytes() for file in project.root.rglob("*") if file.is_file()}

    def test_fresh(self, project: Project) -> None:
        project.run("lock")
        ran = project.run("lock", "--check")
        assert ran.code == 0
        assert "the locks fit the project" in ran.err

    def test_nothing_locked(self, project: Project) -> None:
        self.refused(project, "pylock.head-amd64.toml is missing", "pylock.worker-amd64.toml is missing")

    def test_one_missing(self, project: Project) -> None:
        project.run("lock")
        (project.root / "lockfiles/pylock.worker-amd64.toml").unlink()
        self.refused(project, "pylock.worker-amd64.toml is missing")

    def test_stale(self, project: Project) -> None:
        project.run("lock")
        append(project, "requirements-worker.in", "common\n")
        self.refused(project, "pylock.worker-amd64.toml is stale", "requirements-worker.in")

    def test_damaged(self, project: Project) -> None:
        project.run("lock")
        append(project, "lockfiles/pylock.head-amd64.toml", "nonsense")
        self.refused(project, "pylock.head-amd64.toml cannot be used")

    def test_a_build_refuses_the_same_as_an_error_of_the_lock(self, project: Project) -> None:
        project.run("lock")
        append(project, "requirements.in", "extra\n")
        for command in ("build", "plan"):
            ran = project.run(command)
            assert ran.code == 5
            assert "is stale" in ran.err


class TestPlan:
    def test_before_and_after_a_build(self, project: Project) -> None:
        ran = project.run("plan")
        assert ran.code == 0, ran.err
        assert ran.out.startswith("head linux/amd64 on base:2.55.1 (")
        assert "layers to build\n" in ran.out
        assert "next: `rayimage build`" in ran.err
        project.run("build", "--output", "oci:out")
        assert "every layer is built already" in project.run("plan").out

    def test_a_layer_of_both_images_is_one_row(self, project: Project) -> None:
        rows = project.run("plan").out.splitlines()
        assert len([row for row in rows if row.startswith("code")]) == 1
        assert [row.split("  ")[-2].strip() for row in rows if row.startswith("code")] == ["head, worker"]

    @pytest.mark.parametrize("command", [("plan",), ("build", "--dry-run")])
    def test_writes_nothing(self, project: Project, command: tuple[str, ...]) -> None:
        before = {file for file in project.root.rglob("*") if file.is_file()}
        ran = project.run(*command)
        assert ran.code == 0, ran.err
        assert "no lock yet: resolving for this plan only" in ran.err
        assert before == {file for file in project.root.rglob("*") if file.is_file()}


class TestBuild:
    def test_the_first_time(self, pushed: Project) -> None:
        ran = pushed.run("build", "--tag", "v1")
        assert ran.code == 0, ran.err
        assert "no lock yet: locking now" in ran.err
        assert "moved: old 1.0 → 2.0 (head, worker)" in ran.err
        assert "deploy/ray.yaml: updated" in ran.err
        assert "next: commit or apply deploy/ray.yaml" in ran.err
        references = ran.out.splitlines()
        assert [reference.split("@")[0].rpartition(":")[2] for reference in references] == ["v1-head", "v1-worker"]

    def test_nothing_to_do_is_one_line(self, pushed: Project) -> None:
        pushed.run("build")
        ran = pushed.run("build")
        assert ran.code == 0
        said = [line for line in lines(ran.err) if not line.startswith("✓")]
        assert len(said) == 2
        assert "everything is there already, in " in said[0]
        assert said[1] == "deploy/ray.yaml: up to date"

    def test_what_did_not_change_is_a_number(self, pushed: Project) -> None:
        pushed.run("build")
        append(pushed, "app/main.py", "# changed\n")
        ran = pushed.run("build")
        rows = [line for line in lines(ran.err) if line.endswith("uploaded")]
        assert [row.split()[0] for row in rows] == ["code"]
        assert "and 5 layers unchanged, " in ran.err

    def test_all_layers_for_those_who_ask(self, pushed: Project) -> None:
        pushed.run("build")
        ran = pushed.run("build", "-v")
        kinds = [line.split()[0] for line in lines(ran.err) if line.endswith("already there")]
        assert kinds[0] == "base"
        assert {"removal", "wheels", "code"} <= set(kinds)
        assert "common 1.0: exists" in ran.err  # uploads are called by what they hold

    def test_quiet(self, pushed: Project) -> None:
        ran = pushed.run("-q", "build", "--tag", "v1")
        assert ran.err == ""
        assert len(ran.out.splitlines()) == 2

    def test_a_layout_is_named_as_inspect_takes_it(self, project: Project) -> None:
        ran = project.run("build", "--output", "oci:out", "--tag", "v1")
        assert ran.code == 0, ran.err
        assert ran.out.splitlines() == [f"oci:{project.root}/out:v1-head", f"oci:{project.root}/out:v1-worker"]
        found = json.loads(project.run("inspect", "--json", ran.out.splitlines()[1]).out)
        assert found["role"] == "worker"
        assert project.yaml == YAML

    def test_no_emit(self, pushed: Project) -> None:
        ran = pushed.run("build", "--no-emit")
        assert ran.code == 0
        assert pushed.yaml == YAML
        assert "next:" not in ran.err

    def test_an_impossible_tag_is_known_before_the_work(self, project: Project) -> None:
        ran = project.run("build", "--tag", "not a tag")
        assert ran.code == 2
        assert "✓" not in ran.err

    @pytest.mark.parametrize("output", ["foo", "oci:", "dir:x"])
    def test_an_unknown_output(self, project: Project, output: str) -> None:
        ran = project.run("build", "--output", output)
        assert ran.code == 2
        assert "oci:DIR" in ran.err

    def test_an_unknown_environment(self, project: Project) -> None:
        ran = project.run("build", "--env", "devv")
        assert ran.code == 3
        assert "did you mean 'dev'?" in ran.err

    def test_a_metadata_file_that_cannot_be_written(self, project: Project) -> None:
        ran = project.run("build", "--output", "oci:out", "--metadata-file", "rayimage.toml/x.json")
        assert ran.code == 2
        assert "--metadata-file rayimage.toml/x.json cannot be written" in ran.err

    def test_the_diff_comes_after_the_references(self, pushed: Project) -> None:
        ran = pushed.run("build", "--diff")
        assert ran.out.splitlines()[2] == "--- a/deploy/ray.yaml"

    def test_json_has_the_changed_files(self, pushed: Project) -> None:
        data = json.loads(pushed.run("build", "--json").out)
        assert [Path(file).name for file in data["files"]] == ["ray.yaml"]
        assert json.loads(pushed.run("build", "--json").out)["files"] == []
