"""Endpoints that follow redirects: a row for each hop, an arrival once, and nothing that may be secret elsewhere."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest

from loadkit import Endpoint, Scenario, rows, run
from loadkit.judge.merge import merge
from loadkit.judge.result import Result
from loadkit.judge.validate import violations
from loadkit.plan.units import MILLISECOND
from loadkit.wire.base import Request
from loadkit.wire.fake import FakeReply
from tests.conftest import Call
from tests.drive.driving import on_fake
from tests.wire.peer import Line, Peer, replies, reply
from tests.witness.witness import watching


def redirect(place: str, status: str = "302 Found") -> bytes:
    return reply(b"moved", f"Location: {place}", status=status)


def site(places: dict[str, bytes]) -> Any:
    """A script that answers each path with what is said here, and others with `done`."""

    def answer(line: Line) -> None:
        path = line.heard[-1].split()[1].decode()
        line.send(places.get(path, reply(b"done")))

    return replies(answer)


def followed(places: dict[str, bytes], endpoint: Endpoint, **fields: Any) -> tuple[Result, list[bytes]]:
    with closing(Peer(site(places))) as peer:
        options: dict[str, Any] = {"threads": 1, "iterations": 2, "timeout": "5s"} | fields
        found = run(Scenario(base_url=peer.url, endpoints=[endpoint], **options))
        return found, peer.heard


def test_an_arrival_is_the_endpoints_once_from_due_to_the_last_hop():
    places = {"/a": ("/b?id=1", 1), "/b?id=1": ("/c/17", 2), "/c/17": ("", 4)}

    def answer(request: Request, _: int) -> FakeReply:
        place, span = places[request.payload.split()[1].decode()]
        headers = {"Location": place} if place else {}
        return FakeReply(status=302 if place else 200, headers=headers, after=span * MILLISECOND, body=b"12345")

    endpoint = Endpoint("GET", "/a", follow=True, expect=200)
    driven = on_fake(Scenario(base_url="http://fake", endpoints=[endpoint], threads=1, iterations=3), answer)

    found = {
        label: (dict(counts.statuses), counts.response_time.mean, counts.bytes_received)
        for label, counts in driven.recording.labels.items()
    }
    assert found == {
        "GET /a": ({200: 3}, 7 * MILLISECOND, 15),
        "GET /b (redirected)": ({302: 3}, 2 * MILLISECOND, 15),
        "GET /c/{id} (redirected)": ({200: 3}, 4 * MILLISECOND, 15),
    }


METHODS = [
    ("GET", "301 Moved", "GET", ""),
    ("HEAD", "302 Found", "HEAD", ""),
    ("POST", "301 Moved", "GET", ""),
    ("POST", "302 Found", "GET", ""),
    ("PUT", "302 Found", "PUT", "tea"),
    ("PUT", "303 See", "GET", ""),
    ("POST", "307 Again", "POST", "tea"),
    ("PUT", "308 Again", "PUT", "tea"),
]


@pytest.mark.parametrize(("method", "status", "after", "body"), METHODS)
def test_the_method_and_the_body_go_along_as_with_browsers(method: str, status: str, after: str, body: str):
    def answer(line: Line) -> None:
        first, *_ = line.heard[-1].split(b"\r\n")
        is_old = b"/old" in first
        lines = [f"HTTP/1.1 {status if is_old else '200 OK'}", "Location: /new", "Content-Length: 0", "", ""]
        line.send("\r\n".join(lines).encode())

    data: dict[str, Any] = (
        {} if method in ("GET", "HEAD") else {"data": "tea", "headers": {"Content-Type": "text/plain"}}
    )
    with closing(Peer(replies(answer))) as peer:
        endpoint = Endpoint(method, "/old", follow=True, **data)
        assert run(Scenario(base_url=peer.url, endpoints=[endpoint], threads=1, iterations=1)).passed
    head, _, content = peer.heard[1].decode().partition("\r\n\r\n")
    assert (head.split()[0], head.split()[1], content) == (after, "/new", body)
    assert ("Content-Type: text/plain" in head) == bool(body)


def test_what_may_be_a_credential_stays_with_its_host_and_port_and_does_not_come_back():
    headers = {"Authorization": "Bearer pw1", "Cookie": "id=pw2", "X-Api-Key": "pw3", "Accept": "text/html"}
    with closing(Peer(site({}))) as home, closing(Peer(site({"/there": redirect(f"{home.url}/back")}))) as other:
        home.scripts = (site({"/start": redirect("/near"), "/near": redirect(f"{other.url}/there")}),)
        endpoint = Endpoint("GET", "/start", follow=True, headers=headers)
        found = run(Scenario(base_url=home.url, endpoints=[endpoint], threads=1, iterations=1))
        by_path = {one.split()[1].decode(): one.decode() for one in [*home.heard, *other.heard]}

    assert found.passed
    assert all("pw" in by_path[path] for path in ("/start", "/near"))
    for path in ("/there", "/back"):
        assert "pw" not in by_path[path]
        assert "Accept: text/html" in by_path[path]
    assert f"Host: {other.url.removeprefix('http://')}\r\n" in by_path["/there"]
    assert [row.name for row in found.endpoints] == [
        "GET /start",
        "GET /near (redirected)",
        f"GET {other.url}/there (redirected)",
        "GET /back (redirected)",
    ]


BAD = [
    ("ftp://127.0.0.1/x", "protocol", "a redirect leads to 'ftp://127.0.0.1/x'; http and https are followed"),
    ("http://", "protocol", "which is no URL"),
    ("http://127.0.0.1:99999/", "protocol", "Port out of range"),
    ("http://nothing.invalid/", "dns", "nothing.invalid"),
    ("/again", "protocol", "more than 30 redirects"),
]


@pytest.mark.parametrize(("place", "kind", "message"), BAD)
def test_a_place_that_is_not_followed_fails_the_request_and_the_run_goes_on(place: str, kind: str, message: str):
    places = {"/a": redirect(place), "/again": redirect("/again")}
    found, heard = followed(places, Endpoint("GET", "/a", follow=True))

    row = found["GET /a"]
    assert (row.requests, row.failures) == (2, {kind: 2})
    assert message in row.examples[0].message
    assert found.requests == 2
    assert len(heard) == sum(one.requests for one in found.endpoints) == (62 if place == "/again" else 2)


def test_the_last_reply_is_the_one_that_counts():
    missing = {"/a": redirect("/gone"), "/gone": reply(b'{"why": "sold"}', status="404 Not Found")}
    found, _ = followed(missing, Endpoint("GET", "/a", follow=True))
    assert [(row.failures, row.failed_statuses) for row in found.endpoints] == [({"check": 2}, {404: 2})] * 2
    assert all(row.examples[0].reply and row.examples[0].reply.body == '{"why": "sold"}' for row in found.endpoints)

    expected, _ = followed(missing, Endpoint("GET", "/a", follow=True, expect=404))
    assert expected.passed

    seen: list[bytes] = []
    checked = Endpoint("GET", "/a", follow=True, check=lambda one: seen.append(one.content))
    followed({"/a": redirect("/b")}, checked)
    assert seen == [b"done"] * 2

    nowhere, _ = followed({"/a": reply(status="302 Found")}, Endpoint("GET", "/a", follow=True))
    assert [row.statuses for row in nowhere.endpoints] == [{302: 2}], "it leads nowhere"


def test_hops_hide_no_failures_in_the_total_and_make_it_no_faster():
    endpoint = Endpoint("GET", "/a", follow=True)
    limits = ["error_rate < 5%", "error_rate < 5% over 1s", "throughput > 50/s", "throughput > 50/s over 1s"]
    places = {"/a": redirect("/a")}
    endless, _ = followed(places, endpoint, iterations=None, duration="1200ms", thresholds=limits)
    total, arrivals = endless.total, endless["GET /a"]

    assert [one.passed for one in endless.thresholds] == [False] * 4
    assert (total.requests, total.error_rate, total.throughput) == (arrivals.requests, 1.0, 0.0)
    assert endless["GET /a (redirected)"].requests >= 30 * arrivals.requests > 0
    assert [one.total.requests for one in endless.intervals] == [
        row.requests for one in endless.intervals for row in one.endpoints if row.name == "GET /a"
    ]
    both = merge([endless, endless])
    assert (both.total.requests, both.error_rate) == (2 * total.requests, 1.0)
    assert [*violations(endless), *violations(both)] == []


def test_limits_on_errors_of_one_endpoint_leave_hops_alone_and_the_slowest_are_arrivals():
    missing = {"/a": redirect("/b"), "/b": redirect("/gone"), "/gone": reply(status="404 Not Found")}
    limited, _ = followed(missing, Endpoint("GET", "/a", follow=True), thresholds=["GET /a: error_rate <= 100%"])
    assert [one.threshold for one in limited.thresholds] == ["GET /a: error_rate <= 100%"]
    assert [*violations(limited), *limited.slowest] == []

    found, _ = followed({"/a": redirect("/b")}, Endpoint("GET", "/a", follow=True))
    assert [one.endpoint for one in found.slowest] == ["GET /a"] * 2


def test_rows_are_followed_each_to_its_place():
    places = {f"/old/{k}": redirect(f"/new/{k}") for k in range(4)}
    endpoint = Endpoint("GET", "/old/{id}", feed=rows([{"id": k} for k in range(4)]), follow=True)
    found, heard = followed(places, endpoint, iterations=4)
    assert {row.name: row.requests for row in found.endpoints} == {"GET /old/{id}": 4, "GET /new/{id} (redirected)": 4}
    assert [one.split()[1] for one in heard] == [path for k in range(4) for path in (b"/old/%d" % k, b"/new/%d" % k)]


def test_a_hop_that_is_under_way_at_the_end_is_cut_with_its_arrival():
    def answer(line: Line) -> None:
        if b"/slow" in line.heard[-1].split(b"\r\n")[0]:
            line.stall()
        line.send(redirect("/slow"))

    with closing(Peer(replies(answer))) as peer:
        endpoint = Endpoint("GET", "/a", follow=True)
        options: dict[str, Any] = {"threads": 1, "duration": "300ms", "graceful_stop": "100ms"}
        found = run(Scenario(base_url=peer.url, endpoints=[endpoint], **options))
    assert {row.name: (row.requests, row.cut) for row in found.endpoints} == {
        "GET /a": (0, 1),
        "GET /slow (redirected)": (0, 1),
    }


@pytest.mark.parametrize("load", [{"rate": "40/s", "duration": "1s"}, {"threads": 2, "iterations": 40}])
def test_a_server_that_counts_sees_each_hop_and_the_load_is_that_of_the_plan(load: dict[str, Any]):
    with watching() as witness:
        target = "/here?status=302&location=%2Fthere%3Fstatus%3D302%26location%3D%252Fend"
        scenario = Scenario(base_url=witness.url, endpoints=[Endpoint("GET", target, follow=True)], **load)
        found = run(scenario)
        log = witness.log()

    assert [len(log.of(path)) for path in ("/here", "/there", "/end")] == [40, 40, 40]
    assert sum(one.requests for one in found.endpoints) == len(log) == 120
    assert found.requests == 40
    assert found["GET /here"].requests == 40
    assert found.validity != "invalid"
    assert not {"load-differs", "asked-rate"} & {one.code for one in found.caveats}


@pytest.mark.parametrize("processes", ["1", "2"])
def test_the_command_line_follows(call: Call, processes: str):
    with closing(Peer(site({"/a": redirect("/b")}))) as peer:
        words = ("-n", "6", "-c", "2", "--processes", processes)
        assert "[200] 6\n" in call(f"{peer.url}/a", "-L", *words).stdout
        assert "[302] 6" in call(f"{peer.url}/a", *words).stdout
        assert "[200] 1\n" in call("curl", "-sL", f"{peer.url}/a", "-n", "1").stdout
    assert len(peer.heard) == 12 + 6 + 1 + 2, "where redirects lead that are not followed is asked once"


@pytest.mark.parametrize(
    ("path", "heard"),
    [
        ("/a/../b/./c", b"/a/../b/./c"),
        ("/%7Eme/%2e%2e/x?q=a%20b", b"/%7Eme/%2e%2e/x?q=a%20b"),
        ("/caf\u00e9", "/caf\u00e9".encode()),
        ("", b"/"),
    ],
)
def test_a_path_is_sent_as_it_is_written(call: Call, path: str, heard: bytes):
    with closing(Peer(site({}))) as peer:
        call(f"{peer.url}{path}", "--path-as-is", "-n", "1")
        call("curl", "--path-as-is", f"{peer.url}{path}", "-n", "1")
    assert [one.split()[1] for one in peer.heard] == [heard, heard]


def test_both_are_for_urls_alone(call: Call):
    done = call("shop.py", "-L")
    assert (done.returncode, done.stderr.partition(",")[0]) == (4, "loadkit: -L is for the request to a URL")
