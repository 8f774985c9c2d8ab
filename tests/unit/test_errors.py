from __future__ import annotations

from pathlib import Path

import pytest

from rayimage import errors
from rayimage.__main__ import main

CLASSES = [getattr(errors, name) for name in errors.__all__]


def test_exit_codes_are_unique() -> None:
    codes = [cls.exit_code for cls in CLASSES]
    assert len(set(codes)) == len(codes)
    assert all(0 < code < 126 for code in codes)


def test_every_exit_code_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "errors.md").read_text(encoding="utf-8")
    for cls in CLASSES:
        assert f"| {cls.exit_code} | `{cls.__name__}` |" in text


def test_a_message_reads_as_thing_and_cause() -> None:
    assert str(errors.LockError("no lock", why="it was never made", fix="run lock")) == "no lock: it was never made"


@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        (["no-such-command"], 2, "No such command"),
        (["buld"], 2, "Did you mean 'build'?"),
        (["emit", "x.yaml"], 2, "no --image given"),
        (["emit", "--image", "head", "x.yaml"], 2, "ROLE=REF"),
        (["emit", "--image", "head=UPPER/x", "x.yaml"], 2, "is no repository name"),
        (["emit", "--image", "head=x:y", "does-not-exist.yaml"], 9, "does-not-exist.yaml"),
    ],
)
def test_main_prints_and_exits(
    args: list[str],
    code: int,
    text: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as exit_:
        main(args)
    assert exit_.value.code == code
    output = capsys.readouterr()
    assert text in output.err
    assert "Traceback" not in output.err


def test_success_returns(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--version"])
    assert capsys.readouterr().out.startswith("rayimage, version ")


def test_a_project_without_configuration_names_the_next_step(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["-C", str(tmp_path), "plan"])
    assert exit_.value.code == errors.ConfigError.exit_code
    assert "next:" in capsys.readouterr().err
