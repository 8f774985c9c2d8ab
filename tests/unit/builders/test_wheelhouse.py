from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from rayimage.builders.download import Downloader, Unavailable
from rayimage.builders.simple_index import configured_indexes, parse_page
from rayimage.builders.wheelhouse import Wheelhouse
from rayimage.errors import WheelError
from rayimage.model.digest import Digest
from rayimage.model.lock import LockedWheel

CONTENT = bytes(range(256)) * 2048
FILENAME = "demo-1.0-py3-none-any.whl"


@dataclass
class Reply:
    status: int = 200
    body: bytes = CONTENT
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None  # bytes of the body to send before the connection is closed


@dataclass
class Server:
    """Answers with what ``routes`` says: a reply, or a list of which the last repeats."""

    url: str
    routes: dict[str, Reply | list[Reply]] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, path: str, headers: dict[str, str]) -> Reply:
        with self.lock:
            self.requests.append((path, headers))
            reply = self.routes.get(path.partition("?")[0], Reply(404, b"not here"))
            if isinstance(reply, list):
                return reply.pop(0) if len(reply) > 1 else reply[0]
            return reply

    def asked(self, path: str) -> list[dict[str, str]]:
        return [headers for asked, headers in self.requests if asked.partition("?")[0] == path]


@contextmanager
def serve() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            reply = server.take(self.path, {name.lower(): value for name, value in self.headers.items()})
            status, body, headers = reply.status, reply.body, dict(reply.headers)
            wanted = self.headers.get("Range")
            if wanted and status == 200 and headers.get("Accept-Ranges") != "none":
                start = int(wanted.removeprefix("bytes=").rstrip("-"))
                if self.headers.get("If-Range") not in (None, headers.get("ETag")):
                    pass
                elif start >= len(body):
                    status, body = 416, b""
                else:
                    status, headers["Content-Range"] = 206, f"bytes {start}-{len(body) - 1}/{len(body)}"
                    body = body[start:]
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body if reply.cut is None else body[: reply.cut])
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server = Server(f"http://127.0.0.1:{httpd.server_port}")
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    with serve() as running:
        yield running


@pytest.fixture
def other() -> Iterator[Server]:
    with serve() as running:
        yield running


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in (
        "PIP_EXTRA_INDEX_URL",
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def wheelhouse(tmp_path: Path, pauses: list[float]) -> Callable[..., Wheelhouse]:
    return lambda *indexes: Wheelhouse(tmp_path / "cache", indexes=indexes, pause=pauses.append)


def locked(
    url: str = "", *, content: bytes = CONTENT, size: int | None = len(CONTENT), name: str = FILENAME
) -> LockedWheel:
    return LockedWheel(
        name=canonicalize_name("demo"),
        version=Version("1.0"),
        filename=name,
        digest=Digest.of(content),
        size=size,
        url=url,
    )


def cached(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "cache").rglob("*.whl"))


# Fetching and the cache


def test_a_wheel_is_fetched_once_and_then_found(server, wheelhouse, tmp_path):
    server.routes["/demo.whl"] = Reply()
    heard: list[int] = []
    path = wheelhouse().fetch(locked(f"{server.url}/demo.whl"), heard.append)
    assert path == tmp_path / "cache/wheels/sha256" / Digest.of(CONTENT).hex / FILENAME
    assert path.read_bytes() == CONTENT
    assert sum(heard) == len(CONTENT)
    assert wheelhouse().fetch(locked(f"{server.url}/demo.whl"), heard.append) == path
    assert sum(heard) == 2 * len(CONTENT)
    assert len(server.requests) == 1


def test_bytes_are_not_decoded_on_the_way(server, wheelhouse):
    server.routes["/demo.whl"] = Reply()
    wheelhouse().fetch(locked(f"{server.url}/demo.whl"))
    assert server.asked("/demo.whl")[0]["accept-encoding"] == "identity"


def test_threads_and_instances_fetch_once(server, wheelhouse):
    server.routes["/demo.whl"] = Reply()
    wheel = locked(f"{server.url}/demo.whl")
    shared = wheelhouse()
    houses = [shared, shared, wheelhouse(), wheelhouse()]
    with ThreadPoolExecutor(4) as pool:
        paths = set(pool.map(lambda house: house.fetch(wheel), houses))
    assert len(paths) == 1
    assert len(server.requests) == 1


def test_a_damaged_cache_entry_is_forgotten_on_demand(server, wheelhouse, monkeypatch):
    monkeypatch.setattr("rayimage.builders.wheelhouse._END_SIZE", 1000)
    server.routes["/demo.whl"] = Reply()
    house, wheel = wheelhouse(), locked(f"{server.url}/demo.whl")
    path = house.fetch(wheel)
    assert not house.forget_damaged([wheel])
    path.write_bytes(b"X" + CONTENT[1:])
    assert house.fetch(wheel) == path
    assert house.forget_damaged([wheel])
    assert house.fetch(wheel).read_bytes() == CONTENT
    assert not house.forget_damaged([locked(f"{server.url}/other.whl", content=b"other")])


def test_a_damaged_cache_entry_of_another_length_is_fetched_again(server, wheelhouse):
    server.routes["/demo.whl"] = Reply()
    wheel = locked(f"{server.url}/demo.whl")
    path = wheelhouse().fetch(wheel)
    path.write_bytes(CONTENT[:5])
    assert wheelhouse().fetch(wheel).read_bytes() == CONTENT


@pytest.mark.parametrize(
    "name", ["../evil-1.0-py3-none-any.whl", "/etc/a.whl", "a\\b.whl", "a\0.whl", "demo-1.0.tar.gz", ""]
)
def test_a_filename_that_is_no_wheel_is_refused(wheelhouse, name, tmp_path):
    with pytest.raises(WheelError, match="impossible file"):
        wheelhouse().fetch(locked("http://127.0.0.1:1/x", name=name))
    assert not (tmp_path / "cache").exists()


def test_a_cache_that_cannot_be_written_is_an_error(tmp_path, server):
    server.routes["/demo.whl"] = Reply()
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WheelError, match=r"cannot read or store demo") as caught:
        Wheelhouse(tmp_path / "file").fetch(locked(f"{server.url}/demo.whl"))
    assert "RAYIMAGE_CACHE_DIR" in caught.value.fix


# Local wheels


@pytest.mark.parametrize("as_url", [True, False])
def test_a_local_wheel_is_verified_and_used_in_place(wheelhouse, tmp_path, as_url):
    path = tmp_path / "my wheels" / FILENAME
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    heard: list[int] = []
    assert wheelhouse().fetch(locked(path.as_uri() if as_url else str(path)), heard.append) == path
    assert sum(heard) == len(CONTENT)
    assert cached(tmp_path) == []


def test_a_local_wheel_with_other_bytes_is_refused(wheelhouse, tmp_path):
    path = tmp_path / FILENAME
    path.write_bytes(b"other")
    with pytest.raises(WheelError, match="the local file gave sha256:"):
        wheelhouse().fetch(locked(path.as_uri()))


def test_a_local_wheel_that_is_gone_is_looked_up_in_the_index(server, wheelhouse, tmp_path):
    server.routes["/simple/demo/"] = html(f'<a href="/f/{FILENAME}#sha256={Digest.of(CONTENT).hex}">x</a>')
    server.routes[f"/f/{FILENAME}"] = Reply()
    assert wheelhouse(f"{server.url}/simple").fetch(locked(str(tmp_path / FILENAME))).read_bytes() == CONTENT
    with pytest.raises(WheelError, match=r"there is no file .*demo-1\.0"):
        Wheelhouse(tmp_path / "new").fetch(locked(str(tmp_path / FILENAME)))


# Wrong bytes


@pytest.mark.parametrize("size", [None, len(CONTENT)])
def test_wrong_bytes_are_never_kept(server, wheelhouse, tmp_path, size):
    server.routes["/demo.whl"] = Reply(body=b"x" * len(CONTENT))
    with pytest.raises(WheelError) as caught:
        wheelhouse().fetch(locked(f"{server.url}/demo.whl", size=size))
    error = caught.value
    assert FILENAME in error.what
    assert Digest.of(CONTENT).hex in error.why
    assert Digest.of(b"x" * len(CONTENT)).hex in error.why
    assert server.url.removeprefix("http://") in error.why
    assert "rayimage lock --upgrade-package demo" in error.fix
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file() and path.name != ".lock"] == []


def test_a_file_that_is_too_long_is_not_read_to_its_end(server, wheelhouse):
    server.routes["/demo.whl"] = Reply(body=CONTENT * 20)
    heard: list[int] = []
    with pytest.raises(WheelError, match="bytes were expected"):
        wheelhouse().fetch(locked(f"{server.url}/demo.whl"), heard.append)
    assert sum(heard) < 3 * len(CONTENT)


def test_wrong_bytes_do_not_send_the_search_elsewhere(server, wheelhouse):
    server.routes["/demo.whl"] = Reply(body=b"wrong")
    with pytest.raises(WheelError, match="not the file that was locked"):
        wheelhouse(f"{server.url}/simple").fetch(locked(f"{server.url}/demo.whl"))
    assert server.asked("/simple/demo/") == []


# Cut connections


def test_a_cut_download_continues(server, wheelhouse, pauses):
    tag = {"ETag": '"v1"'}
    server.routes["/demo.whl"] = [Reply(cut=300_000, headers=tag), Reply(cut=1000, headers=tag), Reply(headers=tag)]
    heard: list[int] = []
    assert wheelhouse().fetch(locked(f"{server.url}/demo.whl"), heard.append).read_bytes() == CONTENT
    first, second, third = server.asked("/demo.whl")
    assert "range" not in first
    assert (second["range"], second["if-range"]) == ("bytes=300000-", '"v1"')
    assert third["range"] == "bytes=301000-"
    assert sum(heard) == len(CONTENT)
    assert len(pauses) == 2


def test_a_file_that_changed_meanwhile_is_downloaded_anew(server, wheelhouse):
    server.routes["/demo.whl"] = [
        Reply(body=b"y" * 9999, cut=5000, headers={"ETag": '"old"'}),
        Reply(headers={"ETag": '"new"'}),
    ]
    assert wheelhouse().fetch(locked(f"{server.url}/demo.whl")).read_bytes() == CONTENT


def test_a_server_without_ranges_starts_anew_and_nothing_is_counted_twice(server, wheelhouse):
    none = {"Accept-Ranges": "none"}
    server.routes["/demo.whl"] = [Reply(cut=300_000, headers=none), Reply(headers=none)]
    heard: list[int] = []
    assert wheelhouse().fetch(locked(f"{server.url}/demo.whl"), heard.append).read_bytes() == CONTENT
    assert sum(heard) == len(CONTENT)


def test_a_wrong_range_is_not_joined(server, wheelhouse):
    wrong = Reply(206, CONTENT[7:], {"Content-Range": f"bytes 7-{len(CONTENT) - 1}/{len(CONTENT)}"})
    server.routes["/demo.whl"] = [Reply(cut=300_000), wrong, Reply()]
    assert wheelhouse().fetch(locked(f"{server.url}/demo.whl")).read_bytes() == CONTENT


def test_the_partial_file_of_a_killed_run_is_continued(server, wheelhouse, tmp_path):
    server.routes["/demo.whl"] = Reply()
    partial = tmp_path / "cache/unfinished" / f"{Digest.of(CONTENT).hex}.whl"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(CONTENT[:1234])
    assert wheelhouse().fetch(locked(f"{server.url}/demo.whl")).read_bytes() == CONTENT
    assert server.asked("/demo.whl")[0]["range"] == "bytes=1234-"
    assert not partial.exists()


@pytest.mark.parametrize("left", [b"z" * 1234, b"z" * len(CONTENT), b"z" * (len(CONTENT) + 5)])
@pytest.mark.parametrize("size", [None, len(CONTENT)])
def test_a_wrong_partial_file_is_dropped(server, wheelhouse, tmp_path, left, size):
    server.routes["/demo.whl"] = Reply()
    partial = tmp_path / "cache/unfinished" / f"{Digest.of(CONTENT).hex}.whl"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(left)
    assert wheelhouse().fetch(locked(f"{server.url}/demo.whl", size=size)).read_bytes() == CONTENT


def test_a_connection_that_is_always_cut_is_given_up(server, wheelhouse, pauses):
    server.routes["/demo.whl"] = Reply(cut=0)
    with pytest.raises(WheelError, match="the connection was cut"):
        wheelhouse().fetch(locked(f"{server.url}/demo.whl"))
    assert len(server.requests) == 5
    assert all(0 < pause <= 20 for pause in pauses)


# Statuses


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_temporary_failures_are_tried_again(server, wheelhouse, pauses, status):
    server.routes["/demo.whl"] = [Reply(status, b"", {"Retry-After": "7"}), Reply()]
    assert wheelhouse().fetch(locked(f"{server.url}/demo.whl")).read_bytes() == CONTENT
    assert pauses == [7.0]


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [("86400", 60, 60), (formatdate(usegmt=True), 0, 1), ("soon", 0.4, 1), (formatdate(4e9, usegmt=True), 60, 60)],
    ids=["seconds", "now", "neither", "far"],  # not the date: processes that collect apart must agree
)
def test_retry_after_is_a_number_or_a_date_and_bounded(server, wheelhouse, pauses, value, least, most):
    server.routes["/demo.whl"] = [Reply(429, b"", {"Retry-After": value}), Reply()]
    wheelhouse().fetch(locked(f"{server.url}/demo.whl"))
    assert least <= pauses[0] <= most


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 451])
def test_final_failures_are_not_tried_again(server, wheelhouse, pauses, status):
    server.routes["/demo.whl"] = Reply(status, b"")
    with pytest.raises(WheelError, match=f"answered {status}") as caught:
        wheelhouse().fetch(locked(f"{server.url}/demo.whl"))
    assert len(server.requests) == 1
    assert pauses == []
    assert "UV_DEFAULT_INDEX" in caught.value.fix


@pytest.mark.parametrize(
    "url", ["ftp://example.com/demo.whl", "http://[::1/demo.whl", "http://127.0.0.1:99999/demo.whl"]
)
def test_a_url_of_no_use_is_an_error(wheelhouse, url):
    with pytest.raises(WheelError, match="not an http or https URL"):
        wheelhouse().fetch(locked(url))


# Redirects and credentials


def test_redirects_are_followed_and_credentials_stay_with_the_first_host(server, other, wheelhouse):
    server.routes["/a"] = Reply(302, b"", {"Location": "/b"})
    server.routes["/b"] = Reply(307, b"", {"Location": f"{other.url}/c?signature=s3cret"})
    other.routes["/c"] = Reply()
    url = f"{server.url}/a".replace("//", "//us%40er:p%C3%A4ss@")
    assert wheelhouse().fetch(locked(url)).read_bytes() == CONTENT
    expected = "Basic " + base64.b64encode("us@er:päss".encode()).decode()
    assert [headers.get("authorization") for _, headers in server.requests] == [expected, expected]
    assert "authorization" not in other.asked("/c")[0]
    assert other.requests[0][0] == "/c?signature=s3cret"


@pytest.mark.parametrize("location", ["ftp://example.com/x", "http://[", "/a"])
def test_redirects_that_lead_nowhere_end(server, wheelhouse, location):
    server.routes["/a"] = Reply(302, b"", {"Location": location})
    with pytest.raises(WheelError, match=r"not an http or https URL|malformed URL|more than 10 redirects"):
        wheelhouse().fetch(locked(f"{server.url}/a"))
    assert len(server.requests) <= 10


def test_netrc_is_honoured(server, wheelhouse, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    server.routes["/demo.whl"] = Reply()
    wheelhouse().fetch(locked(f"{server.url}/demo.whl"))
    assert server.requests[0][1]["authorization"] == "Basic " + base64.b64encode(b"me:secret").decode()


def test_a_netrc_that_does_not_parse_holds_nothing(server, wheelhouse, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    server.routes["/demo.whl"] = Reply()
    wheelhouse().fetch(locked(f"{server.url}/demo.whl"))
    assert "authorization" not in server.requests[0][1]


def test_an_index_account_holds_for_the_files_of_its_host_only(server, other, wheelhouse):
    server.routes["/demo.whl"] = Reply(404, b"")
    account = f"{server.url}/simple".replace("//", "//user:secret@")
    with pytest.raises(WheelError):
        wheelhouse(account).fetch(locked(f"{server.url}/demo.whl"))
    with pytest.raises(WheelError):
        wheelhouse(account).fetch(locked(f"{other.url}/demo.whl"))
    assert all("authorization" in headers for _, headers in server.requests)
    assert "authorization" not in other.requests[0][1]


def test_no_secret_reaches_a_message(server, wheelhouse):
    index = f"{server.url}/simple?key=indexsecret".replace("//", "//user:password@")
    url = f"{server.url}/demo.whl?signature=urlsecret#fragment".replace("//", "//user:password@")
    with pytest.raises(WheelError) as caught:
        wheelhouse(index).fetch(locked(url))
    text = f"{caught.value} {caught.value.fix}"
    assert "/demo.whl: " in text
    assert "password" not in text
    assert "secret" not in text


def test_a_proxy_is_used_unless_the_host_is_exempt(server, other, tmp_path, monkeypatch):
    server.routes["http://example.com/demo.whl"] = Reply()
    monkeypatch.setenv("http_proxy", server.url.replace("//", "//me:pass@"))
    assert Wheelhouse(tmp_path / "a").fetch(locked("http://example.com/demo.whl")).read_bytes() == CONTENT
    assert server.requests[0][1]["proxy-authorization"].startswith("Basic ")
    other.routes["/demo.whl"] = Reply()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    Wheelhouse(tmp_path / "b").fetch(locked(f"{other.url}/demo.whl"))
    assert len(other.requests) == 1


# Indexes


def html(body: str) -> Reply:
    return Reply(body=f"<!DOCTYPE html><body>{body}</body>".encode(), headers={"Content-Type": "text/html"})


def json_page(files: str) -> Reply:
    headers = {"Content-Type": "application/vnd.pypi.simple.v1+json; charset=utf-8"}
    return Reply(body=f'{{"meta": {{"api-version": "1.1"}}, "files": [{files}]}}'.encode(), headers=headers)


@pytest.mark.parametrize("url", ["", "{server}/gone.whl", "http://127.0.0.1:1/unreachable.whl"])
def test_the_index_is_asked_when_the_url_does_not_help(server, wheelhouse, url):
    digest = Digest.of(CONTENT).hex
    server.routes["/simple/demo/"] = json_page(
        f'{{"filename": "{FILENAME}", "url": "../../f/{FILENAME}", "hashes": {{"sha256": "{digest}"}}}}'
    )
    server.routes[f"/f/{FILENAME}"] = Reply()
    house = wheelhouse(f"{server.url}/simple/")
    assert house.fetch(locked(url.format(server=server.url))).read_bytes() == CONTENT
    assert "application/vnd.pypi.simple.v1+json" in server.asked("/simple/demo/")[0]["accept"]


def test_a_redirected_page_is_the_base_of_its_links(server, other, wheelhouse):
    server.routes["/simple/demo/"] = Reply(301, b"", {"Location": f"{other.url}/deep/demo/"})
    other.routes["/deep/demo/"] = html(f'<a href="{FILENAME}">demo</a>')
    other.routes[f"/deep/demo/{FILENAME}"] = Reply()
    assert wheelhouse(f"{server.url}/simple").fetch(locked()).read_bytes() == CONTENT


def test_the_second_index_is_asked_when_the_first_has_nothing(server, other, wheelhouse):
    server.routes["/simple/demo/"] = html('<a href="demo-2.0-py3-none-any.whl">demo</a>')
    other.routes["/simple/demo/"] = html(f'<a href="{FILENAME}">demo</a>')
    other.routes[f"/simple/demo/{FILENAME}"] = Reply()
    house = wheelhouse(f"{server.url}/simple", f"{other.url}/simple")
    assert house.fetch(locked()).read_bytes() == CONTENT


def test_another_hash_in_the_index_is_said_and_not_downloaded(server, wheelhouse):
    server.routes["/simple/demo/"] = html(f'<a href="{FILENAME}#sha256={"0" * 64}">demo</a>')
    server.routes[f"/simple/demo/{FILENAME}"] = Reply()
    with pytest.raises(WheelError, match="with another sha256") as caught:
        wheelhouse(f"{server.url}/simple").fetch(locked())
    assert "the lock has no URL" in caught.value.why
    assert server.asked(f"/simple/demo/{FILENAME}") == []


def test_wrong_bytes_from_an_index_are_refused(server, wheelhouse, tmp_path):
    server.routes["/simple/demo/"] = html(f'<a href="{FILENAME}">demo</a>')
    server.routes[f"/simple/demo/{FILENAME}"] = Reply(body=b"wrong")
    with pytest.raises(WheelError, match="not the file that was locked"):
        wheelhouse(f"{server.url}/simple").fetch(locked())
    assert cached(tmp_path) == []


@pytest.mark.parametrize("body", ["[]", "{", '{"files": [{"url": "x"}]}', '{"files": 3}', '{"files": [3]}'])
def test_a_malformed_page_is_reported(body):
    with pytest.raises(Unavailable, match="malformed"):
        parse_page(body.encode(), "application/vnd.pypi.simple.v1+json", "http://example.com/simple/demo/")


def test_an_html_page_with_a_malformed_link_is_reported():
    with pytest.raises(Unavailable, match="malformed"):
        parse_page(b'<a href="http://[">x</a>', "text/html", "http://example.com/simple/demo/")


def test_html_links_with_base_and_escapes():
    page = b'<base href="/files/"><a href="demo-1.0%2Bcpu-py3-none-any.whl#sha256=AB&amp;x=1">demo</a><a name="x">no link</a>'
    [file] = parse_page(page, "text/html", "http://example.com/simple/demo/")
    assert file.filename == "demo-1.0+cpu-py3-none-any.whl"
    assert file.url == "http://example.com/files/demo-1.0%2Bcpu-py3-none-any.whl"
    assert file.sha256 == "ab"


def test_indexes_come_from_the_environment():
    environ = {
        "UV_DEFAULT_INDEX": "corp=https://one.example.com/simple",
        "UV_INDEX_CORP_USERNAME": "me@corp",
        "UV_INDEX_CORP_PASSWORD": "p/w",
        "PIP_INDEX_URL": "https://two.example.com/simple",
        "UV_INDEX": "https://three.example.com/simple https://two.example.com/simple",
        "PIP_EXTRA_INDEX_URL": "https://four.example.com/simple /a/directory",
    }
    assert configured_indexes(environ) == (
        "https://me%40corp:p%2Fw@one.example.com/simple",
        "https://two.example.com/simple",
        "https://three.example.com/simple",
        "https://four.example.com/simple",
    )
    assert configured_indexes({}) == ()


def test_the_users_uv_toml_counts(tmp_path):
    (tmp_path / ".config/uv").mkdir(parents=True)
    (tmp_path / ".config/uv/uv.toml").write_text(
        'extra-index-url = ["https://two.example.com/simple"]\n'
        '[[index]]\nname = "mine"\nurl = "https://one.example.com/simple"\n'
    )
    environ = {"HOME": str(tmp_path), "UV_INDEX_MINE_USERNAME": "me", "UV_INDEX_MINE_PASSWORD": "p"}
    found = ("https://me:p@one.example.com/simple", "https://two.example.com/simple")
    assert configured_indexes(environ) == found
    assert configured_indexes({**environ, "HOME": "", "XDG_CONFIG_HOME": str(tmp_path / ".config")}) == found
    assert configured_indexes({**environ, "UV_NO_CONFIG": "1"}) == ()
    other = tmp_path / "other.toml"
    other.write_text('index-url = "https://three.example.com/simple"\n')
    assert configured_indexes({**environ, "UV_CONFIG_FILE": str(other)}) == ("https://three.example.com/simple",)
    other.write_text("not toml")
    assert configured_indexes({**environ, "UV_CONFIG_FILE": str(other)}) == ()


def test_the_environment_counts_when_no_index_is_given(server, wheelhouse, monkeypatch):
    server.routes["/simple/demo/"] = html(f'<a href="{FILENAME}">demo</a>')
    server.routes[f"/simple/demo/{FILENAME}"] = Reply()
    monkeypatch.setenv("PIP_INDEX_URL", f"{server.url}/simple")
    assert wheelhouse().fetch(locked()).read_bytes() == CONTENT


def test_progress_restores_patience(server, tmp_path, pauses):
    """A long file over a bad line comes through, although the tries in a row are few."""
    long = CONTENT * 16
    server.routes["/long.whl"] = [Reply(body=long, cut=1_100_000) for _ in range(7)] + [Reply(body=long)]
    target = tmp_path / "long.whl"
    joined = Downloader(pause=pauses.append).file(
        f"{server.url}/long.whl", target, size=len(long), heard=lambda _position: None
    )
    assert joined
    assert target.read_bytes() == long
    assert len(pauses) == 7


@pytest.mark.parametrize("position", [-1, -700, 5])
@pytest.mark.parametrize("end", ["kept", "gone", "damaged"])
def test_a_stored_wheel_whose_end_has_changed_is_fetched_again(server, wheelhouse, position, end):
    """A bit of the zip file's directory (a mode) is in no RECORD."""
    server.routes["/demo.whl"] = Reply()
    wheel = locked(f"{server.url}/demo.whl")
    path = wheelhouse().fetch(wheel)
    if end != "kept":
        path.with_name("end").unlink()
    if end == "damaged":
        path.with_name("end").write_bytes(b"\xff")
    assert wheelhouse().fetch(wheel) == path
    assert len(server.asked("/demo.whl")) == 1, "the whole file is verified where its end is not known"
    data = bytearray(CONTENT)
    data[position] ^= 1
    path.write_bytes(data)
    assert wheelhouse().fetch(wheel).read_bytes() == CONTENT
    assert len(server.asked("/demo.whl")) == 2
