"""Published lists: whole, checked, and gone on with where a connection broke."""

import hashlib
import logging
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from unipool import download
from unipool.fetch import fetch_list

LIST = b"".join(b"1 id%05d/a.wav id%05d/b.wav\n" % (i, i) for i in range(10_000))
PAGE = b"\n<!DOCTYPE html>\n<html><title>Sign in</title></html>\n"


def sha256(content):
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class Server(ThreadingHTTPServer):
    """Serves one content; what it was asked stands in ``asked``.

    Attributes:
        breaks_after: how many bytes of each answer are sent, from the first request on.
        errors: status codes with which the first requests are answered.
        ranges: whether a part can be asked for.
        told_length: whether the length of an answer is told.
    """

    def __init__(self, content):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = content
        self.asked, self.agents = [], set()
        self.breaks_after, self.errors = [], []
        self.ranges = self.told_length = True

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/lists/trials.txt"


class Handler(BaseHTTPRequestHandler):
    """Answers as its server says."""

    def do_GET(self):
        server = self.server
        asked = self.headers["Range"]
        server.asked.append(asked)
        server.agents.add(self.headers["User-Agent"])
        if server.errors:
            self.send_error(server.errors.pop(0))
            return
        first = 0
        if asked and server.ranges:
            first = int(asked.removeprefix("bytes=").removesuffix("-"))
            if first >= len(server.content):
                self.send_error(416)
                return
            self.send_response(206)
        else:
            self.send_response(200)
        body = server.content[first:]
        if server.told_length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(
            body[: server.breaks_after.pop(0)] if server.breaks_after else body
        )

    def log_message(self, *_):
        pass


@pytest.fixture
def serve(monkeypatch):
    """Start servers, without proxies and without pauses."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download, "WAITS_SECONDS", (0.0, 0.01, 0.01, 0.01))
    servers = []

    def start(content=LIST):
        server = Server(content)
        servers.append(server)
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def file(tmp_path):
    return tmp_path / "lists" / "trials.txt"


@pytest.fixture
def partial(file):
    file.parent.mkdir()
    return file.with_name("trials.txt.partial")


def names(file):
    return sorted(path.name for path in file.parent.iterdir())


def test_a_list_is_downloaded_and_nothing_else_is_left(serve, file, caplog):
    server = serve()

    with caplog.at_level(logging.INFO):
        fetch_list(url=server.url, checksum=sha256(LIST).upper(), file=file)

    assert file.read_bytes() == LIST
    assert names(file) == ["trials.txt"]
    assert server.asked == [None]
    assert all(agent.startswith("unipool") for agent in server.agents)
    assert f"download {server.url}" in caplog.text


def test_a_list_whose_length_is_not_told_is_downloaded(serve, file):
    server = serve()
    server.told_length = False

    fetch_list(url=server.url, checksum=sha256(LIST), file=file)

    assert file.read_bytes() == LIST


def test_a_broken_connection_is_gone_on_with(serve, file):
    server = serve()
    server.breaks_after = [100_000, 50_000]

    fetch_list(url=server.url, checksum=sha256(LIST), file=file)

    assert file.read_bytes() == LIST
    assert server.asked == [None, "bytes=100000-", "bytes=150000-"]


def test_what_was_received_survives_a_failure_and_is_gone_on_with(serve, file):
    server = serve()
    server.breaks_after = [1000] * 5

    with pytest.raises(ValueError, match=r"broke off after 5000 of 300000 .* 5 tries"):
        fetch_list(url=server.url, checksum=sha256(LIST), file=file)

    assert names(file) == ["trials.txt.partial"]

    fetch_list(url=server.url, checksum=sha256(LIST), file=file)

    assert server.asked[-1] == "bytes=5000-"
    assert file.read_bytes() == LIST


def test_a_server_that_gives_no_parts_starts_anew(serve, file):
    server = serve()
    server.ranges = False
    server.breaks_after = [1000]

    fetch_list(url=server.url, checksum=sha256(LIST), file=file)

    assert server.asked == [None, "bytes=1000-"]
    assert file.read_bytes() == LIST


@pytest.mark.parametrize("begun", [b"of another file", LIST + b"and more"])
def test_a_partial_file_that_is_none_of_this_list_is_replaced(
    serve, file, partial, begun
):
    partial.write_bytes(begun)

    fetch_list(url=serve().url, checksum=sha256(LIST), file=file)

    assert file.read_bytes() == LIST
    assert names(file) == ["trials.txt"]


@pytest.mark.parametrize("error", [429, 500, 503])
def test_a_server_that_is_busy_is_asked_again(serve, file, error):
    server = serve()
    server.errors = [error] * 4

    fetch_list(url=server.url, checksum=sha256(LIST), file=file)

    assert len(server.asked) == 5
    assert file.read_bytes() == LIST


def test_a_list_that_is_not_there_is_asked_for_once(serve, file):
    server = serve()
    server.errors = [404]

    with pytest.raises(
        ValueError, match=r"trials\.txt: the server answers 404"
    ) as error:
        fetch_list(url=server.url, checksum=sha256(LIST), file=file)

    assert f"by other means to {file}.partial" in str(error.value)
    assert server.asked == [None]
    assert names(file) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"1 a b\n", "6 bytes with {found}, needed is {wanted}; the file has"),
        (PAGE, r"{found}.* it is a web page, not a list \('<!doctype html>"),
    ],
)
def test_another_content_is_told_and_not_kept(serve, file, content, message):
    with pytest.raises(
        ValueError, match=message.format(found=sha256(content), wanted=sha256(LIST))
    ):
        fetch_list(url=serve(content).url, checksum=sha256(LIST), file=file)

    assert names(file) == []


@pytest.fixture
def nowhere(serve):
    """Give a URL where nobody answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return f"http://127.0.0.1:{port}/trials.txt"


def test_without_a_connection_it_is_told_where_to_put_the_list(nowhere, file):
    with pytest.raises(ValueError, match=r"refused.* 5 tries; .* other means") as error:
        fetch_list(url=nowhere, checksum=sha256(LIST), file=file)

    assert f"{file}.partial, where it is checked and taken" in str(error.value)


def test_a_list_that_was_put_there_is_taken_without_a_connection(
    nowhere, file, partial
):
    partial.write_bytes(LIST)

    fetch_list(url=nowhere, checksum=sha256(LIST), file=file)

    assert file.read_bytes() == LIST
    assert names(file) == ["trials.txt"]


def test_a_wrong_list_that_was_put_there_is_told_and_left(nowhere, file, partial):
    partial.write_bytes(b"1 a b\n")

    with pytest.raises(
        ValueError, match=f"now 6 bytes with {sha256(partial.read_bytes())}"
    ):
        fetch_list(url=nowhere, checksum=sha256(LIST), file=file)

    assert partial.read_bytes() == b"1 a b\n"


def test_a_file_of_this_machine_may_be_named(tmp_path, file, partial):
    (tmp_path / "a list.txt").write_bytes(LIST)
    partial.write_bytes(LIST[:10])

    url = (tmp_path / "a list.txt").as_uri()
    fetch_list(url=url, checksum=sha256(LIST), file=file)

    assert file.read_bytes() == LIST


def test_a_file_that_is_not_there_is_an_error(tmp_path, file):
    url = (tmp_path / "none.txt").as_uri()

    with pytest.raises(ValueError, match=r"none\.txt: cannot be read .*No such file"):
        fetch_list(url=url, checksum=sha256(LIST), file=file)


@pytest.mark.parametrize(
    ("url", "checksum", "message"),
    [
        ("lists/trials.txt", f"sha256:{0:064}", "not a URL"),
        ("ftp://x.org/trials.txt", f"sha256:{0:064}", "not a URL"),
        ("http:trials.txt", f"sha256:{0:064}", "not a URL"),
        ("http://x.org/a b", f"sha256:{0:064}", "cannot be read"),
        ("http://x.org/a", f"sha256:{0:063}", "64 hexadecimal digits"),
        ("http://x.org/a", f"md5:{0:031}g", "or `md5:` and 32"),
        ("http://x.org/a", f"{0:064}", "needed is `sha256:`"),
    ],
)
def test_what_cannot_be_asked_for_is_an_error(file, url, checksum, message):
    with pytest.raises(ValueError, match=message):
        fetch_list(url=url, checksum=checksum, file=file)


def test_a_list_may_be_known_by_its_md5(serve, file):
    checksum = f"md5:{hashlib.md5(LIST).hexdigest()}"

    fetch_list(url=serve().url, checksum=checksum, file=file)
    with pytest.raises(ValueError, match=f"bytes with md5:.* needed is {checksum}"):
        fetch_list(url=serve(PAGE).url, checksum=checksum, file=file)

    assert file.read_bytes() == LIST
