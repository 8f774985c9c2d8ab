from __future__ import annotations

from pathlib import Path

import pytest

from rayimage.config import load_project
from rayimage.errors import ConfigError
from rayimage.model.layering import Layering
from rayimage.model.platform import Platform

BASE = "rayproject/ray:2.55.1-py311"
HEAD = f'[images.head]\nbase = "{BASE}"\n'
AMD64, ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64")

FULL = """\
[project]
name = "fraud"
[project.optional-dependencies]
gpu = ["torch"]
[dependency-groups]
serve = ["fastapi"]
train = ["xgboost"]

[tool.rayimage]
repository = "registry.example.com/team/fraud"
platforms = ["linux/amd64", "linux/arm64"]
requirements = ["requirements.in"]
dependency-groups = ["serve"]
code = "copy"
workdir = "/home/ray/app/"
env = { A = "1", B = "2" }
labels = { "org.example.team" = "fraud" }
exclude = ["*.csv"]

[tool.rayimage.images.head]
base = "rayproject/ray:2.55.1-py311"

[tool.rayimage.images.worker]
base = "oci:layouts/ray:gpu"
platforms = ["linux/amd64"]
requirements = ["requirements-gpu.in"]
project = true
extras = ["GPU"]
dependency-groups = ["train"]
code = "wheel"
workdir = "/srv/app"
env = { B = "3" }
worker-groups = ["gpu-group"]
exclude = ["notebooks/"]

[tool.rayimage.environments.dev]
manifests = ["deploy/dev/raycluster.yaml"]

[tool.rayimage.environments.prod]
repository = "registry.example.com/prod/fraud"
manifests = ["deploy/prod/*.yaml"]
require = ["signature", "sbom", "promoted-from:dev"]
"""


@pytest.fixture
def full(tmp_path: Path) -> Path:
    for name in ("requirements.in", "requirements-gpu.in"):
        (tmp_path / name).touch()
    (tmp_path / "pyproject.toml").write_text(FULL)
    return tmp_path


def problems(tmp_path: Path, text: str) -> tuple[str, ...]:
    (tmp_path / "rayimage.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_project(tmp_path)
    return caught.value.problems


def problem(tmp_path: Path, text: str) -> str:
    [found] = problems(tmp_path, text)
    return found


# Good configurations


def test_a_full_configuration(full):
    project = load_project(full)
    assert (project.root, project.source) == (full, full / "pyproject.toml")
    assert project.repository == "registry.example.com/team/fraud"
    assert project.platforms == (AMD64, ARM64)
    assert project.lockfiles == full / "lockfiles"
    assert project.default_environment == "dev"
    assert list(project.environments) == ["dev", "prod"]
    prod = project.environments["prod"]
    assert (prod.name, prod.repository) == ("prod", "registry.example.com/prod/fraud")
    assert prod.require == ("signature", "sbom", "promoted-from:dev")


def test_a_role_inherits_the_common_keys(full):
    head = load_project(full).role("head")
    assert (head.base, head.platforms, head.code, head.workdir) == (BASE, (AMD64, ARM64), "copy", "/home/ray/app")
    assert head.requirements == (full / "requirements.in",)
    assert (head.project, head.extras, head.dependency_groups) == (False, (), ("serve",))
    assert (head.env, head.labels) == ({"A": "1", "B": "2"}, {"org.example.team": "fraud"})
    assert (head.worker_groups, head.exclude) == ((), ("*.csv",))


def test_a_role_adds_and_overrides(full):
    worker = load_project(full).role("worker")
    assert (worker.base, worker.platforms, worker.code) == ("oci:layouts/ray:gpu", (AMD64,), "wheel")
    assert worker.workdir == "/srv/app"
    assert worker.requirements == (full / "requirements.in", full / "requirements-gpu.in")
    assert (worker.project, worker.extras, worker.dependency_groups) == (True, ("GPU",), ("serve", "train"))
    assert worker.env == {"A": "1", "B": "3"}
    assert (worker.worker_groups, worker.exclude) == (("gpu-group",), ("*.csv", "notebooks/"))


def test_rules_of_the_lock(tmp_path):
    (tmp_path / "rayimage.toml").write_text(
        f"""base = "{BASE}"
base-packages = "pin"
allow-skew = ["Torch", "flash_attn"]
cache-from = ["registry.example.com/team/app:main"]
cache-trust = "pinned"
index = {{ torch = "https://index.example.com/cpu", Torch_Vision = "https://index.example.com/cpu" }}
[images.head]
[images.worker]
index = {{ torch = "https://index.example.com/cu128" }}
"""
    )
    project = load_project(tmp_path)
    assert (project.base_packages, project.allow_skew) == ("pin", ("torch", "flash-attn"))
    assert (project.cache_from, project.cache_trust) == (("registry.example.com/team/app:main",), "pinned")
    cpu, cuda = (f"https://index.example.com/{name}" for name in ("cpu", "cu128"))
    assert [role.index for role in project.roles] == [
        {"torch": cpu, "torch-vision": cpu},
        {"torch": cuda, "torch-vision": cpu},
    ]


def test_the_least_configuration(tmp_path):
    (tmp_path / "rayimage.toml").write_text(f'base = "{BASE}"\n[images.worker]\n[images.head]\n')
    project = load_project(tmp_path)
    assert [role.name for role in project.roles] == ["worker", "head"]
    assert [role.base for role in project.roles] == [BASE, BASE]
    assert (project.platforms, project.repository, project.default_environment) == ((AMD64,), None, None)
    assert project.environments == {}
    assert (project.roles[0].code, project.roles[0].workdir) == ("copy", "/home/ray/app")
    assert (project.base_packages, project.allow_skew, project.roles[0].index) == ("prefer", (), {})
    assert (project.cache_from, project.cache_trust) == ((), "repository")
    assert project.layering == Layering(max_layers=40, alone_from=8 << 20, bundles=None, compression="gzip")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("8MiB", 8 << 20),
        ("1.5 kB", 1500),
        ("0B", 0),
        ("2GB", 2 * 10**9),
        ("1kib", None),
        ("1e3kB", None),
        ("-1kB", None),
    ],
)
def test_layering(tmp_path, text, size):
    (tmp_path / "rayimage.toml").write_text(
        f'base = "{BASE}"\ncompression = "zstd"\nlayers = {{ max = 9, alone-from = "{text}", bundles = 9 }}\n[images.head]\n'
    )
    if size is None:
        with pytest.raises(ConfigError):
            load_project(tmp_path)
    else:
        found = load_project(tmp_path).layering
        assert found == Layering(max_layers=9, alone_from=size, bundles=9, compression="zstd")


def test_a_role_can_refuse_the_common_project(tmp_path):
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    (tmp_path / "rayimage.toml").write_text(
        f'project = true\nbase = "{BASE}"\n[images.head]\nproject = false\n[images.worker]\n'
    )
    assert [role.project for role in load_project(tmp_path).roles] == [False, True]


@pytest.mark.parametrize(
    "base",
    [f"registry.example.com:5000/ray@sha256:{'0' * 64}", "oci:/abs/layout", "oci:layout", "ray", "localhost/ray:1"],
)
def test_bases(tmp_path, base):
    (tmp_path / "rayimage.toml").write_text(f'[images.head]\nbase = "{base}"\n')
    assert load_project(tmp_path).role("head").base == base


# Finding it


def test_the_nearest_configuration_wins_and_other_projects_are_passed_by(tmp_path):
    inner = tmp_path / "services/a/src"
    inner.mkdir(parents=True)
    (tmp_path / "rayimage.toml").write_text(HEAD)
    (tmp_path / "services/a/pyproject.toml").write_text("[project]\nname = 'a'\n[tool.other]\n")
    assert load_project(inner).source == tmp_path / "rayimage.toml"
    (tmp_path / "services/pyproject.toml").write_text(HEAD.replace("[", "[tool.rayimage."))
    assert load_project(inner).root == tmp_path / "services"


def test_none_is_an_error_with_the_next_step(tmp_path):
    with pytest.raises(ConfigError, match="no configuration") as caught:
        load_project(tmp_path)
    assert "rayimage init" in caught.value.fix


def test_two_in_one_directory_are_refused(full):
    (full / "rayimage.toml").write_text(HEAD)
    with pytest.raises(ConfigError, match="two configurations"):
        load_project(full)


@pytest.mark.parametrize("name", ["rayimage.toml", "pyproject.toml"])
def test_broken_toml_has_file_and_line(tmp_path, name):
    (tmp_path / name).write_text("a = 1\nb = \n")
    with pytest.raises(ConfigError, match=rf"{name}:2: not valid TOML"):
        load_project(tmp_path)


def test_the_table_must_be_a_table(tmp_path):
    (tmp_path / "pyproject.toml").write_text("[tool]\nrayimage = 3")
    with pytest.raises(ConfigError, match=r"tool\.rayimage must be a table"):
        load_project(tmp_path)


# Faults


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("repositry = 'a/b'", "repositry: unknown key; did you mean 'repository'?"),
        ("worker_groups = []", "worker_groups: unknown key"),
        ("dependency_groups = []", "dependency_groups: unknown key; did you mean 'dependency-groups'?"),
        ("worker-groups = ['a']", "worker-groups: unknown key; it belongs to images.NAME"),
        ("manifests = ['a']", "manifests: unknown key; it belongs to environments.NAME"),
        ("zzz = 1", "zzz: unknown key"),
        ("tool.rayimage.code = 'copy'", "tool: unknown key; rayimage.toml holds the tables without [tool.rayimage]"),
        ("code = 'wheels'", "code: must be 'copy', 'wheel' or 'none', not 'wheels'; did you mean 'wheel'?"),
        ("base-packages = 'pinn'", "base-packages: must be 'prefer' or 'pin', not 'pinn'; did you mean 'pin'?"),
        ("cache-from = ['https://registry.example.com/a']", "cache-from[0]: must be written without a scheme"),
        ("cache-from = ['a:b:c']", "cache-from[0]: "),
        ("cache-from = 'a'", "cache-from: must be a list, not a string"),
        ("cache-from = ['example.com/a', 'example.com/a']", "cache-from: lists 'example.com/a' twice"),
        ("cache-trust = 'nobody'", "cache-trust: must be 'repository' or 'pinned', not 'nobody'"),
        ("allow-skew = 'torch'", "allow-skew: must be a list, not a string"),
        ("compression = 'zst'", "compression: must be 'gzip' or 'zstd', not 'zst'; did you mean 'zstd'?"),
        ("layers = 40", "layers: must be a table, not an integer"),
        ("layers = { maxx = 4 }", "layers.maxx: unknown key; did you mean 'max'?"),
        ("layers = { max = 0 }", "layers.max: must be from 1 to 100, not 0"),
        ("layers = { max = '40' }", "layers.max: must be a whole number, not a string"),
        ("layers = { max = true }", "layers.max: must be a whole number, not a boolean"),
        ("layers = { bundles = 101 }", "layers.bundles: must be from 1 to 100, not 101"),
        ("layers = { max = 4, bundles = 5 }", "layers: 5 bundles are more than the 4 layers that max allows"),
        (
            "layers = { alone-from = '8 megs' }",
            "layers.alone-from: must be a size such as '8MiB' or '500kB', not '8 megs'",
        ),
        ("layers = { alone-from = 8 }", "layers.alone-from: must be a string, not an integer"),
        ("max = 3", "max: unknown key; it belongs to layers"),
        ("allow-skew = ['torch>=2']", "allow-skew[0]: must be the name of a package alone, not 'torch>=2'"),
        ("allow-skew = ['torch', 'Torch']", "allow-skew: lists 'torch' twice"),
        ("index = 'https://index.example.com'", "index: must be a table, not a string"),
        ("index = { torch = 'u:secret@index.example.com' }", "index.torch: must be the URL of a package index"),
        ("index = { 'torch vision' = 'https://index.example.com' }", 'index."torch vision": must be the name of a'),
        ("code = 3", "code: must be 'copy', 'wheel' or 'none', not 3"),
        ("project = 'yes'", "project: must be true or false, not a string"),
        ("requirements = 'r.in'", "requirements: must be a list, not a string"),
        ("requirements = [1]", "requirements[0]: must be a string, not an integer"),
        ("requirements = ['no.in']", "requirements[0]: there is no file 'no.in' in "),
        ("requirements = ['']", "requirements[0]: must not be empty"),
        ("platforms = []", "platforms: must not be empty"),
        ("platforms = ['linux/amd64', 'linux/amd64']", "platforms: lists 'linux/amd64' twice"),
        ("platforms = ['linux/x86_64']", "platforms[0]: 'linux/x86_64' is not a platform; did you mean 'linux/amd64'?"),
        ("platforms = ['arm64']", "platforms[0]: 'arm64' is not a platform; did you mean 'linux/arm64'?"),
        ("platforms = ['windows/amd64']", "platforms[0]: must be linux/ARCHITECTURE"),
        ("platforms = ['linux']", "platforms[0]: must be linux/ARCHITECTURE"),
        ("platforms = ['linux/a b']", "platforms[0]: not a platform"),
        (
            "repository = 'r.example.com/a:1'",
            "repository: must name a repository without tag or digest: write 'r.example.com/a'",
        ),
        (f"repository = 'r.example.com/a@sha256:{'0' * 64}'", "repository: must name a repository without tag"),
        (
            "repository = 'r.example.com/Team/a'",
            "repository: not an image reference: 'r.example.com/Team/a': 'Team/a' is no",
        ),
        ("repository = 'https://u:secret@r.example.com/a'", "repository: must be written without a scheme"),
        ("workdir = 'app'", "workdir: must be an absolute path, not 'app'"),
        ("workdir = '/'", "workdir: must be a directory of its own such as /home/ray/app: / belongs"),
        ("workdir = '//home/x/..'", "workdir: must be a directory of its own such as /home/ray/app: /home belongs"),
        ("workdir = '/home/ray/'", "workdir: must be a directory of its own such as /home/ray/app: /home/ray belongs"),
        ("workdir = '/home/ray/anaconda3/lib'", "workdir: must not lie in the base image's Python environment"),
        ("env = { 1A = 'x' }", "env.1A: the name of a variable must be"),
        ("env = { 'A B' = 'x' }", 'env."A B": the name of a variable must be'),
        ("env = { A = 1 }", "env.A: must be a string, not an integer"),
        ("env = { A = 2026-01-01 }", "env.A: must be a string, not a date or time"),
        ('env = { A = "\\u0000" }', "env.A: must not contain a NUL character"),
        ("env = ['A=1']", "env: must be a table, not a list"),
        ("labels = { '' = 'x' }", 'labels."": must not be empty'),
        ("lockfiles = ''", "lockfiles: must not be empty"),
        ("extras = ['gpu']", "extras[0]: there is no pyproject.toml"),
        ("code = 'wheel'", "code: 'wheel' needs a pyproject.toml"),
        ("project = true", "project: true needs a pyproject.toml"),
        ("base = 'oci:'", "base: must have the path of an OCI layout"),
        ("base = 'docker://rayproject/ray'", "base: must be written without a scheme"),
        ("base = 'ray@sha256:12'", "base: not a digest: 'sha256:12'"),
    ],
)
def test_a_fault_at_the_top(tmp_path, line, found):
    reported = problem(tmp_path, f"{line}\n{HEAD}")
    assert reported.startswith(found)
    assert "secret" not in reported


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "images.head: is missing"),
        (
            "[images.haed]\nbase = 'r'",
            "images.head: is missing (there is haed); every cluster has a head",
        ),
        ("[images.head]", "images.head.base: is missing"),
        ("[images]\nhead = 'ray'", "images.head: must be a table, not a string"),
        ("images = 3", "images: must be a table, not an integer"),
        (HEAD + "[images.GPU]\nbase = 'r'", "images.GPU: a name must be lower-case"),
        (HEAD + "repository = 'a/b'", "images.head.repository: unknown key; it belongs to the top level"),
        (HEAD + "reqirements = ['a']", "images.head.reqirements: unknown key; did you mean 'requirements'?"),
        (HEAD + "compression = 'zstd'", "images.head.compression: unknown key; it belongs to the top level"),
        (HEAD + "base-packages = 'pin'", "images.head.base-packages: unknown key; it belongs to the top level"),
        (HEAD + "worker-groups = []", "images.head.worker-groups: must not be empty"),
        (HEAD + "requirements = ['no.in']", "images.head.requirements[0]: there is no file"),
        (
            HEAD + "[images.a]\nbase = 'r'\nworker-groups = ['x', 'g']\n[images.b]\nbase = 'r'\nworker-groups = ['g']",
            "images.b.worker-groups[0]: 'g' belongs to 'a' already",
        ),
        (
            HEAD + "[images.a]\nbase = 'r'\n[images.b]\nbase = 'r'",
            "images.b.worker-groups: is missing; 'a' already takes every group that no role names",
        ),
        (HEAD + "[environments.Prod]", "environments.Prod: a name must be lower-case"),
        (
            HEAD + "[environments.dev]\nmanifest = ['a']",
            "environments.dev.manifest: unknown key; did you mean 'manifests'?",
        ),
        (
            HEAD + "[environments.dev]\nrepository = 'a/b:1'",
            "environments.dev.repository: must name a repository without",
        ),
        (
            HEAD + "[environments.dev]\nrequire = ['sbom', 'signatur']",
            "environments.dev.require[1]: must be one of signature, sbom, provenance, promoted-from:ENVIRONMENT, not 'signatur'; did you mean 'signature'?",
        ),
        (HEAD + "[environments.dev]\nrequire = ['promoted-from:']", "environments.dev.require[0]: must be one of"),
        (
            HEAD + "[environments.stage]\n[environments.prod]\nrequire = ['promoted-from:stag']",
            "environments.prod.require[0]: there is no environment 'stag'; did you mean 'stage'?",
        ),
        (
            HEAD + "[environments.prod]\nrequire = ['promoted-from:prod']",
            "environments.prod.require[0]: an environment cannot be promoted from itself",
        ),
        (HEAD + "system-packages = ['libgl1-']", "images.head.system-packages[0]: 'libgl1-' is no name of a package"),
        (HEAD + "build-packages = ['gcc; rm']", "images.head.build-packages[0]: 'gcc; rm' is no name of a package"),
        (
            HEAD + "[images.head.system]\nsnapshot = 'yesterday'",
            "images.head.system.snapshot: must be a time in UTC as in '20260101T000000Z', not 'yesterday'",
        ),
        (
            HEAD + "[images.head.system]\nrepositories = ['http://example.com']",
            "images.head.system.repositories[0]: must be a line as in sources.list",
        ),
        (
            HEAD + "[images.head.system]\nrepositories = ['deb https://me:pw@example.com x y']",
            "images.head.system.repositories[0]: must not have a password in its URL",
        ),
        (HEAD + "[images.head.system]\nkeys = ['no.asc']", "images.head.system.keys[0]: there is no file"),
        (HEAD + "[images.head.system]\nkey = []", "images.head.system.key: unknown key; did you mean 'keys'?"),
        (HEAD + "[[images.head.run]]\ninputs = []", "images.head.run[0].shell: "),
        (
            HEAD + "[[images.head.run]]\nshell = 'x'\ninput = []",
            "images.head.run[0].input: unknown key; did you mean 'inputs'?",
        ),
        (HEAD + "[[images.head.run]]\nshell = 'x'\ninputs = ['gone']", "images.head.run[0].inputs[0]: there is no"),
        (HEAD + "[[images.head.run]]\nshell = 'x'\ninputs = ['..']", "images.head.run[0].inputs[0]: '..' lies outside"),
        (
            HEAD + "[[images.head.run]]\nshell = 'x'\nsecrets = { token = 'hunter2' }",
            "images.head.run[0].secrets.token: must be 'env:VARIABLE' or 'file:PATH'",
        ),
        (
            HEAD + "[[images.head.run]]\nshell = 'x'\nuser = 'ray'",
            "images.head.run[0].user: must be 'image' or 'root', not 'ray'",
        ),
        (HEAD + "environments = 3", "images.head.environments: unknown key; it belongs to the top level"),
    ],
)
def test_a_fault_in_a_table(tmp_path, text, found):
    assert problem(tmp_path, text).startswith(found)


def test_extras_and_groups_are_those_of_pyproject(full):
    text = FULL.replace('extras = ["GPU"]', 'extras = ["gpuu"]').replace('["serve"]\ncode', '["server", "SERVE"]\ncode')
    (full / "pyproject.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_project(full)
    assert caught.value.problems == (
        "dependency-groups[0]: pyproject.toml has no dependency group 'server'; did you mean 'serve'?",
        "images.worker.extras[0]: pyproject.toml has no extra 'gpuu'; did you mean 'gpu'?",
    )


@pytest.mark.parametrize(("text", "ok"), [("[build-system]", True), ("[project]", True), ("[tool.other]", False)])
def test_a_wheel_needs_something_to_build(tmp_path, text, ok):
    (tmp_path / "pyproject.toml").write_text(text)
    (tmp_path / "rayimage.toml").write_text(f"code = 'wheel'\n{HEAD}")
    if ok:
        assert load_project(tmp_path).role("head").code == "wheel"
    else:
        with pytest.raises(ConfigError):
            load_project(tmp_path)


def test_all_faults_at_once_from_every_table(tmp_path):
    found = problems(
        tmp_path,
        """\
repositry = "x"
platforms = ["linux/sparc 64", "amd64"]
workdir = "/home/ray"
[images.head]
base = "UPPER/case"
env = { "no-dash" = "x", B = 2 }
[images.gpu]
worker-groups = ["g"]
[images.tpu]
base = "r"
worker-groups = ["g"]
[environments.prod]
require = ["promoted-from:dev"]
""",
    )
    assert sorted(line.partition(": ")[0] for line in found) == [
        "environments.prod.require[0]",
        "images.gpu.base",
        "images.head.base",
        "images.head.env.B",
        "images.head.env.no-dash",
        "images.tpu.worker-groups[0]",
        "platforms[0]",
        "platforms[1]",
        "repositry",
        "workdir",
    ]


def test_the_message_names_the_file_and_counts(tmp_path):
    (tmp_path / "pyproject.toml").write_text("[tool.rayimage]\nrepositry = 'x'")
    with pytest.raises(ConfigError, match=r"pyproject\.toml: 2 problems in \[tool\.rayimage\]"):
        load_project(tmp_path)


def test_what_is_done_to_bases(tmp_path):
    (tmp_path / "setup.sh").write_text("")
    (tmp_path / "key.asc").write_text("key")
    (tmp_path / "rayimage.toml").write_text(
        """\
system-packages = ["libgl1"]
build-packages = ["gcc"]
[system]
snapshot = "20260101T000000Z"
keys = ["key.asc"]
[[run]]
shell = "echo common"
"""
        + HEAD
        + """\
system-packages = ["ffmpeg=7:5*", "libgl1"]
[[images.head.run]]
shell = \"\"\"
  sh setup.sh
\"\"\"
inputs = ["./setup.sh"]
user = "root"
secrets = { token = "env:TOKEN", netrc = "file:private/netrc" }
[images.worker]
base = "r"
system = { repositories = ["deb http://example.com/apt stable main"] }
"""
    )
    project = load_project(tmp_path)
    head, worker = project.role("head"), project.role("worker")
    assert head.system_packages == ("libgl1", "ffmpeg=7:5*")
    assert (head.build_packages, worker.build_packages) == (("gcc",), ("gcc",))
    assert (head.system.snapshot, head.system.keys) == ("20260101T000000Z", (b"key",))
    assert (worker.system.snapshot, worker.system.repositories) == ("", ("deb http://example.com/apt stable main",))
    common, own = head.run
    assert (common.script, common.user, worker.run) == ("echo common", "", (common,))
    assert (own.script, own.inputs, own.user, own.root) == ("sh setup.sh", ("setup.sh",), "root", tmp_path)
    assert [(secret.name, secret.variable, secret.file) for secret in own.secrets] == [
        ("netrc", "", tmp_path / "private/netrc"),
        ("token", "TOKEN", None),
    ]
