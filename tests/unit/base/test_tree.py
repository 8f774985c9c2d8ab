from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rayimage.base.tree import File, Tree
from rayimage.model.inventory import DirectoryOwner


def tree_of(*layers: dict[str, str]) -> Tree:
    """Files by path, links when the content starts with ``->``."""
    tree = Tree()
    for layer in layers:
        tree.begin_layer()
        for path, content in layer.items():
            if content.startswith("->"):
                tree.put_link(path, content[2:])
            else:
                tree.put_file(path, content.encode())
    return tree


def listing(tree: Tree, path: str = "") -> dict[str, bytes]:
    found = {}
    for name, node in tree.children(path or "/").items():
        child = f"{path}/{name}"
        found.update({child: node.content} if isinstance(node, File) else listing(tree, child))
    return found


class TestLinks:
    def test_relative_absolute_and_chained(self) -> None:
        tree = tree_of(
            {
                "/usr/bin/python3.11": "py",
                "/usr/bin/python3": "->python3.11",
                "/etc/alternatives/python": "->/usr/bin/python3",
                "/opt/venv/bin/python": "->../../../etc/alternatives/python",
                "/bin": "->usr/bin",
            }
        )
        for path in ("/usr/bin/python3", "/etc/alternatives/python", "/opt/venv/bin/python", "/bin/python3"):
            found = tree.find(path)
            assert found is not None
            assert found.path == "/usr/bin/python3.11"
        assert tree.content("/bin/python3") == b"py"

    def test_dots_are_taken_after_links_as_the_kernel_does(self) -> None:
        tree = tree_of({"/a/b/c/file": "1", "/x": "->a/b/c", "/y": "->x/../../target", "/a/target": "2"})
        assert tree.content("/y") == b"2"

    def test_above_the_root_is_the_root(self) -> None:
        assert tree_of({"/f": "1", "/d/l": "->../../../../f"}).content("/d/l") == b"1"

    def test_a_loop_is_nothing(self) -> None:
        tree = tree_of({"/a": "->b", "/b": "->a", "/c": "->c/c"})
        assert tree.find("/a") is None
        assert tree.resolve("/a/x") is None
        assert tree.find("/c/d") is None
        tree.put_file("/a/x", b"")
        tree.clear("/a/x")
        assert tree.find("/a/x") is None

    def test_a_dangling_link_resolves_to_where_it_points(self) -> None:
        tree = tree_of({"/lib64": "->usr/lib64"})
        assert tree.find("/lib64") is None
        assert tree.resolve("/lib64/x") == "/usr/lib64/x"

    def test_not_following_the_last(self) -> None:
        tree = tree_of({"/d/link": "->file", "/d/file": "", "/e": "->d"})
        found = tree.find("/e/link", follow=False)
        assert found is not None
        assert found.path == "/d/link"

    def test_what_is_put_through_a_link_lands_behind_it(self) -> None:
        tree = tree_of({"/lib": "->usr/lib"}, {"/lib/libc.so.6": "2.35"})
        assert tree.content("/usr/lib/libc.so.6") == b"2.35"
        assert dict(tree.links()) == {"/lib": "usr/lib"}

    def test_a_link_to_the_root(self) -> None:
        tree = tree_of({"/self": "->/", "/f": "1"})
        assert tree.content("/self/self/f") == b"1"
        tree.put_file("/self/g", b"2")
        assert tree.content("/g") == b"2"

    def test_all_links_sorted(self) -> None:
        tree = tree_of({"/b/x": "->1", "/a": "->2", "/b/a": "->3"})
        assert list(tree.links()) == [("/a", "2"), ("/b/a", "3"), ("/b/x", "1")]


OWNER = DirectoryOwner(0o755, 0, 0)


class TestDirectories:
    def test_the_last_declaration_counts(self) -> None:
        tree = tree_of({"/d/a": ""})
        tree.put_directory("/d", OWNER)
        tree.put_directory("/e", OWNER)
        tree.begin_layer()
        tree.put_directory("/d", DirectoryOwner(0o700, 1, 2))
        assert dict(tree.directories()) == {"/d": DirectoryOwner(0o700, 1, 2), "/e": OWNER}
        assert listing(tree) == {"/d/a": b""}

    def test_one_that_is_whited_out_is_gone(self) -> None:
        tree = tree_of({})
        tree.put_directory("/d", OWNER)
        tree.put_directory("/d/sub", OWNER)
        tree.begin_layer()
        tree.white_out("/d")
        assert dict(tree.directories()) == {}

    def test_one_that_comes_back_in_the_same_layer_stays(self) -> None:
        tree = tree_of({})
        tree.put_directory("/d", OWNER)
        tree.put_directory("/d/sub", OWNER)
        tree.begin_layer()
        tree.put_directory("/d", DirectoryOwner(0o700, 1, 2))
        tree.white_out("/d")
        assert dict(tree.directories()) == {"/d": DirectoryOwner(0o700, 1, 2)}


class TestReplacing:
    def test_a_file_replaces_a_directory(self) -> None:
        tree = tree_of({"/d/a": "", "/d/b/c": ""}, {"/d": "file"})
        assert listing(tree) == {"/d": b"file"}

    def test_something_without_interest_replaces_a_directory(self) -> None:
        tree = tree_of({"/d/a": "", "/e": ""})
        tree.clear("/d")
        assert listing(tree) == {"/e": b""}

    def test_a_directory_does_not_replace_a_directory(self) -> None:
        tree = tree_of({"/d/a": ""})
        tree.put_directory("/d", OWNER)
        assert listing(tree) == {"/d/a": b""}

    def test_a_directory_replaces_a_file_and_a_link(self) -> None:
        tree = tree_of({"/d": "", "/lib64": "->lib", "/lib/x": ""})
        tree.put_directory("/d", OWNER)
        tree.put_directory("/lib64", OWNER)
        assert listing(tree) == {"/lib/x": b""}
        assert list(tree.links()) == []

    def test_a_file_below_a_file_replaces_it(self) -> None:
        assert listing(tree_of({"/d": "old"}, {"/d/new": "1"})) == {"/d/new": b"1"}

    def test_the_root_is_a_directory(self) -> None:
        tree = tree_of({"/a": ""})
        tree.put_directory("/", OWNER)
        assert listing(tree) == {"/a": b""}


class TestWhiteouts:
    def test_a_file_and_a_directory(self) -> None:
        tree = tree_of({"/d/a": "", "/d/b/c": "", "/e": ""})
        tree.begin_layer()
        tree.white_out("/d/b")
        tree.white_out("/e")
        tree.white_out("/not/there")
        assert listing(tree) == {"/d/a": b""}

    def test_they_hide_lower_layers_only_wherever_they_stand(self) -> None:
        for late in (False, True):
            tree = tree_of({"/d/old": "", "/d/sub/old": "", "/f": "old"})
            tree.begin_layer()
            if not late:
                tree.white_out("/d")
                tree.white_out("/f")
            tree.put_file("/d/new", b"")
            tree.put_file("/f", b"new")
            if late:
                tree.white_out("/d")
                tree.white_out("/f")
            assert listing(tree) == {"/d/new": b"", "/f": b"new"}

    def test_a_link_is_hidden_not_what_it_points_to(self) -> None:
        tree = tree_of({"/lib/x": "", "/lib64": "->lib"})
        tree.begin_layer()
        tree.white_out("/lib64")
        assert list(tree.links()) == []
        assert listing(tree) == {"/lib/x": b""}

    def test_opaque(self) -> None:
        tree = tree_of({"/d/old": "", "/d/sub/old": "", "/e": ""})
        tree.begin_layer()
        tree.put_file("/d/sub/new")
        tree.white_out_children("/d")
        tree.white_out_children("/nowhere")
        tree.white_out_children("/e")
        assert listing(tree) == {"/d/sub/new": b"", "/e": b""}


def test_no_depth_is_too_deep() -> None:
    deep = "/d" * 1500
    tree = tree_of({"/d/old": "", f"{deep}/old": "", f"{deep}/link": "->old"})
    tree.put_directory(f"{deep}/declared", OWNER)
    assert [path for path, _ in tree.links()] == [f"{deep}/link"]
    assert [path for path, _ in tree.directories()] == [f"{deep}/declared"]
    tree.begin_layer()
    tree.put_file(f"{deep}/new")
    tree.white_out("/d")
    assert set(tree.children("/d")) == {"d"}
    assert set(tree.children(deep)) == {"new"}


NAMES = st.sampled_from("abc")
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(lambda parts: "/" + "/".join(parts))
LAYERS = st.lists(st.tuples(st.lists(PATHS, max_size=3), st.lists(PATHS, max_size=4)), max_size=4)


@given(LAYERS)
def test_layers_add_up_as_paths_in_a_dictionary_do(layers: list[tuple[list[str], list[str]]]) -> None:
    """Each layer: whiteouts, then files. The model is a flat dictionary, the slow and obvious way."""
    tree, model = Tree(), dict[str, bytes]()
    for number, (hidden, added) in enumerate(layers):
        tree.begin_layer()
        for path in hidden:
            tree.white_out(path)
            model = {p: c for p, c in model.items() if p != path and not p.startswith(path + "/")}
        for path in added:
            content = str(number).encode()
            tree.put_file(path, content)
            ancestors = {path[:end] for end in range(1, len(path)) if path[end] == "/"}
            model = {p: c for p, c in model.items() if p not in ancestors and not p.startswith(path + "/")}
            model[path] = content
    assert listing(tree) == model
