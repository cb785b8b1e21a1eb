"""Endpoints with a feed, all the way: what the server heard is what stood in the file."""

from __future__ import annotations

import http.server
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from loadkit import Endpoint, Scenario, UsageError, rows, run
from loadkit.clock import ManualClock
from loadkit.drive.stats import Driven
from loadkit.plan.data import Rows
from loadkit.plan.errors import FeedError
from loadkit.plan.part import Part
from loadkit.plan.units import MILLISECOND
from loadkit.server.demo import Demo
from loadkit.wire.base import Failure
from loadkit.wire.fake import FakeReply, FakeWire
from tests.drive.driving import on_wire


@pytest.fixture
def users(tmp_path: Path) -> Path:
    """Two hundred users, whose numbers are those of items of the demo server."""
    path = tmp_path / "users.csv"
    path.write_text("id,name\n" + "".join(f'{n},"Nö. {n} & co"\n' for n in range(1, 201)))
    return path


@contextmanager
def server() -> Iterator[tuple[str, list[tuple[str, bytes, int]]]]:
    """A server and what it heard: targets, bodies, and how many bytes each request had."""
    heard: list[tuple[str, bytes, int]] = []

    class Answer(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one piece

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            head = len(self.requestline) + 2 + len("\r\n")
            head += sum(len(f"{name}: {value}\r\n") for name, value in self.headers.items())
            heard.append((self.path, body, head + len(body)))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body) % 7))
            self.end_headers()
            self.wfile.write(b"x" * (len(body) % 7))

        def log_message(self, *_: Any) -> None:
            """Be quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{httpd.server_address[1]}", heard
        finally:
            httpd.shutdown()
            thread.join()


def test_each_row_is_sent_once_by_one_of_eight_threads(users: Path) -> None:
    fed = Endpoint("POST", "/users/{id}", json={"name": "{name}"}, feed=rows(users, at_end="stop"))
    with server() as (url, heard):
        result = run(Scenario(base_url=url, endpoints=[fed], threads=8, iterations=200))

    assert result.statuses == {200: 200}
    assert sorted(int(target.removeprefix("/users/")) for target, _, _ in heard) == list(range(1, 201))
    assert {body for _, body, _ in heard} == {b'{"name": "N\\u00f6. %d & co"}' % n for n in range(1, 201)}
    assert result.scenario.endpoints == ["POST /users/{id}"]
    assert result.total.bytes_sent == sum(size for _, _, size in heard)


def test_a_check_sees_the_reply_to_its_row(demo: Demo, users: Path) -> None:
    seen: list[tuple[str, int]] = []

    def is_the_item(reply: Any) -> None:
        seen.append((reply.url, reply.json()["id"]))

    fed = Endpoint("GET", "/items/{id}", check=is_the_item, feed=rows(users, at_end="stop"))
    result = run(Scenario(base_url=demo.url, endpoints=[fed], threads=8, iterations=200))

    assert result.statuses == {200: 200}
    assert sorted(seen) == sorted((f"{demo.url}/items/{n}", n) for n in range(1, 201))


def targets(scenario: Scenario) -> list[str]:
    """What one thread of a scenario asks for, in order."""
    clock = ManualClock()
    wire = FakeWire(clock, FakeReply(after=MILLISECOND))
    on_wire(scenario, wire, clock)
    return [request.url.rpartition("/")[2] for request in wire.sent]


def test_shuffled_is_another_order_and_the_same_each_time(users: Path) -> None:
    def asked(order: Any) -> list[str]:
        fed = Endpoint("GET", "http://fake/{id}", feed=rows(users, order=order))
        return targets(Scenario(endpoints=[fed], threads=1, iterations=200))

    in_order = [str(n) for n in range(1, 201)]
    assert asked("file") == in_order
    assert asked("shuffled") == asked("shuffled") != in_order
    assert sorted(asked("shuffled"), key=int) == in_order


def test_endpoints_share_the_rows_they_were_both_given(users: Path) -> None:
    shared = rows(users)
    one, two = (Endpoint("GET", "http://fake/{id}", name=name, feed=shared) for name in ("one", "two"))
    assert targets(Scenario(endpoints=[one, two], threads=1, iterations=6)) == list("123456")

    own = two.replace(feed=rows(users))
    assert targets(Scenario(endpoints=[one, own], threads=1, iterations=6)) == list("112233")


def test_fed_and_other_endpoints_go_side_by_side(users: Path) -> None:
    endpoints = [
        Endpoint("GET", "http://fake/{id}", feed=rows(users)),
        Endpoint("GET", "http://fake/{{id}}", name="raw"),
    ]
    assert targets(Scenario(endpoints=endpoints, threads=1, iterations=4)) == ["1", "{id}", "2", "{id}"]


@pytest.mark.parametrize(
    ("fields", "target", "body"),
    [
        ({"path": "/a/{{id}}"}, "/a/%7Bid%7D", b""),
        ({"params": {"q": "{{id}}"}}, "/?q=%7Bid%7D", b""),
        ({"path": "/{}/{1}/{a:b}"}, "/%7B%7D/%7B1%7D/%7Ba:b%7D", b""),
        ({"json": {"a": "{{id}}"}}, "/", b'{"a": "{id}"}'),
        ({"json": {"query": "{me{{name}}} { me }"}}, "/", b'{"query": "{me{name}} { me }"}'),
        ({"data": '{"a": {{id}}, "b": "{{x}}"}'}, "/", b'{"a": {id}, "b": "{x}"}'),
        # bytes are sent as they are: these are as often templates of somebody else's
        ({"data": b"{id} {{x}}"}, "/", b"{id} {{x}}"),
        ({"data": {"a": "{{id}}"}}, "/", b"a=%7Bid%7D"),
    ],
    ids=str,
)
def test_braces_of_an_endpoint_without_a_feed_are_text(fields: dict[str, Any], target: str, body: bytes) -> None:
    plain = Endpoint("POST", **{"path": "/"} | fields, name="plain")
    clock = ManualClock()
    wire = FakeWire(clock)

    on_wire(Scenario(base_url="http://fake", endpoints=[plain], threads=1, iterations=1), wire, clock)

    head, _, content = wire.sent[0].payload.partition(b"\r\n\r\n")
    assert (head.split()[1].decode(), content) == (target, body)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "there is no file '{}' to take rows from"),
        ("name\nAnn\n", "{}:1 has no column 'id' for GET /items/{{id}}; it has name"),
        ("id\n", "{} has no rows"),
    ],
)
def test_bad_data_is_said_before_anything_is_sent(tmp_path: Path, text: str | None, said: str) -> None:
    path = tmp_path / "users.csv"
    if text is not None:
        path.write_text(text)
    endpoints = [Endpoint("GET", "/items/1"), Endpoint("GET", "/items/{id}", feed=rows(path))]
    scenario = Scenario(base_url="http://127.0.0.1:9", endpoints=endpoints, threads=1, iterations=2)
    with pytest.raises(UsageError) as caught:
        run(scenario)
    assert str(caught.value) == said.format(path)

    wire = FakeWire(ManualClock())
    with pytest.raises(UsageError):
        on_wire(scenario, wire, ManualClock())
    assert wire.sent == []


def test_a_row_that_cannot_be_put_in_its_place_is_said_before_the_start(tmp_path: Path) -> None:
    fed = Endpoint("GET", "http://127.0.0.1:9/", name="x", headers={"X-Name": "{name}"}, feed=rows([{"name": "日本"}]))
    with pytest.raises(FeedError, match=r"^the list of rows: cannot fill x with \{'name': '\*\*\*'\}: "):
        run(Scenario(endpoints=[fed], iterations=1))


class Unwritable:
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __str__(self) -> str:
        raise self.error

    def __repr__(self) -> str:
        if isinstance(self.error, SystemExit):
            return "<unwritable>"  # pytest shows values, and would end
        raise self.error


def spoilt(value: Any) -> Rows:
    """Rows of which the forty-first cannot be written."""
    return rows({"v": k if k < 40 else value} for k in range(1000))


class Expires:
    """Signs forty requests, and two before the start, and then raises."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.left = 42

    def __call__(self, prepared: Any) -> Any:
        self.left -= 1
        if self.left < 0:
            raise self.error
        return prepared


FILLED: dict[str, dict[str, Any]] = {
    "path": {"path": "/u/{v}"},
    "query": {"params": {"q": "{v}"}},
    "header": {"headers": {"X-V": "{v}"}},
    "form": {"data": {"a": "{v}"}},
    "text": {"data": "a {v}"},
    "part of a string of JSON": {"json": {"a": "x {v}"}},
    "whole string of JSON": {"json": {"a": "{v}"}},
    "file": {"files": {"a": "{v}"}},
}
RAISED = [
    RuntimeError("no such thing"),
    KeyError("no such thing"),
    RecursionError("no such thing"),
    UnicodeError("no such thing"),
    SystemExit("no such thing"),
]


@pytest.mark.parametrize(
    ("place", "error"),
    # each place with one error, and each error at one place
    [*((place, RAISED[0]) for place in FILLED), *(("path", error) for error in RAISED[1:]), ("path", None)],
    ids=repr,
)
def test_a_row_that_cannot_be_written_in_mid_run_keeps_what_was_measured(
    place: str, error: BaseException | None
) -> None:
    feed = spoilt(Unwritable(error) if error else [object()])
    fed = Endpoint("POST", **{"path": "/u"} | FILLED[place], name="post", feed=feed)
    with server() as (url, heard):
        result = run(Scenario(base_url=url, endpoints=[fed], threads=1, duration="20s"))

    assert (result.requests, result.statuses) == (len(heard), {200: 40})
    assert result.outcome not in ("passed", "interrupted")
    halted = next(caveat.message for caveat in result.caveats if caveat.code == "halted")
    assert "cannot fill post with " in halted
    assert ("no such thing" if error else "not JSON serializable") in halted


@pytest.mark.parametrize("error", [RAISED[0], RAISED[-1]], ids=repr)
def test_an_auth_that_raises_in_mid_run_keeps_what_was_measured_and_its_line_is_named(error: BaseException) -> None:
    fed = Endpoint("POST", "/u/{v}", auth=Expires(error), feed=rows([{"v": 1}]))
    with server() as (url, heard):
        result = run(Scenario(base_url=url, endpoints=[fed], threads=1, duration="20s"))

    assert (result.requests, result.statuses) == (len(heard), {200: 40})
    assert result.outcome not in ("passed", "interrupted")
    halted = next(caveat.message for caveat in result.caveats if caveat.code == "halted")
    assert re.search(rf"auth raised {type(error).__name__}: .* at {Path(__file__).name}:\d+: raise self.error", halted)


def test_an_auth_that_raises_at_once_is_the_user_s_mistake_before_anything_is_sent() -> None:
    signed = Endpoint("POST", "/u", auth=lambda _: 1 // 0)
    with server() as (url, heard):
        with pytest.raises(UsageError, match=r"^cannot make a request of POST /u: auth raised ZeroDivisionError: "):
            run(Scenario(base_url=url, endpoints=[signed], threads=1, duration="20s"))
        assert heard == []


def open_run(feed: Rows, clock: ManualClock, wire: FakeWire, **fields: Any) -> Driven:
    """Ten requests a second, of one thread."""
    fed = Endpoint("GET", "http://fake/{n}", feed=feed)
    scenario = Scenario(endpoints=[fed], rate="10/s", max_threads=1, **fields)
    return on_wire(scenario, wire, clock)


def test_in_an_open_workload_a_row_is_in_its_place_before_the_instant() -> None:
    clock = ManualClock()
    taken: list[int] = []

    def source() -> Iterator[dict[str, int]]:
        while True:
            taken.append(clock.now())
            yield {"n": len(taken)}

    done = open_run(rows(source()), clock, FakeWire(clock), duration="1s")

    # the first row is looked at before the start, and is that of the first arrival
    expected = [due * 100 * MILLISECOND + MILLISECOND for due in range(9)]
    assert taken[0] < done.stats.measured_from
    assert [at - done.stats.measured_from for at in taken][1:10] == expected


def test_rows_that_end_end_an_open_run_when_the_next_is_due_and_not_when_it_is_looked_for() -> None:
    clock = ManualClock()
    wire = FakeWire(clock)

    done = open_run(rows([{"n": n} for n in range(5)], at_end="stop"), clock, wire, duration="10s")

    assert done.recording.total().requests == 5
    assert done.stats.halted == "the list of rows has 5 rows and each was used once"
    assert done.stats.stopped_at - done.stats.measured_from == 500 * MILLISECOND


def test_a_row_that_was_drawn_in_the_warm_up_and_not_sent_is_sent_later() -> None:
    clock = ManualClock()
    wire = FakeWire(clock, FakeReply(after=110 * MILLISECOND))

    open_run(rows([{"n": n} for n in range(1000)], at_end="stop"), clock, wire, warmup="1s", duration="1s")

    sent = [int(request.payload.split()[1][1:]) for request in wire.sent]
    assert sent == list(range(len(sent)))
    assert 18 <= len(sent) <= 20


@pytest.mark.parametrize("failure", [None, Failure("timeout", "no whole reply within 10 s")])
def test_bytes_are_counted_as_they_are_of_other_requests(failure: Failure | None) -> None:
    fed = Endpoint("POST", "http://fake/", data="{text}", feed=rows([{"text": "x" * 10}, {"text": "y" * 1000}]))
    scenario = Scenario(endpoints=[fed], threads=1, iterations=2)
    clock = ManualClock(1)
    wire = FakeWire(clock, FakeReply(failure=failure))

    done = on_wire(scenario, wire, clock)

    lengths = [len(sent.payload) for sent in wire.sent]
    assert lengths[1] - lengths[0] == 990 + len("1000") - len("10")
    assert done.recording.total().bytes_sent == sum(lengths)


def test_what_was_never_sent_has_no_bytes(free_port: int) -> None:
    fed = Endpoint("GET", "/{n}", feed=rows([{"n": 1}]))
    result = run(Scenario(base_url=f"http://127.0.0.1:{free_port}", endpoints=[fed], threads=1, iterations=2))
    assert (result.failures, result.total.bytes_sent) == ({"connect": 2}, 0)


def test_what_is_cut_at_the_end_has_no_bytes(demo: Demo) -> None:
    fed = Endpoint("GET", "/delay/{n}", feed=rows([{"n": 30}]))
    ends: dict[str, Any] = {"duration": "200ms", "graceful_stop": "100ms"}
    result = run(Scenario(base_url=demo.url, endpoints=[fed], threads=1, **ends))
    assert (result.total.cut, result.requests, result.total.bytes_sent) == (1, 0, 0)


def test_parts_of_a_scenario_take_each_row_once() -> None:
    fed = Endpoint("GET", "http://fake/{n}", feed=rows([{"n": n} for n in range(100)], order="shuffled", at_end="stop"))
    scenario = Scenario(endpoints=[fed], threads=3, seed=7)
    clock = ManualClock()
    wire = FakeWire(clock, FakeReply(after=MILLISECOND))
    for part in range(3):
        on_wire(scenario, wire, clock, part=Part(number=part, count=3))
    assert sorted(int(sent.url.rpartition("/")[2]) for sent in wire.sent) == list(range(100))
