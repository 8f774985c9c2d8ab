from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement

from rayimage.model.digest import Digest
from rayimage.specs.findings import Findings
from rayimage.specs.requirements import RequirementsReader, logical_lines, read_requirements


def write(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_in", ".in")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def read(root: Path, *names: str):
    return read_requirements([root / name for name in names or ("a.in",)], root)


# Lines


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", []),
        ("# only\n\n   # comments\n", []),
        ("a\nb", [(1, "a"), (2, "b")]),
        ("a # why\nb#c", [(1, "a"), (2, "b#c")]),
        ("a \\\n  ==1 \\\n  # end\nb", [(1, "a   ==1"), (4, "b")]),
        (
            "a==1 \\\n    --hash=sha256:00 \\\n    --hash=sha256:11\n\nb",
            [(1, "a==1     --hash=sha256:00     --hash=sha256:11"), (5, "b")],
        ),
        ("a \\", [(1, "a")]),
        ("# comment \\\nb", [(2, "b")]),
        ("a\r\nb\r\n", [(1, "a"), (2, "b")]),
    ],
)
def test_logical_lines(text, lines):
    assert list(logical_lines(text)) == lines


@given(st.lists(st.sampled_from(["a", "b==1", "# c", "", "d \\", " e # f"]), max_size=8))
def test_line_numbers_are_those_of_the_file(rows):
    physical = "\n".join(rows).splitlines()
    numbers = [number for number, _ in logical_lines("\n".join(rows))]
    assert numbers == sorted(set(numbers))
    assert all(1 <= number <= len(physical) for number in numbers)


# Requirements


def test_requirements_options_and_others_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.setenv("VERSION", "2.1")
    write(
        tmp_path,
        a_in="""\
-i https://user:secret@example.com/simple
--extra-index-url=https://example.com/extra
--find-links wheels
--only-binary :all:
numpy>=2 ; python_version < "3.13"  # why
Torch[opt] == ${VERSION} --hash=sha256:abc
named @ https://example.com/named-1.0.tar.gz
--editable=git+https://user:secret@example.com/x.git#egg=x
https://example.com/thing-1.0-py3-none-any.whl?token=secret#sha256=00
./wheels/own-1.0-py3-none-any.whl
wheels/own-2.0-py3-none-any.whl
own-3.0.tar.gz
""",
    )
    found = read(tmp_path)
    assert found.problems == []
    assert found.requirements == [
        Requirement('numpy>=2; python_version < "3.13"'),
        Requirement("Torch[opt]==2.1"),
        Requirement("named @ https://example.com/named-1.0.tar.gz"),
    ]
    assert found.others == [
        "-e git+https://example.com/x.git#egg=x",
        "https://example.com/thing-1.0-py3-none-any.whl#sha256=00",
        "./wheels/own-1.0-py3-none-any.whl",
        "wheels/own-2.0-py3-none-any.whl",
        "own-3.0.tar.gz",
    ]


def test_a_byte_order_mark_is_not_a_name(tmp_path):
    (tmp_path / "a.in").write_bytes(b"\xef\xbb\xbfnumpy\n")
    assert [requirement.name for requirement in read(tmp_path).requirements] == ["numpy"]


# Closure


def test_nested_files_are_found_relative_to_the_file_that_names_them(tmp_path):
    write(
        tmp_path,
        a_in="-r sub/b.in\n-c limits.in\nnumpy\n",
        sub__b_in="-rc.in\n--constraint=../limits.in\n",
        sub__c_in='--requirement "with space.in"\nscipy',
        limits_in="numpy<3\n-r sub/more.in\n",
        sub__more_in="pandas<3\n./x.whl\n",
    )
    (tmp_path / "sub/with space.in").write_text("pyarrow")
    found = read(tmp_path)
    assert found.problems == []
    assert [str(requirement) for requirement in found.requirements] == ["pyarrow", "scipy", "numpy"]
    assert found.others == []
    assert sorted(found.files) == ["a.in", "limits.in", "sub/b.in", "sub/c.in", "sub/more.in", "sub/with space.in"]
    assert found.files["limits.in"] == Digest.of(b"numpy<3\n-r sub/more.in\n")


def test_several_nested_files_in_one_line_keep_their_order(tmp_path):
    write(tmp_path, a_in="-r c.in -c l.in -r b.in", b_in="b", c_in="c", l_in="l")
    assert [requirement.name for requirement in read(tmp_path).requirements] == ["c", "b"]


def test_a_file_outside_of_the_root_and_a_file_url(tmp_path):
    write(
        tmp_path,
        project__a_in=f"-c ../common.in\n-r {(tmp_path / 'more.in').as_uri()}",
        common_in="numpy<3",
        more_in="scipy",
    )
    found = read(tmp_path / "project")
    assert sorted(found.files) == ["../common.in", "../more.in", "a.in"]
    assert [requirement.name for requirement in found.requirements] == ["scipy"]


def test_a_file_that_is_required_and_a_constraint_counts_as_both(tmp_path):
    write(tmp_path, a_in="-c b.in\n-r b.in", b_in="numpy")
    assert [requirement.name for requirement in read(tmp_path).requirements] == ["numpy"]


def test_files_on_a_server_are_left_to_the_resolver(tmp_path):
    write(tmp_path, a_in="-r https://me:pw@example.com/r.txt?t=1\n-c https://example.com/c.txt\n")
    found = read(tmp_path)
    assert (found.problems, found.others, list(found.files)) == ([], ["-r https://example.com/r.txt"], ["a.in"])


# Faults


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("numpy\n\nnot a requirement", "a.in:3: Expected semicolon (after name with no version specifier)"),
        ("a==1 \\\n  junk", "a.in:1: "),
        ("-r missing.in", "a.in:1: cannot read missing.in: No such file"),
        ("-r .", "a.in:1: cannot read .: Is a directory"),
        ("-r", "a.in:1: argument -r/--requirement: expected one argument"),
        ("-r 'open", "a.in:1: No closing quotation"),
        ("-r pyproject.toml", "a.in:1: pyproject.toml is not a requirements file; set project = true"),
        ("-c uv.lock", "a.in:1: uv.lock is not a requirements file"),
        ("numpy>=2,<<3", "a.in:1: "),
        ("x @ https://me:pw@example.com/a ; nonsense", "a.in:1: "),
    ],
)
def test_faults_name_file_and_line(tmp_path, text, problem):
    found = read(write(tmp_path, a_in=text))
    assert len(found.problems) == 1
    assert found.problems[0].startswith(problem)
    assert "pw" not in found.problems[0]


def test_cycles_are_named(tmp_path):
    write(tmp_path, a_in="\n-r b.in", b_in="-c a.in")
    assert read(tmp_path).problems == ["b.in:1: files include each other: a.in -> b.in -> a.in"]
    write(tmp_path, a_in="-r a.in")
    assert read(tmp_path).problems == ["a.in:1: files include each other: a.in -> a.in"]


def test_every_fault_is_reported(tmp_path):
    write(tmp_path, a_in="!\n-r b.in\n-r missing.in", b_in="ok\n?")
    (tmp_path / "c.in").write_bytes(b"\xff\xfe")
    problems = read(tmp_path, "a.in", "c.in").problems
    assert [problem.partition(": ")[0] for problem in problems] == [
        "a.in:1",
        "b.in:2",
        "a.in:3",
        "c.in is not UTF-8 text",
    ]


# Directories: the lines that a resolver gets instead of the file


def library(root: Path, name: str) -> None:
    write(root, **{f"libs__{name}__pyproject.toml": f'[project]\nname = "{name}"\nversion = "1"\n'})


def flat(root: Path, name: str = "a.in") -> tuple[str, ...] | None:
    found = Findings(root=root)
    lines = RequirementsReader(found).read(root / name)
    assert found.problems == []
    return lines


def test_a_file_without_directories_is_given_as_it_is(tmp_path):
    write(tmp_path, a_in="numpy\n-r b.in\n./wheels/x.whl\n", b_in="scipy")
    assert flat(tmp_path) is None


@pytest.mark.parametrize(
    ("line", "requirement"),
    [
        ("./libs/common", "common"),
        ("libs/common", "common"),
        ("-e libs/common", "common"),
        ("--editable=libs/common[a]", "common[a]"),
        ('-e "libs/common[a]"', "common[a]"),
        (
            '-e file:libs/common ; python_version >= "3.9" and os_name == "posix"',
            'common; python_version >= "3.9" and os_name == "posix"',
        ),
        ("common[a,b] @ file:libs/common ; os_name == 'nt'", 'common[a,b]; os_name == "nt"'),
        ("-e file:./libs/common#egg=common", "common"),
        ("./libs/common --config-settings x=y", "common"),
    ],
)
def test_a_directory_is_required_by_its_name(tmp_path, line, requirement):
    library(tmp_path, "common")
    write(tmp_path, a_in=f"{line}\n")
    assert flat(tmp_path) == (requirement,)


def test_what_else_is_in_the_file_stays_with_paths_that_hold_elsewhere(tmp_path):
    library(tmp_path, "common")
    write(
        tmp_path,
        a_in="""\
--pre --index-url https://example.com/simple
--find-links sub
--extra-index-url file:///srv/simple
numpy==1 --hash=sha256:00
-r sub/b.in
-r https://example.com/r.txt
-c sub/limits.in
./libs/common
git+https://example.com/x.git
""",
        sub__b_in="own.whl\nscipy\n-c limits.in",
        sub__limits_in="--extra-index-url https://example.com/limits\n-r https://example.com/l.txt\nnumpy<3\nx @ git+https://example.com/x.git",
    )
    (tmp_path / "sub/own.whl").write_text("")
    assert flat(tmp_path) == (
        "--pre",
        "--index-url https://example.com/simple",
        f"--find-links {tmp_path}/sub",
        "--extra-index-url file:///srv/simple",
        "numpy==1 --hash=sha256:00",
        f"{tmp_path}/sub/own.whl",
        "scipy",
        f"-c {tmp_path}/sub/limits.in",
        "-r https://example.com/r.txt",
        f"-c {tmp_path}/sub/limits.in",
        "common",
        "git+https://example.com/x.git",
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("./gone", "a.in:1: there is no directory ./gone"),
        ("-e ../gone[x]", "a.in:1: there is no directory ../gone"),
        ("gone @ file:gone", "a.in:1: there is no directory file:gone"),
        ("./libs/common ; nonsense", "a.in:1: Expected a marker"),
        ("-c limits.in", "limits.in:1: a directory cannot be a constraint"),
        ("x @ nowhere", "a.in:1: 'nowhere' is not a URL"),
    ],
)
def test_faults_in_directories(tmp_path, text, problem):
    library(tmp_path, "common")
    write(tmp_path, a_in=text, limits_in="common @ file:libs/common")
    [found] = read(tmp_path).problems
    assert found.startswith(problem)
