from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rayimage.cli.main import COMMANDS
from rayimage.errors import ConfigError, RegistryError
from tests.support.project import Ran

Run = Callable[..., Ran]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(run: Run, name: str) -> None:
    ran = run(name, "--help")
    assert ran.code == 0
    assert "Examples:" in ran.out
    assert f"$ rayimage {name}" in ran.out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_and_every_one_of_its_values_is_explained(name: str) -> None:
    command = importlib.import_module(f"rayimage.cli.{name}").command
    for parameter in command.params:
        if parameter.param_type_name == "option" and not parameter.hidden:
            assert parameter.help, parameter.name
            assert parameter.help[0].isupper() or parameter.help.startswith("oci:")
            assert parameter.help.endswith(".")


def test_no_command_at_all_shows_the_help(run: Run) -> None:
    ran = run()
    assert ran.code == 2
    assert "Commands:" in ran.err


def test_a_mistyped_command_is_recognised(run: Run) -> None:
    ran = run("inspct")
    assert ran.code == 2
    assert "Did you mean 'inspect'?" in ran.err
    assert "next: see rayimage --help" in ran.err


def test_an_unknown_option_names_the_help_of_its_command(run: Run) -> None:
    ran = run("plan", "--nope")
    assert ran.code == 2
    assert "error: No such option" in ran.err
    assert "next: see rayimage plan --help" in ran.err


class TestGlobalOptions:
    @pytest.mark.parametrize("place", ["before", "after"])
    def test_directory(self, run: Run, tmp_path: Path, place: str) -> None:
        (tmp_path / "there").mkdir()
        where = ("-C", "there")
        ran = run(*where, "init", "--dry-run") if place == "before" else run("init", "--dry-run", *where)
        assert ran.code == 0
        assert "team/there" in ran.out
        assert Path.cwd() == tmp_path

    @pytest.mark.parametrize("arguments", [("--json", "init", "--dry-run"), ("init", "--dry-run", "--json")])
    def test_json(self, run: Run, arguments: tuple[str, ...]) -> None:
        assert json.loads(run(*arguments).out)["written"] is False

    @pytest.mark.parametrize("arguments", [("-q", "init"), ("init", "-q")])
    def test_quiet(self, run: Run, arguments: tuple[str, ...]) -> None:
        ran = run(*arguments)
        assert (ran.code, ran.out, ran.err) == (0, "", "")

    def test_they_are_not_repeated_in_the_help_of_commands(self, run: Run) -> None:
        assert "--json " not in run("lock", "--help").out
        assert "--json " in run("--help").out

    @pytest.mark.parametrize(
        ("color", "environment", "coloured"),
        [
            ("auto", {}, False),
            ("auto", {"FORCE_COLOR": "1"}, True),
            ("auto", {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
            ("never", {"FORCE_COLOR": "1"}, False),
            ("always", {"NO_COLOR": "1"}, True),
        ],
    )
    def test_colours_of_an_error(
        self, run: Run, monkeypatch: pytest.MonkeyPatch, color: str, environment: dict[str, str], coloured: bool
    ) -> None:
        monkeypatch.delenv("NO_COLOR")
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        assert ("\x1b[31m" in run("--color", color, "plan").err) is coloured


class TestErrorsAsJson:
    @pytest.mark.parametrize(
        ("arguments", "name", "code"),
        [
            (("plan",), "ConfigError", 3),
            (("emit", "x.yaml"), "UsageError", 2),
            (("nope",), "UsageError", 2),
            (("plan", "--nope"), "UsageError", 2),
            (("emit", "--image", "head=a:1", "x.yaml"), "KubeRayError", 9),
            (("inspect", "oci:nowhere"), "BaseImageError", 4),
        ],
    )
    def test_stdout_is_one_document(self, run: Run, arguments: tuple[str, ...], name: str, code: int) -> None:
        for ran in (run("--json", *arguments), run(*arguments, "--json")):
            assert ran.code == code
            error = json.loads(ran.out)["error"]
            assert (error["class"], error["code"]) == (name, code)
            assert error["what"] in ran.err
            assert set(error) == {"class", "code", "what", "why", "fix", "problems"}

    def test_all_problems_of_a_configuration_are_in_it(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "rayimage.toml").write_text("bse = 1\nworkdr = 2\n")
        error = json.loads(run("--json", "plan").out)["error"]
        assert len(error["problems"]) == 3  # and images.head is missing

    def test_no_document_without_json(self, run: Run) -> None:
        assert run("plan").out == ""


class TestFailures:
    def crash(self, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
        def fail(*_: object, **__: object) -> None:
            raise error

        monkeypatch.setattr("rayimage.config.load_project", fail)

    def test_a_traceback_only_for_bugs(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        self.crash(monkeypatch, ZeroDivisionError("boom"))
        ran = run("plan")
        assert ran.code == 1
        assert "Traceback" in ran.err
        assert "error: rayimage has a bug" in ran.err

    @pytest.mark.parametrize(
        ("arguments", "shown"), [(("plan",), False), (("plan", "-v"), True), (("-v", "plan"), True)]
    )
    def test_and_for_those_who_ask(
        self, run: Run, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], shown: bool
    ) -> None:
        self.crash(monkeypatch, RegistryError("no answer", why="cable\ncut", fix="plug it in"))
        ran = run(*arguments)
        assert ran.code == 7
        assert ("Traceback" in ran.err) is shown
        assert "error: no answer\n  why:  cable\n        cut\n  next: plug it in\n" in ran.err

    def test_problems_are_listed(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        self.crash(monkeypatch, ConfigError("two faults", problems=("a: wrong", "b: wrong")))
        assert "error: two faults\n  - a: wrong\n  - b: wrong\n" in run("plan").err

    def test_ctrl_c(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        self.crash(monkeypatch, KeyboardInterrupt())
        ran = run("--json", "plan")
        assert ran.code == 130
        assert "error: interrupted" in ran.err
        assert "Traceback" not in ran.err
        assert json.loads(ran.out)["error"]["code"] == 130


class TestAsAProcess:
    def start(self, directory: Path, *arguments: str, code: str = "", **options: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", f"{code}\nfrom rayimage.__main__ import main; main()", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        return subprocess.Popen(command, cwd=directory, text=True, **pipes)

    def test_the_reader_of_stdout_goes_away(self, tmp_path: Path) -> None:
        reading, writing = os.pipe()
        os.close(reading)
        process = self.start(tmp_path, "init", "--dry-run", stdout=writing)
        os.close(writing)
        _, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (141, "")

    def test_an_arrow_for_a_terminal_that_has_none(self, tmp_path: Path) -> None:
        code = "import click, rayimage.config as c\nfrom rayimage.errors import ConfigError\ndef fail(_): raise ConfigError('a → b')\nc.load_project = fail"
        environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
        process = self.start(tmp_path, "plan", code=code, env=environment)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 3
        assert "error: a ? b" in err

    @pytest.mark.parametrize("signals", [1, 2])
    def test_ctrl_c_ends_what_moves_bytes(self, tmp_path: Path, signals: int) -> None:
        # A stage whose thread never comes to its next block unless `advance` is called: twice Ctrl-C ends that as well.
        moving = "task.advance(1)" if signals == 1 else "pass"
        code = f"""
import time, threading, rayimage.config as c
from concurrent.futures import ThreadPoolExecutor
import click
def work(_):
    progress = click.get_current_context().obj.progress
    task = progress.task("blob", 10)
    def move():
        while True:
            time.sleep(0.01)
            {moving}
    with progress.stage("push"), ThreadPoolExecutor(1) as pool:
        future = pool.submit(move)
        try:
            print("ready", flush=True)
            future.result()
        except BaseException:
            print("stopping", flush=True)
            pool.shutdown(wait=True, cancel_futures=True)
            raise
c.load_project = work
"""
        process = self.start(tmp_path, "plan", code=code)
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "stopping\n"
        if signals == 2:
            process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
        assert process.returncode == 130
        assert "Traceback" not in err
        assert "error: interrupted" in err


@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.default_int_handler])  # ignored: as after nohup
def test_ctrl_c_means_afterwards_what_it_did_before(run: Run, monkeypatch: pytest.MonkeyPatch, handler: object) -> None:
    during = []
    monkeypatch.setattr("rayimage.config.load_project", lambda _: during.append(signal.getsignal(signal.SIGINT)))
    before = signal.signal(signal.SIGINT, handler)
    try:
        run("plan")
        assert (during[0] is handler) is (handler is signal.SIG_IGN)
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)
