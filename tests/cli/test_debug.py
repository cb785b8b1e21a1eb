"""`loadkit run --debug N`: the first exchanges whole, on stderr, whatever sent them, and without secrets."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path

import pytest

from loadkit.server.demo import Demo
from tests.conftest import Call
from tests.wire.peer import Line, Peer, replies, reply, then_close


def exchanges(stderr: str) -> list[list[str]]:
    """The lines of each exchange that is shown."""
    found = re.split(r"^(?=-- \d+: )", stderr, flags=re.MULTILINE)[1:]
    return [one.rstrip("\n").split("\n") for one in found]


def test_an_exchange_is_shown_as_it_went_over_the_wire(call: Call, demo: Demo):
    words = ("-n", "3", "-c", "1", "--json", '{"sku": "SKU-0001", "password": "pw1"}', "-u", "me:pw2")
    done = call(f"{demo.url}/orders?token=pw3", *words, "-H", "Cookie: id=pw4", "--debug", "1")

    assert done.returncode == 0
    (lines,) = exchanges(done.stderr)
    assert re.fullmatch(rf"-- 1: POST {demo.url}/orders, status 201 after [\d.]+ [mu]?s", lines[0])
    assert lines[1] == "> POST /orders?token=*** HTTP/1.1"
    assert {"> Authorization: ***", "> Cookie: ***", "> Content-Type: application/json"} <= set(lines)
    assert lines[lines.index(">") + 1] == '> {"sku": "SKU-0001", "password": "***"}'
    assert "< HTTP/1.1 201 Created" in lines
    assert re.fullmatch(r'< {"order": \d+, "sku": "SKU-0001"}', lines[-1])
    assert "pw" not in done.stderr
    assert not re.search("^[<>] ", done.stdout, re.MULTILINE), "stdout is the report's"


BODIES = [
    (reply(b"\x1b[2Ja\n::error::b"), [r"< \x1b[2Ja", r"< \x3a:error::b"]),
    (reply(b"a" * 5000), ["< " + "a" * 4096, "< ... the rest is not shown"]),
    (reply(b"\x89PNG\0\0"), ["< (no text: it begins b'\\x89PNG\\x00\\x00')"]),
    (reply(), []),
]


@pytest.mark.parametrize(("answer", "shown"), BODIES, ids=range(len(BODIES)))
def test_a_body_is_bounded_and_harmless(call: Call, answer: bytes, shown: list[str]):
    with closing(Peer(replies(answer))) as peer:
        found = exchanges(call(peer.url, "-n", "2", "-c", "1", "--debug", "2").stderr)

    # the second one goes another way through the wire
    assert len(found) == 2
    for lines in found:
        assert lines[len(lines) - lines[::-1].index("<") :] == shown


def test_what_got_no_reply_says_why(call: Call):
    cut = then_close(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
    with closing(Peer(replies(reply(b"first"), cut))) as peer:
        _, (second, *lines) = exchanges(call(peer.url, "-n", "2", "-c", "1", "--debug", "9").stderr)

    assert second.startswith(f"-- 2: GET {peer.url}/, no reply after ")
    assert ": connection closed after " in second
    assert lines[0] == "> GET / HTTP/1.1"
    assert not [line for line in lines if line.startswith("<")]


FILE = """\
from loadkit import Endpoint, Scenario, rows

def log_in(http):
    http.post("/orders", json={"sku": "SKU-0001", "token": "pw1"})
    http.get("/status/401")

def browse(http):
    http.get("/items/1", headers={"X-Api-Key": "pw2"})
    http.get("/health", stream=True).close()

item = Endpoint("GET", "/items/{id}", feed=rows([{"id": k} for k in range(1, 9)]))
journey = Scenario(endpoints=[browse], threads=1, iterations=1)
endpoint = Scenario(endpoints=[item], threads=2, iterations=8)
"""


def shown(call: Call, demo: Demo, folder: Path, name: str, *words: str) -> list[list[str]]:
    (folder / "shop.py").write_text(FILE)
    done = call(f"{folder / 'shop.py'}::{name}", "--base-url", demo.url, *words)
    assert "pw" not in done.stderr
    return exchanges(done.stderr)


def test_those_of_a_journey_are_shown_however_they_were_sent(call: Call, demo: Demo, tmp_path: Path):
    first, second = shown(call, demo, tmp_path, "journey", "--debug", "5")
    assert first[1] == "> GET /items/1 HTTP/1.1"
    assert "> X-Api-Key: ***" in first
    assert first[-1].startswith("< {")
    assert second[1] == "> GET /health HTTP/1.1"


@pytest.mark.parametrize("processes", ["1", "2"])
def test_of_rows_and_processes_the_first_ones_are_shown(call: Call, demo: Demo, tmp_path: Path, processes: str):
    found = shown(call, demo, tmp_path, "endpoint", "--debug", "2", "--processes", processes)
    assert len(found) == 2
    assert all(re.fullmatch(r"> GET /items/\d HTTP/1.1", lines[1]) for lines in found)
    assert all(lines[-1].startswith("< {") for lines in found)


def test_once_shows_each(call: Call, demo: Demo, tmp_path: Path):
    assert len(shown(call, demo, tmp_path, "endpoint", "--once", "--debug", "9")) == 1


def test_the_requests_of_a_set_up_that_failed_are_shown(call: Call, tmp_path: Path):
    def answer(line: Line) -> None:
        line.send(reply(b"wrong password", status="401 Unauthorized"))

    (tmp_path / "in.py").write_text(
        "from loadkit import Journey, Scenario\n"
        "def log_in(http):\n    http.get('/login').raise_for_status()\n"
        "def browse(http):\n    pass\n"
        "shop = Scenario(endpoints=[Journey(browse, setup=log_in)], threads=1, iterations=1)\n"
    )
    with closing(Peer(replies(answer))) as peer:
        done = call(str(tmp_path / "in.py"), "--base-url", peer.url, "--debug", "1")
    assert done.returncode == 6
    (lines,) = exchanges(done.stderr.partition("\nloadkit: ")[0])
    assert lines[-1] == "< wrong password"


@pytest.mark.parametrize("number", ["0", "-1", "few"])
def test_a_number_that_is_none_is_refused(call: Call, number: str):
    done = call("http://127.0.0.1:1/", "--debug", number)
    assert done.returncode == 4
    assert re.fullmatch(rf"loadkit: --debug takes a whole number .*, not {number!r}\n", done.stderr)
