"""Redirects are replies like any others, and not what was meant: told with where they lead; the exit code stays."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from loadkit import Endpoint, Scenario, Session, rows, run
from loadkit.judge.result import Result


class Site(ThreadingHTTPServer):
    """Sends /products/ to /products, each hundredth /often/ not, and counts what it was asked for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: Counter[str] = Counter()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Site

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.asked[f"{self.command} {path}"] += 1
        is_often = path == "/often/" and self.server.asked["GET /often/"] % 100 == 50
        moved = path.endswith("/") and len(path) > 1 and not is_often
        self.send_response(307 if moved else 200)
        if moved:
            self.send_header("Location", f"{path[:-1]}?token=s3cret")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_GET  # noqa: N815 - what the library calls

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[Site]:
    server = Site()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def ran(site: Site, *endpoints: Any, iterations: int = 40) -> Result:
    return run(Scenario(base_url=site.url, endpoints=list(endpoints), threads=2, iterations=iterations))


def said(result: Result) -> list[str]:
    return [caveat.message for caveat in result.caveats if caveat.code == "redirects"]


def test_redirects_alone_are_doubted_with_where_they_lead_and_pass_all_the_same(site: Site):
    result = ran(site, Endpoint("GET", "/products/"), Endpoint("GET", "/"))

    (sentence,) = said(result)
    assert sentence == (
        "all 20 good replies (307) of GET /products/ were redirects to /products?token=***, which are not followed; "
        "request where they lead, let them be followed (follow=True, -L), or give the endpoint the status it expects"
    )
    assert (result.outcome, result.validity) == ("passed", "doubtful")
    assert result["GET /products/"].requests == 20
    assert site.asked["GET /products/"] == 21, "asked once more, when all was counted"


def test_nearly_all_of_them_are_as_good_as_all(site: Site):
    (sentence,) = said(ran(site, Endpoint("GET", "/often/"), iterations=100))

    assert sentence.startswith("99 of 100 good replies (307) of GET /often/ were redirects to /often?token=***, ")


@pytest.mark.parametrize(
    "endpoint",
    [Endpoint("POST", "/orders/"), Endpoint("GET", "/{name}/", feed=rows([{"name": "tea"}]), name="by name")],
    ids=["another order", "a row more"],
)
def test_what_would_change_something_is_not_asked_again(site: Site, endpoint: Endpoint):
    (sentence,) = said(ran(site, endpoint))

    assert sentence.startswith(
        f"all 40 good replies (307) of {endpoint.label} were redirects, which are not followed; "
    )
    assert sum(site.asked.values()) == 40


def test_who_expects_redirects_and_who_follows_them_is_not_told(site: Site):
    def browse(http: Session) -> None:
        http.get("/products/")

    result = ran(site, Endpoint("GET", "/products/", expect=307, name="meant"), browse, Endpoint("GET", "/"))

    assert said(result) == []
    assert result.validity in ("clean", "doubtful")


MOVED = """
import http.server, sys
class Moved(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/" else 302)
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Moved).serve_forever()
"""


def test_where_redirects_lead_is_asked_while_a_server_that_was_started_for_the_run_is_up():
    command = [sys.executable, "-c", MOVED, "{port}"]

    result = run(Scenario(server=command, endpoints=[Endpoint("GET", "/old")], threads=1, iterations=10))

    (sentence,) = said(result)
    assert "were redirects to /elsewhere, which are not followed" in sentence
