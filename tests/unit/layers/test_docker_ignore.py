from __future__ import annotations

import pytest

from rayimage.errors import UsageError
from rayimage.layers.docker_ignore import DockerPatterns


def excluded(patterns: str, *paths: str) -> list[str]:
    matcher = DockerPatterns.parse(patterns.splitlines())
    return [path for path in paths if matcher.excludes(path)]


# From the table in moby/patternmatcher's own tests, as far as Docker on Linux is concerned, and from its documentation.
@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("**", "file", True), ("**", "dir/file", True), ("**/", "file", True), ("**/", "dir/file", True),
        ("**/**", "dir/file", True), ("dir/**", "dir/file", True), ("dir/**", "dir/dir2/file", True),
        ("dir/**", "other/file", False), ("**/dir", "dir/file", True), ("**/dir", "a/dir/file", True),
        ("**/dir2/*", "dir/dir2/file", True), ("**/dir2/*", "dir/dir2/dir2/file", True),
        ("**/dir2/**", "dir/dir2/file", True), ("**file", "file", True), ("**file", "dir/file", True),
        ("**/file", "dir/dir/file", True), ("**/file*", "dir/dir/file.txt", True), ("**/file*txt", "dir/file.txt", True),
        ("**/file*.txt*", "dir/dir/file.txt", True), ("**/**/*.txt", "dir/dir/file.txt", True),
        ("**/**/*.txt2", "dir/dir/file.txt", False), ("**/*.txt", "file.txt", True), ("**/**/*.txt", "file.txt", True),
        ("a**/*.txt", "a/file.txt", True), ("a**/*.txt", "a/dir/file.txt", True), ("a/*.txt", "a/dir/file.txt", False),
        ("a/*.txt", "a/file.txt", True), ("a/*.txt**", "a/file.txt", True), ("a[b-d]e", "ae", False),
        ("a[b-d]e", "ace", True), ("a[b-d]e", "aae", False), ("a[^b-d]e", "aze", True), (".*", ".foo", True),
        (".*", "foo", False), ("abc.def", "abcdef", False), ("abc.def", "abc.def", True), ("abc.def", "abcZdef", False),
        ("abc?def", "abcZdef", True), ("abc?def", "abcdef", False), ("a\\*b", "a*b", True), ("a\\*b", "axb", False),
        ("**/foo/bar", "foo/bar", True), ("**/foo/bar", "dir/foo/bar", True), ("abc/**", "abc/def/ghi", True),
        ("abc/**", "abc", False), ("**/.foo", "bar/.foo", True), ("**/.foo", "bar.foo", False),
        ("./bar.*", "bar.txt", True), ("a(b)c/def", "a(b)c/def", True), ("a.|)$(}+{bc", "a.|)$(}+{bc", True),
        ("/abs", "abs", True), ("/abs", "dir/abs", False), ("dir", "dir/a/b", True), ("dir/", "dir/a", True),
        ("dir", "directory", False), ("dir", "a/dir", False), ("x/../y", "y", True), ("*", "a/b", True), ("*.py", "a/b.py", False),
        ("ü*", "übung", True), ("a\\", "a\\", True), ("[[]a", "[a", True),
    ],
)  # fmt: skip
def test_patterns(pattern: str, path: str, matches: bool) -> None:
    assert bool(excluded(pattern, path)) is matches


def test_the_last_match_wins() -> None:
    assert excluded("*.md\n!README*.md\nREADME-secret.md", "a.md", "README.md", "README-secret.md") == [
        "a.md",
        "README-secret.md",
    ]
    assert excluded("!a\na", "a") == ["a"]


def test_a_directory_may_come_back_from_an_excluded_one() -> None:
    assert excluded("*\n!src\nsrc/x", "a", "src/a", "src/x/y", "lib/src") == ["a", "src/x/y", "lib/src"]


def test_comments_blanks_and_spaces() -> None:
    assert excluded("# a\n\n  b  \n\\#c\n ! d", "# a", "a", "b", "#c", "d") == ["b", "#c"]


@pytest.mark.parametrize(
    ("patterns", "directory", "may"),
    [
        ("a", "a", False), ("*\n!b", "a", False), ("*\n!a/b/c", "a", True), ("*\n!a/b/c", "a/b", True),
        ("*\n!a/b/c", "a/b/c", False), ("*\n!a/b/c", "a/x", False), ("*\n!**/x", "a/b", True), ("*\n!a/*.py", "a", True),
        ("*\n!a/*.py", "b", False), ("*\n!a/*/c", "a/b", True), ("*\n!a*", "b", True),
    ],
)  # fmt: skip
def test_which_excluded_directories_have_to_be_read(patterns: str, directory: str, may: bool) -> None:
    assert DockerPatterns.parse(patterns.splitlines()).may_restore_below(directory) is may


@pytest.mark.parametrize("pattern", ["a[", "a[z-a]", "!", "! "])
def test_broken_patterns(pattern: str) -> None:
    with pytest.raises(UsageError, match=r"\.dockerignore: ") as caught:
        DockerPatterns.parse([pattern], ".dockerignore")
    assert caught.value.fix
