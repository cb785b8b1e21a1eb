"""Requests that tests send by clients of other libraries while they run under load: each has a row."""

from __future__ import annotations

import gc
import json
import socketserver
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from loadkit.server.demo import Demo

pytest_plugins = "pytester"

RUNS = 12

FAST = """
import fastapi
from fastapi.testclient import TestClient

app = fastapi.FastAPI()

@app.get("/items/{item}")
def item(item: int): return {"id": item}

client = TestClient(app)
"""

FLASK = """
import flask

app = flask.Flask("it")

@app.get("/items/<int:item>")
def item(item): return {"id": item}
"""

HTTP_CLIENT = """
import http.client

def fetch(url):
    connection = http.client.HTTPConnection(url.split("/")[2])
    connection.request("GET", "/items/3")
    assert b"3" in connection.getresponse().read()
    connection.close()
"""

CUT_SHORT = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\nno more than this"


@pytest.fixture
def cutting() -> Iterator[str]:
    """The address of a server that sends a part of each body."""

    class Cut(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.recv(65536)
            self.request.sendall(CUT_SHORT)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Cut) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,)).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def run(project: pytest.Pytester, code: str, *arguments: str) -> tuple[dict[str, Any], pytest.RunResult]:
    """Run `test_it` so often under load; the stored result, and what was printed."""
    project.makepyfile(test_it=code)
    load = ["--load-threads", "3", "--load-iterations", str(RUNS), "--load-json", "out", *arguments]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        found = project.runpytest_inprocess("-p", "no:cacheprovider", "-W", "ignore", *load)
        # clients of modules are closed by nobody, and no later test is to be blamed for it
        gc.collect()
    (file,) = Path(project.path, "out").glob("*.json")
    result: dict[str, Any]
    (result,) = json.loads(file.read_text(encoding="utf-8"))["results"]
    return result, found


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ("import requests", "assert requests.get(URL).json()['id'] == 3"),
        ("import requests\nold = requests.Session()", "assert old.get(URL).json()['id'] == 3"),
        (
            "import requests\nfrom requests.adapters import HTTPAdapter",
            "s = requests.Session()\n    s.mount('http://', HTTPAdapter(max_retries=2))\n    s.get(URL)",
        ),
        ("import httpx", "assert httpx.get(URL).json()['id'] == 3"),
        ("import httpx\nold = httpx.Client()", "assert old.get(URL).json()['id'] == 3"),
        ("import urllib3", "assert urllib3.PoolManager().request('GET', URL).json()['id'] == 3"),
        (
            "import urllib3\nold = urllib3.PoolManager()",
            "reply = old.request('GET', URL, preload_content=False)\n    reply.read()\n    reply.release_conn()",
        ),
        ("import urllib3", "urllib3.connection_from_url(URL).request('GET', URL)"),
        ("import urllib.request", "with urllib.request.urlopen(URL) as reply: assert b'3' in reply.read()"),
        (HTTP_CLIENT, "fetch(URL)"),
        (
            "import aiohttp",
            "async with aiohttp.ClientSession() as s, s.get(URL) as reply: assert (await reply.json())['id'] == 3",
        ),
        (
            "from aiohttp import ClientSession",
            "async with ClientSession() as s:\n        async with s.get(URL) as reply: assert reply.status == 200",
        ),
        (FAST, "assert client.get('/items/3').json()['id'] == 3"),
        (FLASK, "assert app.test_client().get('/items/3').json['id'] == 3"),
        (FLASK + "client = app.test_client()", "assert client.get('/items/3').json['id'] == 3"),
    ],
)
def test_each_request_is_counted_in_its_row_and_known_to_be_within_its_test(
    project: pytest.Pytester, demo: Demo, head: str, body: str
):
    keyword = "async def" if "async with" in body else "def"
    code = f"{head}\nURL = '{demo.url}/items/3'\n\n{keyword} test_it():\n    {body}\n\ndef test_pure(): pass\n"

    result, found = run(project, code)

    found.assert_outcomes(passed=2)
    (row,) = result["endpoints"]
    assert row["name"].startswith("GET ")
    assert row["name"].endswith("/items/{id}")
    assert (row["requests"], row["statuses"]) == (RUNS / 2, {"200": RUNS / 2})
    assert row["response_time"]["min"] > 0
    assert {one["name"]: one["endpoints"] for one in result["timings"]} == {"test_it": [row["name"]], "test_pure": []}
    notes = {one["code"]: one["message"] for one in result["caveats"]}
    assert notes["no-requests"].startswith("no request was seen within test_pure: if they send some")
    assert "unknown-client" not in notes
    found.stdout.fnmatch_lines(["- no-requests: no request was seen within test_pure*"])


OTHERS = """
import asyncio, pytest, requests, socket

@pytest.fixture
def prepared():
    with socket.create_connection((HOST, PORT)): yield

def test_plain(prepared):
    requests.get(URL)
    with socket.create_connection((HOST, PORT)): requests.get(URL)

async def test_async():
    requests.get(URL)
    _, writer = await asyncio.open_connection(HOST, PORT)
    writer.close()

def test_well(prepared): requests.get(URL)

def test_alone():
    with socket.create_connection((HOST, PORT)): pass

def test_pure(): pass
"""


@pytest.mark.parametrize("processes", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_where_else_a_test_connects_is_noted_also_beside_requests_that_are_seen(
    project: pytest.Pytester, demo: Demo, processes: str
):
    host, port = demo.url.removeprefix("http://").split(":")
    head = f"URL, HOST, PORT = '{demo.url}/items/3', '{host}', {port}\n"

    result, found = run(project, head + OTHERS, "--load-processes", processes, "--load-iterations", "30")

    found.assert_outcomes(passed=5)
    notes = {one["code"]: one["message"] for one in result["caveats"]}
    places = ", ".join(f"{name} ({host}:{port})" for name in ("test_plain", "test_async", "test_alone"))
    assert f"by a client that loadkit does not know within {places}: what is sent there" in notes["unknown-client"]
    assert notes["no-requests"].startswith("no request was seen within test_pure: ")
    found.stdout.fnmatch_lines(["- unknown-client: connections were opened by a client *"])


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ("import httpx", "httpx.get(URL)"),
        ("import urllib3", "urllib3.request('GET', URL, retries=False)"),
        ("import urllib.request", "urllib.request.urlopen(URL).read()"),
        (HTTP_CLIENT, "fetch(URL)"),
        ("import aiohttp", "async with aiohttp.ClientSession() as s, s.get(URL) as reply: await reply.read()"),
    ],
)
@pytest.mark.parametrize("is_up", [False, True])
def test_a_server_that_is_down_or_cuts_replies_short_is_a_failure_of_the_request_too(
    project: pytest.Pytester, cutting: str, head: str, body: str, *, is_up: bool
):
    url = f"{cutting}/items" if is_up else "http://127.0.0.1:1/items"
    keyword = "async def" if "async with" in body else "def"

    result, found = run(project, f"{head}\nURL = '{url}'\n\n{keyword} test_it():\n    {body}\n")

    found.assert_outcomes(failed=1)
    (row,) = result["endpoints"]
    assert sum(row["failures"].values()) == row["requests"] > 0


def test_a_reply_that_nobody_reads_is_counted(project: pytest.Pytester, demo: Demo):
    code = f"""
import aiohttp, http.client, urllib3

async def test_it():
    async with aiohttp.ClientSession() as session:
        async with session.get("{demo.url}/bytes/1000000"): pass
    urllib3.PoolManager().request("GET", "{demo.url}/items/3", preload_content=False).close()
"""

    result, _ = run(project, code)

    assert [row["requests"] for row in result["endpoints"]] == [RUNS, RUNS]


def test_what_was_made_before_is_as_it_was_when_the_load_is_over(project: pytest.Pytester, demo: Demo):
    import http.client

    import httpx
    import urllib3

    client = httpx.Client()
    parts = [httpx.Client, httpx.HTTPTransport, urllib3.HTTPConnectionPool, http.client.HTTPConnection]
    pools = dict(urllib3.poolmanager.pool_classes_by_scheme)

    result, _ = run(project, f"import httpx, urllib3\ndef test_it(): httpx.get('{demo.url}/items/3')\n")

    assert result["total"]["requests"] == RUNS
    assert type(client._transport) is httpx.HTTPTransport
    again = [httpx.Client, httpx.HTTPTransport, urllib3.HTTPConnectionPool, http.client.HTTPConnection]
    assert again == parts
    assert urllib3.poolmanager.pool_classes_by_scheme == pools


def test_requests_stand_below_the_test_that_sends_them_alone(project: pytest.Pytester, demo: Demo):
    code = f"""
import requests

def test_one():
    requests.get("{demo.url}/items/3")
    requests.get("{demo.url}/health")

def test_two():
    requests.get("{demo.url}/health")
"""

    _, found = run(project, code)

    found.stdout.fnmatch_lines(
        [
            "test *",
            "  tests under load *",
            "    test_one *",
            "      GET /items/{id} *",
            "    test_two *",
            "    GET /health (in 2 tests) *",
        ],
        consecutive=True,
    )


def test_a_threshold_names_a_request_by_its_path(project: pytest.Pytester, demo: Demo):
    code = f"import requests\ndef test_it(): requests.get('{demo.url}/items/3')\n"

    _, kept = run(project, code, "--load-threshold", "GET /items/{id}: p99 < 50s")
    _, missed = run(project, code, "--load-threshold", "GET /items/{id}: p99 < 1ns")

    kept.assert_outcomes(passed=1)
    missed.assert_outcomes(failed=1)


def test_of_very_many_kinds_of_requests_the_slowest_are_shown(project: pytest.Pytester, demo: Demo):
    names = [f"a{chr(97 + k)}" for k in range(25)]
    code = f"import requests\ndef test_it():\n    for name in {names}: requests.get(f'{demo.url}/{{name}}')\n"

    _, short = run(project, code)
    _, full = run(project, code, "--load-report", "full")

    rows = [sum("GET /a" in line for line in found.outlines) for found in (short, full)]
    assert rows == [20, 25]
    assert "  the 20 slowest of 25 kinds of requests; --load-report full shows all" in short.outlines
