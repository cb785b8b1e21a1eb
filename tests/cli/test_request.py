"""The request to a URL as curl and hey are told of it: what the server is sent."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.conftest import Call
from tests.wire.peer import Peer, replies, reply


@pytest.fixture
def server() -> Iterator[Peer]:
    """A server that knows what it was sent."""
    with closing(Peer(replies(reply()))) as peer:
        yield peer


def sent(peer: Peer, nth: int = 0) -> tuple[str, dict[str, str], bytes]:
    """The nth request of `nth + 1`: its first line, its headers, its body."""
    assert len(peer.heard) == nth + 1
    head, _, body = peer.heard[nth].partition(b"\r\n\r\n")
    line, *lines = head.decode().split("\r\n")
    return line, dict(one.split(": ", 1) for one in lines), body


FORM, JSON = "application/x-www-form-urlencoded", "application/json"
REQUESTS = [
    ([], "GET", None, b""),
    (["-X", "delete"], "DELETE", None, b""),
    (["-m", "PUT", "-d", "a=1"], "PUT", FORM, b"a=1"),  # as hey has it
    (["-d", "a=1", "--data", "b=ü"], "POST", FORM, "a=1&b=ü".encode()),
    (["-d", "{}", "-T", "text/x"], "POST", "text/x", b"{}"),
    (["-d", "{}", "-H", "content-type: text/y"], "POST", None, b"{}"),
    (["-d", "@body.bin"], "POST", FORM, b"\x00\xff\n"),
    (["-d", "-"], "POST", FORM, b"piped"),
    (["-d", ""], "POST", FORM, b""),
    (["--json", '{"sku": "{tea}"}'], "POST", JSON, b'{"sku": "{tea}"}'),
    (["--json", "@body.json"], "POST", JSON, b"[1]\n"),
    (["--json", "@-", "-X", "PATCH"], "PATCH", JSON, b"5"),
]


@pytest.mark.parametrize(("words", "method", "kind", "body"), REQUESTS, ids=[" ".join(row[0]) for row in REQUESTS])
def test_a_request_to_a_url_is_made_as_curl_makes_it(
    words: list[str],
    method: str,
    kind: str | None,
    body: bytes,
    server: Peer,
    call: Call,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.chdir(tmp_path)
    Path("body.bin").write_bytes(b"\x00\xff\n")
    Path("body.json").write_bytes(b"[1]\n")
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"5" if "@-" in words else b"piped")))

    done = call(f"{server.url}/orders?q=1", "-n", "1", *words)

    assert done.returncode == 0, done.stderr
    line, headers, content = sent(server)
    assert line == f"{method} /orders?q=1 HTTP/1.1"
    assert headers.get("Content-Type") == kind
    assert content == body
    assert (f"  {method} /orders\n" in done.stdout) is (method != "GET"), "which the URL alone says"


def test_a_form_has_its_parts(server: Peer, call: Call, tmp_path: Path):
    (tmp_path / "tea.json").write_text("[1]")

    done = call(server.url, "-n", "1", "-F", "name=Ann", "-F", f"menu=@{tmp_path / 'tea.json'}")

    assert done.returncode == 0
    line, headers, body = sent(server)
    boundary = headers["Content-Type"].removeprefix("multipart/form-data; boundary=").encode()
    parts = [part.strip(b"\r\n").split(b"\r\n\r\n") for part in body.split(b"--" + boundary)[1:-1]]
    assert (line, [part[1] for part in parts]) == ("POST / HTTP/1.1", [b"Ann", b"[1]"])
    assert b'name="menu"; filename="tea.json"' in parts[1][0]


def test_credentials_are_of_the_environment_and_in_no_report(
    server: Peer, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PASSWORD", "s:esame")

    done = call(server.url, "-n", "1", "-u", "ann:${PASSWORD}", "-o", str(tmp_path / "r.json"))

    assert sent(server)[1]["Authorization"] == "Basic YW5uOnM6ZXNhbWU="
    stored = (tmp_path / "r.json").read_text()
    assert not any(secret in done.stdout + stored for secret in ("s:esame", "YW5uOnM6ZXNhbWU="))


@pytest.mark.parametrize("place", ["before", "behind"])
def test_the_command_may_be_left_out_and_options_stand_before_the_url_as_with_hey(
    place: str, server: Peer, call: Call, tmp_path: Path
):
    file = tmp_path / "shop.py"
    file.write_text(
        "from loadkit import Endpoint, Scenario\n"
        f"shop = Scenario(base_url={server.url!r}, endpoints=[Endpoint('GET', '/a')])\n"
    )
    for target in (server.url, str(file), f"{file}::shop", str(tmp_path)):
        words = ["-n", "1", target] if place == "before" else [target, "-n", "1"]
        assert call(*words).returncode == 0
    assert len(server.heard) == 4


def test_worker_processes_send_the_same_request(server: Peer, call: Call):
    done = call(server.url, "-n", "4", "-c", "2", "--processes", "2", "--json", '{"a": "ü"}', "-u", "a:b")

    assert done.returncode == 0, done.stderr
    assert len(server.heard) == 4
    assert all(one.startswith(b"POST / ") and one.endswith('\r\n\r\n{"a": "ü"}'.encode()) for one in server.heard)


def test_a_body_that_cannot_be_read_from_a_file_or_the_environment_is_named_before_anything_is_sent(
    server: Peer, call: Call
):
    for words, message in (
        (["-d", "@nothing.json"], "-d cannot read nothing.json: no such file or directory"),
        (["-u", "ann:${NO_SUCH}"], "-u wants the environment variable NO_SUCH, which is not set"),
    ):
        done = call(server.url, "-n", "1", *words)
        assert (done.returncode, done.stderr) == (4, f"loadkit: {message}\n")
    assert server.heard == []


URL = "{url}/a?b=1"
PASTED = [
    (["-X", "PUT", URL, "-d", "x=1"], "PUT /a?b=1", {"Content-Type": FORM}, b"x=1"),
    (["-XPATCH", "--data-raw", '{"a": 1}', "-H", "Content-Type: x/y", URL], "PATCH /a?b=1", {}, b'{"a": 1}'),
    (["-sSL", URL, "--compressed", "-o", "/dev/null", "-w", "%{time_total}"], "GET /a?b=1", {}, b""),
    (["-I", URL], "HEAD /a?b=1", {}, b""),
    (["-G", URL, "-d", "c=2", "--data-urlencode", "d=1&3"], "GET /a?b=1&c=2&d=1%263", {}, b""),
    (["--url", URL, "-uann:pw", "-b", "k=v", "-A", "me"], "GET /a?b=1", {"Cookie": "k=v", "User-Agent": "me"}, b""),
    (["--json", "[1]", URL, "-m", "5"], "POST /a?b=1", {"Content-Type": JSON}, b"[1]"),
]


@pytest.mark.parametrize(("words", "line", "headers", "body"), PASTED, ids=[" ".join(row[0]) for row in PASTED])
def test_a_pasted_curl_command_is_sent_as_curl_sends_it(
    words: list[str], line: str, headers: dict[str, str], body: bytes, server: Peer, call: Call
):
    words = [word.format(url=server.url) if word == URL else word for word in words]
    done = call("curl", *words, "-n", "1", "-c", "1")

    assert done.returncode == 0, done.stderr
    found, got, content = sent(server)
    assert (found, content) == (f"{line} HTTP/1.1", body)
    assert headers.items() <= got.items()
    if curl := shutil.which("curl"):
        subprocess.run([curl, *words], check=True, capture_output=True, timeout=10)
        found, theirs, content = sent(server, 1)
        assert (found, content, theirs.get("Content-Type")) == (f"{line} HTTP/1.1", body, got.get("Content-Type"))
        assert headers.items() <= theirs.items()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--proxy", "http://p", "http://h/"], "loadkit curl: option --proxy not recognized; leave it out, or "),
        (["-X", "GET"], "loadkit curl takes one URL, and 0 are given; write it like curl -X POST URL -c 10"),
        (["http://h/", "--data-raw", "@a"], "loadkit curl cannot send the body '@a' as it is; put it into a file: "),
        (["http://h/", "-X"], "loadkit curl: option -X requires argument; "),
    ],
)
def test_what_curl_can_and_loadkit_cannot_is_named(words: list[str], message: str, call: Call):
    done = call("curl", *words)

    assert done.returncode == 4
    assert done.stderr.startswith(f"loadkit: {message}")
