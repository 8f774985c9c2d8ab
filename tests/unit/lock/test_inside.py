from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from rayimage.lock import _inside
from tests.support.index import running_index, wheel


def run(*arguments, cwd, script=_inside.__file__):
    command = [sys.executable, str(script), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_a_module_runs_without_the_working_directory(tmp_path):
    script = tmp_path / "python" / "inside.py"
    script.parent.mkdir()
    script.write_bytes(Path(_inside.__file__).read_bytes())
    (tmp_path / "piptools.py").write_text("raise SystemExit('hidden')\n")
    (tmp_path / "build.py").write_text("raise SystemExit('hidden')\n")
    done = run("piptools", "compile", "--version", cwd=tmp_path, script=script)
    assert done.returncode == 0, done.stderr


def test_its_exit_code_is_kept(tmp_path):
    assert run("piptools", "compile", "--no-such-option", cwd=tmp_path).returncode == 2
    assert run("pip", "--version", cwd=tmp_path).returncode == 0


def test_sizes_are_asked_for(tmp_path):
    report = tmp_path / "report.json"
    name, data = wheel("thing-1.0-py3-none-any.whl")
    with running_index((name, data)) as index:
        files = index.url.replace("/simple", "/files")
        urls = [f"{files}/{name}", f"{files}/absent-1.0-py3-none-any.whl", "file:///w/x-1-py3-none-any.whl"]
        report.write_text(json.dumps({"install": [{"download_info": {"url": url}} for url in urls]}))
        done = run("--sizes", report, "pip", "--version", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [item.get("size", "-") for item in json.loads(report.read_text())["install"]] == [len(data), None, "-"]


def test_no_sizes_after_a_failure(tmp_path):
    done = run("--sizes", tmp_path / "absent.json", "pip", "install", "--no-such-option", cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
