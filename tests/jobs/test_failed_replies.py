"""What is shown of replies that failed: the first of each reason, as the server sent it."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from requests import Response

from loadkit import Endpoint, Scenario, Session, rows, run
from loadkit.judge.merge import merge
from loadkit.judge.rows import FailureExample
from loadkit.report.json import load
from loadkit.report.layout import Layout
from loadkit.report.text import text_report
from tests.conftest import Call
from tests.wire.peer import Line, Peer, replies, reply, then_close

JSON = "Content-Type: application/json"


def failing(answer: bytes, *, requests: int = 3, path: str = "/orders?token=abc", **fields) -> FailureExample:
    """The only reason for the failures of requests that are answered so."""
    with closing(Peer(replies(answer))) as peer:
        endpoint = Endpoint("GET", path, **fields)
        found = run(Scenario(base_url=peer.url, endpoints=[endpoint], threads=1, iterations=requests))
    (example,) = found.total.examples
    assert example.count == requests
    return example


def test_an_error_shows_what_the_server_said():
    body = b'{"detail": [{"loc": ["body", "sku"], "msg": "field required"}]}'
    example = failing(reply(body, JSON, "X-Request-Id: 7f", "Date: today", status="422 Unprocessable"))

    found = example.reply
    assert found is not None
    assert (found.method, found.status, found.body) == ("GET", 422, body.decode())
    assert found.url.endswith("/orders"), "the query may hold secrets"
    assert found.headers == {"content-type": "application/json", "x-request-id": "7f"}


BODIES = [
    (b"a" * 5_000, (), "a" * 1_000),
    ("ä".encode() * 600, (), "ä" * 500),
    ("ü".encode("latin-1"), ("Content-Type: text/plain; charset=latin-1",), "ü"),
    (gzip.compress(b"try again " * 50, mtime=0), ("Content-Encoding: gzip",), "try again " * 50),
    (gzip.compress(bytes(range(256)) * 200, mtime=0), ("Content-Encoding: gzip",), "(no text: it begins "),
    (b"\x89PNG\0\0\xff\xfe\xfd", (), "(no text: it begins b'\\x89PNG"),
    (b"x", ("Content-Encoding: br",), "(the content coding 'br' "),
    (b"no gzip at all", ("Content-Encoding: gzip",), "(the gzip body does not decode"),
    (
        b'{"password": "pw1", "ok": "pw2", "api_key": 91827, "a": {"token": "pw\\"3',
        (),
        '{"password": "***", "ok": "pw2"',
    ),
    (b"", (), ""),
]


@pytest.mark.parametrize(("body", "headers", "shown"), BODIES, ids=range(len(BODIES)))
def test_a_body_is_shown_as_text_without_its_secrets(body: bytes, headers: tuple[str, ...], shown: str):
    found = failing(reply(body, *headers, status="500 Oops")).reply

    assert found is not None
    assert found.body.startswith(shown)
    assert len(found.body) <= 1_000
    assert not any(secret in found.body for secret in ("pw1", "pw\\", "91827"))


def test_a_check_that_fails_shows_the_reply_it_was_shown():
    found = failing(reply(b'{"stock": 0}', JSON), check=lambda one: one.json()["stock"] > 0).reply

    assert found is not None
    assert (found.status, found.body) == (200, '{"stock": 0}')


def test_where_a_library_raised_the_place_is_the_line_that_called_it():
    def is_json(found: Response) -> None:
        found.json()

    message = failing(reply(b"<html>"), check=is_json).message
    assert message.startswith("JSONDecodeError: Expecting value")
    assert re.search(r" at test_failed_replies\.py:\d+: found\.json\(\)$", message)


def test_what_was_not_kept_or_never_came_is_not_shown():
    assert failing(reply(b"created"), expect=201).reply is None, "no check looks at its body, and it is no error"

    def cut(line: Line) -> None:
        line.send(reply(b"no such thing", status="404 Not Found"))
        line.request()
        line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
        line.close()

    with closing(Peer(replies(cut))) as peer:
        found = run(Scenario(base_url=peer.url, endpoints=[Endpoint("GET", "/")], threads=1, iterations=2))
    shown = {one.kind: one.reply and one.reply.body for one in found.total.examples}
    assert shown == {"check": "no such thing", "disconnect": None}


def test_it_is_the_first_that_failed_so_and_its_url_is_the_one_that_was_sent(tmp_path: Path):
    (tmp_path / "ids.csv").write_text("id\n1\n2\n3\n4\n")

    def answer(line: Line) -> None:
        number = line.heard[-1].split()[1].rpartition(b"/")[2]
        is_good = number == b"1"
        line.send(reply(b"no item " + number, status="200 OK" if is_good else "404 Not Found"))

    with closing(Peer(replies(answer))) as peer:
        endpoint = Endpoint("GET", "/items/{id}", feed=rows(tmp_path / "ids.csv"))
        found = run(Scenario(base_url=peer.url, endpoints=[endpoint], threads=1, iterations=4))
    (example,) = found.total.examples
    assert example.reply is not None
    assert (example.count, example.reply.url[-8:], example.reply.body) == (3, "/items/2", "no item 2")


def simple(http: Session) -> None:
    http.get("/cart?token=abc")


def read_on(http: Session) -> None:
    """The way through requests, which pulls the body piece by piece."""
    assert http.get("/cart?token=abc", stream=True).raw.read()


def upload(http: Session) -> None:
    http.get("/cart", params={"token": "abc"}, files={"list": b"tea"})


@pytest.mark.parametrize("journey", [simple, read_on, upload])
def test_of_a_journey_s_requests_the_first_that_failed_so_is_shown(journey: Callable[[Session], None]):
    body = b'{"detail": "no such cart", "token": "pw1"}'
    answers = [reply(b"fine"), reply(body, JSON, status="404 Not Found"), reply(b"later", status="404 Not Found")]
    with closing(Peer(replies(*answers))) as peer:
        found = run(Scenario(base_url=peer.url, endpoints=[journey], threads=1, iterations=3))

    (example,) = found.total.examples
    assert (example.count, example.message) == (2, "status 404, expected 200-399")
    shown = example.reply
    assert shown is not None
    assert (shown.method, shown.url, shown.status) == ("GET", f"{peer.url}/cart", 404)
    assert (shown.headers, shown.body) == (
        {"content-type": "application/json"},
        '{"detail": "no such cart", "token": "***"}',
    )


def test_of_a_journey_s_request_without_a_reply_none_is_shown():
    def ask(http: Session) -> None:
        http.get("/a")

    cut = then_close(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
    with closing(Peer(replies(reply(b"no", status="404 Not Found"), cut))) as peer:
        found = run(Scenario(base_url=peer.url, endpoints=[ask], threads=1, iterations=2))
    assert {one.kind: one.reply and one.reply.body for one in found.total.examples} == {
        "check": "no",
        "disconnect": None,
    }


@pytest.mark.parametrize("processes", [1, 2])
def test_it_is_stored_merged_and_shown(call: Call, tmp_path: Path, processes: int):
    body = b'{"detail": "no \x1b[31mtea\x1b[0m left"}'
    with closing(Peer(replies(reply(body, JSON, status="409 Conflict")))) as peer:
        words = [f"{peer.url}/orders", "-n", "4", "-c", "2", "--processes", str(processes), "-d", "sku=tea"]
        done = call(*words, "-o", str(tmp_path / "r.json"), "--markdown", str(tmp_path / "r.md"))

    assert done.returncode == 1
    lines = [line.strip() for line in done.stdout.splitlines()]
    first = lines.index(f"first reply, 409 to POST {peer.url}/orders")
    assert lines[first + 1 : first + 3] == [
        "content-type: application/json",
        r'{"detail": "no \x1b[31mtea\x1b[0m left"}',
    ]
    (stored,) = load(tmp_path / "r.json")
    (example,) = merge([stored, stored]).total.examples
    assert (example.count, example.reply) == (8, stored.total.examples[0].reply)
    assert "first reply, 409" in (tmp_path / "r.md").read_text()
    assert all(len(line) <= 80 for line in text_report(stored, Layout(width=80)).splitlines())
