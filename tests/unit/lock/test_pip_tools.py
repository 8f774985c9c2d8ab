from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from rayimage.errors import EngineError, LockError
from rayimage.lock import NoSolution, Options, Question
from rayimage.lock import pip_tools as module
from rayimage.lock.pip_places import HostPython, Place
from rayimage.lock.pip_tools import PipToolsEngine, parse_compiled
from rayimage.lock.target import Target
from rayimage.specs import Source
from tests.unit.lock.samples import AMD64, inventory
from tests.unit.lock.test_pip_explain import CONFLICT
from tests.unit.lock.test_pip_solution import item

TARGET = Target(python=Version("3.11.2"), platform=AMD64, glibc=Version("2.35"))
HOST = HostPython(
    implementation="CPython", python=Version("3.11.7"), system="Linux", machine="x86_64", glibc=Version("2.36")
)
BASE = inventory("click==8.1.7", "six==1.15.0", "idna==3.7", python="3.11.2")


def names(*pins):
    return {canonicalize_name(name): Version(version) for name, _, version in (pin.partition("==") for pin in pins)}


def value(arguments, option):
    return arguments[arguments.index(option) + 1]


class Pip:
    """Stands in for pip-compile and pip: ``answers`` takes the seeds of each run to what it pins or how it fails."""

    def __init__(self, *answers, report=(), python="3.11.7"):
        self.answers = list(answers)
        self.items = report
        self.python = Version(python)
        self.seeds = []
        self.texts = {}
        self.calls = []

    def run(self, arguments):
        self.calls.append(list(arguments))
        if "piptools" not in arguments:
            self.texts["files"] = Path(value(arguments, "--requirement")).read_text()
            Path(value(arguments, "--report")).write_text(json.dumps({"install": list(self.items)}))
            return subprocess.CompletedProcess(arguments, 0, "", "")
        output = Path(value(arguments, "--output-file"))
        self.seeds.append(output.read_text().split())
        self.texts.update(
            constraints=Path(value(arguments, "--constraint")).read_text(),
            base=next(Path(text).read_text() for text in arguments if text.endswith("base.in")),
            manylinux=Path(arguments[0]).with_name("_manylinux.py").read_text(),
        )
        answer = self.answers.pop(0)
        if isinstance(answer, str):
            log = value(arguments, "--pip-args").split()[-1]
            Path(log).write_text(answer)
            return subprocess.CompletedProcess(arguments, 1, "", "Traceback …\nX: y\n")
        output.write_text("".join(f"{line}\n" for line in answer))
        return subprocess.CompletedProcess(arguments, 0, "", "")

    def place(self, *_):
        return Place(python=self.python, run=self.run)


@pytest.fixture
def solve(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "index_settings", lambda _: {"PIP_EXTRA_INDEX_URL": "https://mine.example.com"})

    def call(pip, *requirements, host=HOST, inside=None, run_in_base=None, options=None, **changes):
        (tmp_path / "x.in").write_text("".join(f"{line}\n" for line in requirements))
        question = Question(
            subject="role worker on linux/amd64",
            target=TARGET,
            sources=(Source(kind="requirements", path=tmp_path / "x.in"),),
            ray=Version("2.55.1"),
            bases=(BASE,),
            preferences=names("click==8.1.7", "six==1.15.0", "idna==3.7", "ray==2.55.1"),
        )
        monkeypatch.setattr(module, "on_host", pip.place)
        monkeypatch.setattr(module, "in_base", (inside or pip).place)
        options = replace(options or Options(directory=tmp_path), run_in_base=run_in_base)
        return PipToolsEngine(options, host).solve(replace(question, **changes))

    return call


def test_everything_is_in_the_base(solve):
    pip = Pip(["click==8.1.7", "ray==2.55.1"])
    found = solve(pip, "click", constraints=names("conda==24.1"), required=names("six==1.15.0"))
    assert [(package.name, str(package.version), package.wheels) for package in found] == [
        ("click", "8.1.7", ()),
        ("ray", "2.55.1", ()),
    ]
    assert found[1].requires == ("click>=7.0",)
    assert len(pip.calls) == 1
    assert pip.seeds == [["click==8.1.7", "idna==3.7", "ray==2.55.1", "six==1.15.0"]]
    assert pip.texts["base"] == "ray==2.55.1\nsix==1.15.0\n"
    assert pip.texts["constraints"] == "conda==24.1\n"
    assert "<= (2, 35)" in pip.texts["manylinux"]


def test_what_pip_compile_is_told(solve, tmp_path):
    (tmp_path / "wheels").mkdir()
    pip = Pip(["click==8.1.7"])
    options = Options(directory=tmp_path, cache_dir=tmp_path / "cache", find_links=(str(tmp_path / "wheels"),))
    solve(pip, "click", options=options)
    (arguments,) = pip.calls
    text = " ".join(arguments)
    for option in ("--no-config", "--strip-extras", "--allow-unsafe", "--only-binary=:all:", "--no-input"):
        assert option in text
    assert value(arguments, "--cache-dir") == str(tmp_path / "cache" / "foreign" / "pip")
    links = [arguments[n + 1] for n, argument in enumerate(arguments) if argument == "--find-links"]
    assert links[1:] == [str(tmp_path / "wheels")]
    stubs = sorted(path.name for path in Path(links[0]).iterdir())
    assert stubs[0] == "click-8.1.7-cp311-cp311-manylinux_2_35_x86_64.whl", "the best tag there is in the base"
    assert arguments[-1] == str(tmp_path / "x.in")
    assert "--generate-hashes" not in arguments


def test_new_packages_are_the_newest_and_then_the_base_is_held(solve):
    pip = Pip(
        ["new==1", "six==1.15.0"],  # as pip would have it: an old version that gets on with the base
        ["new==2", "six==1.17", "idna==3.11"],
        ["new==2", "six==1.17", "idna==3.7"],
        report=[
            item("https://files.example.com/new-2-py3-none-any.whl", name="new", version="2", requires=["six>1.16"]),
            item("https://files.example.com/six-1.17-py3-none-any.whl", name="six", version="1.17"),
        ],
    )
    found = solve(pip, "idna", "new")
    assert pip.seeds[1] == ["idna==3.7"], "what the project names is held, too"
    assert pip.seeds[2] == ["click==8.1.7", "idna==3.7", "new==2", "ray==2.55.1", "six==1.15.0"]
    assert [(package.name, str(package.version), bool(package.wheels)) for package in found] == [
        ("idna", "3.7", False),
        ("new", "2", True),
        ("six", "1.17", True),
    ]
    assert pip.texts["files"].split() == ["new==2", "six==1.17"]


def test_versions_of_a_former_lock_are_held_from_the_start(solve):
    pip = Pip(["new==1", "six==1.16"], report=[item("file:///w/new-1-py3-none-any.whl", name="new", version="1")])
    solve(pip, "new", preferences=names("click==8.1.7", "six==1.16", "new==1"))
    assert len(pip.seeds) == 1
    pip = Pip(["new==1", "more==2"], ["new==1", "more==2"], ["new==1", "more==2"])
    solve(pip, "new", "more", preferences=names("click==8.1.7", "six==1.16", "new==1"))
    assert pip.seeds[1] == ["new==1", "six==1.16"]


def test_preferences_that_contradict_each_other_give_way(solve):
    conflict = CONFLICT.replace("ray 2.55.1 depends on click>=7.0", "six 1.15.0 depends on new<2")
    pip = Pip(
        conflict,
        ["new==2", "six==1.17", "idna==3.11"],
        conflict,
        ["new==2", "six==1.17", "idna==3.7"],
        report=[item("file:///w/new-2-py3-none-any.whl", name="new", version="2")],
    )
    solve(pip, "new")
    assert "six==1.15.0" in pip.seeds[2]
    assert pip.seeds[3] == ["click==8.1.7", "idna==3.7", "new==2", "ray==2.55.1", "six==1.17"]


def test_where_pip_does_not_say_which_the_solution_without_them_is_taken(solve):
    unclear = CONFLICT.replace("ray 2.55.1", "somebody 1.0")
    newest = ["new==2", "six==1.17"]
    pip = Pip(unclear, newest, unclear, newest)
    solve(pip, "new")
    assert pip.seeds[3] == ["new==2", "six==1.17"]


def test_no_solution(solve):
    pip = Pip(CONFLICT, CONFLICT)
    with pytest.raises(NoSolution, match=r"you require click<7, and ray 2.55.1 depends on click>=7.0"):
        solve(pip, "click<7", preferences=names("idna==3.7"))
    assert pip.seeds[-1] == [], "said only when nothing was preferred"


def test_stubs_and_their_directory_stay_out_of_the_second_question(solve):
    pip = Pip(*[["--index-url https://u:secret@example.com/simple", "--find-links /wheels", "new==1"]] * 3)
    real = pip.run

    def run(arguments):
        done = real(arguments)
        if "piptools" in arguments:
            output = Path(value(arguments, "--output-file"))
            output.write_text(f"--find-links {value(arguments, '--find-links')}\n{output.read_text()}")
        return done

    pip.run = run
    solve(pip, "new")
    assert pip.texts["files"].splitlines() == [
        "--index-url https://u:secret@example.com/simple",
        "--find-links /wheels",
        "new==1",
    ]


def test_a_solution_for_another_patch_version_is_found_in_the_base(solve):
    picky = [
        item(
            "file:///w/new-1-py3-none-any.whl", name="new", version="1", requires=["x; python_full_version < '3.11.3'"]
        )
    ]
    answers = [["new==1"]] * 3
    with pytest.raises(LockError) as caught:
        solve(Pip(*answers, report=picky), "new")
    assert 'new 1 requires x; python_full_version < "3.11.3"' in caught.value.why
    assert "another matter for Python 3.11.2, the base's, than for 3.11.7 here" in caught.value.why
    inside = Pip(*answers, report=picky, python="3.11.2")
    assert solve(Pip(*answers, report=picky), "new", inside=inside, run_in_base=lambda _: None)[0].requires == ("x",)
    assert inside.calls


def test_a_machine_unlike_the_base(solve, tmp_path):
    host = replace(HOST, python=Version("3.13.1"))
    pip = Pip(["click==8.1.7"])
    with pytest.raises(LockError, match="pip-tools cannot lock role worker on linux/amd64 here") as caught:
        solve(pip, "click", host=host)
    assert caught.value.why == "rayimage runs in Python 3.13 here, the base has 3.11"
    assert "start a Docker Engine that runs linux/amd64" in caught.value.fix
    assert "--engine uv" in caught.value.fix
    assert not pip.calls
    assert solve(pip, "click", host=host, run_in_base=lambda _: None)


def test_an_engine_that_is_not_there(solve):
    pip = Pip()
    inside = Pip()

    def run(arguments):
        raise EngineError("no Docker Engine answers", why="refused")

    inside.run = run
    with pytest.raises(LockError) as caught:
        solve(pip, "click", host=replace(HOST, glibc=None), inside=inside, run_in_base=lambda _: None)
    assert caught.value.why == (
        "this machine has no glibc, the base glibc 2.35: wheels that run there would not be seen; "
        "and the base cannot be run: no Docker Engine answers: refused"
    )


def test_a_package_from_one_index_alone(solve):
    with pytest.raises(LockError, match="torch must come from one index alone") as caught:
        solve(Pip(), "torch", indexes={canonicalize_name("torch"): "https://example.com/cu128"})
    assert "--engine uv" in caught.value.fix


def test_nothing_is_left_behind(solve, tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    solve(Pip(["click==8.1.7"]), "click")
    assert list(scratch.iterdir()) == []


def test_output_is_read():
    compiled = parse_compiled(
        "--index-url https://example.com/simple\n--only-binary :all:\n\nclick==8.1.7\n"
        'own @ file:///w/own-1-py3-none-any.whl\nsix==1.16.0 ; python_version > "3"  # why\n'
    )
    assert compiled.options == ("--index-url https://example.com/simple", "--only-binary :all:")
    assert compiled.pins == names("click==8.1.7", "six==1.16.0")
    assert [requirement.name for requirement in compiled.requirements] == ["click", "own", "six"]
