"""Requests that what sets up has filled: a token of the run or of each thread, with a row of data for each login."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from loadkit import Endpoint, Journey, Scenario, UsageError, hold, ramp, rows, run
from loadkit.report.html import html_report
from loadkit.report.json import dump
from loadkit.report.layout import Layout
from loadkit.report.text import text_report
from tests.conftest import Call

SECRET = "s3cr3t"


class Asked(NamedTuple):
    """A request as the server got it."""

    method: str
    target: str
    authorization: str | None
    body: str


class Shop:
    """A server that gives each user a token, and answers 401 to those that have none."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []

    def of(self, start: str) -> Counter[Asked]:
        """What was asked for where the target begins so."""
        return Counter(one for one in self.asked if one.target.startswith(start))


def handler_of(shop: Shop) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one write

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            authorization = self.headers.get("Authorization")
            shop.asked.append(Asked(self.command, self.path, authorization, body))
            is_known = self.path != "/me" or (authorization or "").startswith("Bearer token-of-")
            made = {"token": f"token-of-{json.loads(body)['user']}"} if self.path == "/login" and body else {}
            content = json.dumps(made).encode()
            self.send_response(200 if is_known else 401)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = answer  # noqa: N815 - as the library calls them

        def log_message(self, *_: object) -> None:
            """No line for each request."""

    return Handler


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
def url(shop: Shop) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler_of(shop)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def login(http: Any, row: Any) -> Iterator[dict[str, str]]:
    """Yields the token of a user; logs out."""
    yield {"token": http.post("/login", json=dict(row)).json()["token"]}
    http.get("/logout")


ME = Endpoint("GET", "/me", headers={"Authorization": "Bearer {token}"})
USERS = [{"user": name} for name in "abc"]


def test_what_the_setup_returns_fills_each_place_of_a_plain_endpoint(url: str, shop: Shop):
    ends = [
        Endpoint("POST", "/p/{name}/{{name}}", params={"q": "{name}"}, headers={"Authorization": "x {id}"}),
        Endpoint("POST", "/json", json={"id": "{id}", "text": "no. {id}, {{id}}"}),
        Endpoint("POST", "/form", data={"name": "{name}"}),
        Endpoint("POST", "/text", data="for {name}"),
        Endpoint("POST", "/fed/{n}", data="{n} for {name}", feed=rows([{"n": 1}, {"n": 2}])),
    ]

    result = run(
        Scenario(base_url=url, endpoints=ends, setup=lambda http: {"id": 7, "name": "a&b"}, threads=1, iterations=10)
    )

    assert (result.outcome, result.requests) == ("passed", 10)
    assert shop.of("/") == {
        Asked("POST", "/p/a%26b/%7Bname%7D?q=a%26b", "x 7", ""): 2,
        Asked("POST", "/json", None, '{"id": 7, "text": "no. 7, {id}"}'): 2,
        Asked("POST", "/form", None, "name=a%26b"): 2,
        Asked("POST", "/text", None, "for a&b"): 2,
        Asked("POST", "/fed/1", None, "1 for a&b"): 1,
        Asked("POST", "/fed/2", None, "2 for a&b"): 1,
    }
    sizes = {row.name: row.bytes_sent for row in result.endpoints}
    assert sizes["POST /text"] == 2 * len(f"POST /text HTTP/1.1\r\n{head(url, 7)}for a&b"), "they have their own size"


def head(url: str, length: int) -> str:
    from loadkit._version import __version__

    host = url.removeprefix("http://")
    return (
        f"Host: {host}\r\nUser-Agent: loadkit/{__version__}\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate\r\n"
        f"Content-Length: {length}\r\n\r\n"
    )


LOADS: list[tuple[str, dict[str, Any], set[str]]] = [
    ("threads", {"threads": 3, "iterations": 30}, {"a", "b", "c"}),
    ("more threads than rows", {"threads": 5, "iterations": 30}, {"a", "b", "c"}),
    ("phases", {"phases": [ramp("200ms", to=3), hold("300ms")]}, {"a", "b", "c"}),
    ("a rate", {"rate": "40/s", "duration": "500ms", "threads": 3}, {"a", "b", "c"}),
]


@pytest.mark.parametrize(("load", "users"), [row[1:] for row in LOADS], ids=[row[0] for row in LOADS])
def test_each_thread_logs_in_with_a_row_of_its_own(url: str, shop: Shop, load: dict[str, Any], users: set[str]):
    result = run(Scenario(base_url=url, endpoints=[ME], thread_setup=login, thread_feed=rows(USERS), **load))

    assert result.outcome == "passed", "none was answered 401"
    asked = shop.of("/me")
    assert result.requests == sum(asked.values())
    assert {one.authorization for one in asked} <= {f"Bearer token-of-{user}" for user in users}
    logins = shop.of("/login")
    assert {json.loads(one.body)["user"] for one in logins} == users
    assert sum(logins.values()) == sum(shop.of("/logout").values()), "who has logged in logs out"


def test_in_several_processes_each_row_goes_to_one_thread(url: str, shop: Shop, tmp_path: Path, call: Call):
    (tmp_path / "shop.py").write_text(
        "from loadkit import Endpoint, Scenario, rows\n"
        "def key(http): return {'key': 'k1'}\n"
        "def login(http, row, shared): return {'token': http.post('/login', json=row).json()['token']}\n"
        f"browse = Scenario(base_url={url!r}, setup=key, thread_setup=login, thread_feed=rows({USERS}),\n"
        "    headers={'Authorization': 'Bearer {token}'}, endpoints=[Endpoint('GET', '/me?{key}')],\n"
        "    threads=3, iterations=40)\n"
    )

    done = call("run", str(tmp_path / "shop.py"), "--processes", "2")

    assert done.returncode == 0, done.stdout + done.stderr
    asked = shop.of("/me")
    assert {one.target for one in asked} == {"/me?k1"}
    assert {one.authorization for one in asked} == {f"Bearer token-of-{user}" for user in "abc"}
    assert sorted(shop.of("/login").values()) == [1, 1, 1]


def test_journeys_have_the_headers_and_what_the_thread_has_set_up(url: str, shop: Shop):
    def browse(http: Any, own: Any) -> None:
        assert own["token"].startswith("token-of-")
        http.get("/me").raise_for_status()

    headers = {"Authorization": "Bearer {token}"}
    result = run(
        Scenario(
            base_url=url,
            endpoints=[browse, ME.replace(headers={})],
            headers=headers,
            thread_setup=login,
            thread_feed=rows(USERS),
            threads=3,
            iterations=12,
        )
    )

    assert (result.outcome, result.timing("browse").requests) == ("passed", 6)
    assert {one.authorization for one in shop.of("/login")} == {None}
    assert None not in {one.authorization for one in shop.of("/me")}


@pytest.mark.parametrize("takes_rows", [False, True], ids=["set-up alone", "calls, too"])
def test_the_set_up_of_a_journey_takes_a_row_too(url: str, shop: Shop, takes_rows: bool):
    def login_once(http: Any, row: Any) -> str:
        return str(http.post("/login", json=row).json()["token"])

    def alone(http: Any, own: Any) -> None:
        http.get(f"/item/{own}")

    def called(http: Any, own: Any, row: Any) -> None:
        http.get(f"/item/{own}/{row['user']}")

    journey = Journey(called if takes_rows else alone, setup=login_once, feed=rows(USERS))
    result = run(Scenario(base_url=url, endpoints=[journey], threads=1, iterations=3))

    assert result.outcome == "passed"
    ends = ["/b", "/c", "/a"] if takes_rows else ["", "", ""]
    assert [one.target for one in shop.asked] == ["/login", *(f"/item/token-of-a{end}" for end in ends)]


# -- what cannot be filled


def nothing(http: Any) -> None:
    """As a set-up that returns nothing."""


def refused(http: Any, row: Any) -> None:
    assert http.get("/me").status_code == 200, "no such user"


UNFILLED: list[tuple[str, dict[str, Any], str]] = [
    (
        "nothing is returned",
        {"setup": nothing},
        "nothing fills {token} in GET /me: what sets up returned nothing by name; return a mapping like {'token': ...}",
    ),
    (
        "text is returned",
        {"thread_setup": lambda http: "abc"},
        "nothing fills {token} in GET /me: what sets up returned n",
    ),
    (
        "another name",
        {"setup": lambda http: {"tokn": SECRET, "id": 1}},
        "nothing fills {token} in GET /me: what sets up returned tokn, id",
    ),
    (
        "None, as of a login that failed",
        {"thread_setup": lambda http: {"token": None}},
        "nothing fills {token} in GET /me: what sets up returned None for it",
    ),
    (
        "of an endpoint with a feed",
        {"endpoints": [Endpoint("GET", "/{id}/{token}", feed=rows([{"id": 1}]), name="fed")], "setup": nothing},
        "nothing fills {token} in fed: ",
    ),
    (
        "in the headers of the scenario, for journeys",
        {"endpoints": [Journey(lambda http: None, name="j")], "headers": {"X": "{key}"}, "setup": nothing},
        "nothing fills {key} in the headers of the scenario: ",
    ),
    (
        "a line break",
        {"setup": lambda http: {"token": f"{SECRET}\nX: y"}},
        "what sets up: cannot fill GET /me with {'token': '***'}: ",
    ),
    (
        "the set-up of a thread fails",
        {"thread_setup": refused, "thread_feed": rows(USERS)},
        "the thread_setup failed: no such user\nassert 401 == 200",
    ),
    (
        "fewer rows than threads",
        {"thread_setup": login, "thread_feed": rows(USERS, at_end="stop"), "threads": 4},
        "the thread_setup failed: RowsUsedUp: the list of rows has 3 rows and each was used once",
    ),
    (
        "no row at all",
        {"thread_setup": login, "thread_feed": rows([])},
        "the list of rows has no rows",
    ),
]


@pytest.mark.parametrize(("fields", "message"), [row[1:] for row in UNFILLED], ids=[row[0] for row in UNFILLED])
def test_what_stays_unfilled_is_told_before_anything_is_sent(
    url: str, shop: Shop, fields: dict[str, Any], message: str
):
    scenario = Scenario(**{"base_url": url, "endpoints": [ME], "threads": 2, "iterations": 20, **fields})

    with pytest.raises(UsageError) as told:
        run(scenario)

    assert str(told.value).startswith(message)
    assert SECRET not in str(told.value)
    assert {one.target for one in shop.asked if one.authorization} <= {"/me"} - {"/me"}


MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"thread_setup": login}, "thread_setup takes a row and has no feed; write thread_feed=rows('users.csv')"),
    ({"thread_feed": "users.csv"}, "thread_feed takes rows like rows('users.csv'), not str"),
    ({"thread_setup": 1}, "thread_setup takes a function like def thread_setup(http): ..., not 1"),
]


@pytest.mark.parametrize(("fields", "message"), MISTAKES, ids=[row[1][:24] for row in MISTAKES])
def test_a_mistake_is_told_when_the_scenario_is_made(fields: dict[str, Any], message: str):
    with pytest.raises(UsageError) as told:
        Scenario(base_url="http://127.0.0.1:1", endpoints=[ME], **fields)

    assert str(told.value) == message


@pytest.mark.parametrize("report", [dump, html_report, lambda results: text_report(results[0], Layout(width=120))])
def test_what_was_filled_in_is_in_no_report(url: str, report: Callable[[Any], str]):
    endpoints = [
        Endpoint("GET", "/me", headers={"Authorization": "Basic {token}"}, name="header"),
        Endpoint("GET", "/me", params={"token": "{token}"}, name="query", expect=404),
        Endpoint("POST", "/me", json={"token": "{token}"}, name="body", expect=404),
    ]

    result = run(
        Scenario(base_url=url, endpoints=endpoints, setup=lambda http: {"token": SECRET}, threads=1, iterations=6)
    )

    assert result.outcome == "failed"
    assert SECRET not in report([result])


def test_a_thread_that_cannot_log_in_is_exit_code_6(url: str, call: Call, tmp_path: Path):
    (tmp_path / "shop.py").write_text(
        "from loadkit import Endpoint, Scenario\n"
        "def login(http): return {'token': http.get('/me').json()['token']}\n"
        f"browse = Scenario(base_url={url!r}, thread_setup=login, endpoints=[Endpoint('GET', '/{{token}}')])\n"
    )

    done = call("run", str(tmp_path / "shop.py"))

    assert done.returncode == 6
    assert "loadkit: the thread_setup failed: KeyError: 'token'\n  at shop.py:2 in login: " in done.stderr
