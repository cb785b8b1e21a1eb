"""Recordings of browsers become journeys: what is sent again, what is left out, and what comes from replies."""

from __future__ import annotations

import json
import re
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadkit.importer.har import read_har
from loadkit.importer.journey import journey_file
from loadkit.importer.kept import select
from tests.conftest import Call

URL = "http://shop.example"


def entry(method: str, url: str, at: float = 0.0, **more: Any) -> dict[str, Any]:
    """An entry of a HAR file; what `reply` is, JSON unless it is text, the reply was."""
    reply, status = more.pop("reply", {}), more.pop("status", 200)
    body = reply if isinstance(reply, str) else json.dumps(reply)
    kind = more.pop("kind", "application/json" if not isinstance(reply, str) else "text/html")
    post = more.pop("post", None)
    return {
        "startedDateTime": f"2026-11-28T13:00:{at:09.6f}Z",
        "time": more.pop("took", 10),
        "request": {
            "method": method,
            "url": URL + url if url.startswith("/") else url,
            "headers": [{"name": name, "value": value} for name, value in more.pop("headers", {}).items()],
            **({"postData": post} if post else {}),
        },
        "response": {
            "status": status,
            "headers": [{"name": name, "value": value} for name, value in more.pop("reply_headers", {}).items()],
            "content": {"mimeType": kind, "text": body},
            "redirectURL": more.pop("redirect", ""),
        },
        **more,
    }


def in_json(value: Any) -> dict[str, str]:
    return {"mimeType": "application/json", "text": json.dumps(value)}


def imported(folder: Path, *entries: Any, pages: Any = (), **options: Any) -> str:
    """The text of the file that is made of entries."""
    path = folder / "shop.har"
    path.write_text(json.dumps({"log": {"entries": entries, "pages": pages}}))
    return journey_file("shop", select(read_har(path), **options), source="shop.har").text


def journey_of(text: str) -> list[str]:
    """The statements of the journey, but for the first one, each on a line."""
    body = text.partition("def visit(http):\n")[2].partition("\n\n\n")[0]
    lines = re.sub(r"\(\n\s+", "(", re.sub(r",\n\s+\)", ")", body))
    lines = (
        re.sub(r"(?<=[,{\[])\n\s+", " ", re.sub(r",\n\s+([\]}])", r"\1", lines)).replace("{ ", "{").replace("[ ", "[")
    )
    first, *rest = [line[4:] for line in lines.split("\n")]
    assert first == "http.cookies.clear()  # somebody new each time"
    return rest


LOGIN: dict[str, Any] = {"post": in_json({"user": "ann", "password": "pw"})}
CASES: list[tuple[str, list[dict[str, Any]], list[str]]] = [
    (
        "a token in the JSON of a reply",
        [
            entry("POST", "/login", **LOGIN, reply={"data": {"access_token": "abc123"}}),
            entry("GET", "/me", headers={"Authorization": "Bearer abc123", "X-Client": "web"}),
        ],
        [
            'reply = http.post("/login", json={"user": "ann", "password": os.environ["PASSWORD"]})',
            'access_token = reply.json()["data"]["access_token"]',
            'http.get("/me", headers={"Authorization": f"Bearer {access_token}", "X-Client": "web"})',
        ],
    ),
    (
        "ids in a path, in JSON as text and as a number, in a form and in a query",
        [
            entry("GET", "/items", reply={"items": [{"id": 5}, {"id": 7, "sku": "SKU-0007"}]}),
            entry("GET", "/items/7"),
            entry("POST", "/cart", post=in_json({"item_id": 7, "item": "7", "sku": ["SKU-0007"]})),
            entry("POST", "/buy", post={"mimeType": "application/x-www-form-urlencoded", "text": "item_id=7&n=7"}),
            entry("GET", "/find?item=7&page=7"),
        ],
        [
            'reply = http.get("/items")',
            'item_id = reply.json()["items"][1]["id"]',
            'sku = reply.json()["items"][1]["sku"]',
            'http.get(f"/items/{item_id}")',
            'http.post("/cart", json={"item_id": item_id, "item": str(item_id), "sku": [sku]})',
            'http.post("/buy", data={"item_id": item_id, "n": "7"})',
            'http.get("/find", params={"item": item_id, "page": "7"})',
        ],
    ),
    (
        "what was typed first is only echoed, and what may be so by chance is not handed out",
        [
            entry("GET", "/search?q=greentea2026", reply={"query": "greentea2026", "total": 3, "day": "2026-11-28"}),
            entry("GET", "/search?q=greentea2026&page=3&day=2026-11-28&state=open", reply={"state": "open"}),
        ],
        [
            'http.get("/search", params={"q": "greentea2026"})',
            'http.get("/search", params={"q": "greentea2026", "page": "3", "day": "2026-11-28", "state": "open"})',
        ],
    ),
    (
        "the next page by its link, and what was made by its Location",
        [
            entry("GET", "/items", reply={"next": "/items?after=5"}),
            entry("GET", "/items?after=5"),
            entry("POST", "/notes", post=in_json({"a": 1}), status=201, reply_headers={"Location": "/notes/n-1/edit"}),
            entry("GET", "/notes/n-1/edit"),
            entry(
                "POST", "/notes", post=in_json({"a": 2}), status=201, reply_headers={"location": "/notes/note-4711x"}
            ),
            entry("DELETE", "/notes/note-4711x/lines"),
        ],
        [
            'reply = http.get("/items")',
            'next_ = reply.json()["next"]',
            "http.get(next_)",
            'reply = http.post("/notes", json={"a": 1})',
            'location = reply.headers["Location"]',
            "http.get(location)",
            'reply = http.post("/notes", json={"a": 2})',
            'note_id = reply.headers["Location"].rpartition("/")[2]',
            'http.delete(f"/notes/{note_id}/lines")',
        ],
    ),
    (
        "tokens in a form, in a meta element and in a cookie",
        [
            entry(
                "GET",
                "/login",
                reply="<input type=hidden value='a1b2&amp;c3' name='csrf'>"
                '<meta content="m9m9m9m9" name="csrf-token">',
                reply_headers={"Set-Cookie": "XSRF-TOKEN=x%3D1234; Path=/"},
            ),
            entry(
                "POST",
                "/login",
                headers={"X-CSRF-Token": "m9m9m9m9", "X-XSRF-TOKEN": "x=1234", "Cookie": "XSRF-TOKEN=x%3D1234"},
                post={
                    "mimeType": "application/x-www-form-urlencoded",
                    "params": [{"name": "csrf", "value": "a1b2&c3"}],
                },
            ),
        ],
        [
            'reply = http.get("/login")',
            'csrf_token = fields(reply.text)["csrf-token"]',
            'xsrf_token = unquote(http.cookies["XSRF-TOKEN"])',
            'csrf = fields(reply.text)["csrf"]',
            (
                'http.post("/login", headers={"X-CSRF-Token": csrf_token, "X-XSRF-TOKEN": xsrf_token}, '
                'data={"csrf": csrf})'
            ),
        ],
    ),
    (
        "an id that a path writes otherwise",
        [
            entry("GET", "/files", reply={"files": [{"key": "a b/c-12345678"}]}),
            entry("GET", "/files/a%20b%2Fc-12345678"),
        ],
        [
            'reply = http.get("/files")',
            'key = reply.json()["files"][0]["key"]',
            "http.get(f\"/files/{quote(key, safe='')}\")",
        ],
    ),
    (
        "redirects, followed by the session or not to be followed",
        [
            entry("POST", "/login", status=302, redirect=f"{URL}/home"),
            entry("GET", "/home", status=302, reply_headers={"Location": "/home/"}),
            entry("GET", "/home/", reply={"token": "after-all"}),
            entry("GET", "/a?token=after-all"),
            entry("GET", "/out", status=302, redirect="https://else.example/"),
        ],
        [
            'reply = http.post("/login")',
            'token = reply.json()["token"]',
            'http.get("/a", params={"token": token})',
            'http.get("/out", allow_redirects=False)',
        ],
    ),
    (
        "statuses and pauses as they were",
        [
            entry("GET", "/a", 0, took=100),
            entry("GET", "/b", 0.15),
            entry("GET", "/c", 1.5, status=404),
            entry("GET", "/d", 4),
        ],
        [
            'http.get("/a")',
            'http.get("/b")',
            'http.pause("1.34s")',
            "with http.expecting(404):",
            '    http.get("/c")',
            'http.pause("2.49s")',
            'http.get("/d")',
        ],
    ),
    (
        "bodies of all kinds",
        [
            entry("PUT", "/a", post={"mimeType": "text/plain", "text": "aGVsbG8=", "encoding": "base64"}),
            entry("PUT", "/b", post={"mimeType": "application/octet-stream", "text": "AP8=", "encoding": "base64"}),
            entry("PATCH", "/c", post={"mimeType": "application/merge-patch+json", "text": '{"a": 1}'}),
            entry("POST", "/d", post={"mimeType": "application/json", "text": '{"a": 1, "a": 2}'}),
            entry(
                "POST",
                "/e",
                post={
                    "mimeType": "multipart/form-data; boundary=xx",
                    "text": '--xx\r\nContent-Disposition: form-data; name="f"; filename="../a.txt"\r\n'
                    "Content-Type: text/csv\r\n\r\nx,y\r\n--xx--\r\n",
                },
            ),
            entry(
                "POST",
                "/f",
                post={
                    "mimeType": "multipart/form-data; boundary=yy",
                    "params": [{"name": "n", "value": "1"}, {"name": "f", "fileName": "a.bin", "value": "z"}],
                },
            ),
            entry("POST", "/g", post={"mimeType": "application/json", "text": ""}),
        ],
        [
            'http.put("/a", headers={"Content-Type": "text/plain"}, data="hello")',
            'http.put("/b", headers={"Content-Type": "application/octet-stream"}, data=b"\\x00\\xff")',
            'http.patch("/c", headers={"Content-Type": "application/merge-patch+json"}, json={"a": 1})',
            'http.post("/d", headers={"Content-Type": "application/json"}, data=\'{"a": 1, "a": 2}\')',
            'http.post("/e", files={"f": ("../a.txt", "x,y", "text/csv")})',
            'http.post("/f", files={"n": (None, "1"), "f": ("a.bin", "z", "application/octet-stream")})',
            'http.post("/g")',
        ],
    ),
    (
        "secrets, wherever the same one stands",
        [
            entry("GET", "/a?api_key=k-123456", headers={"X-Api-Key": "k-123456", "Authorization": "Basic YTpi"}),
            entry(
                "POST", "/b", post=in_json({"pin": 1234, "note": "k-123456", "jwt_of": "eyJhbGciOiJI.eyJzdWIi.c2ln"})
            ),
        ],
        [
            (
                'http.get("/a", params={"api_key": os.environ["API_KEY"]}, '
                'headers={"X-Api-Key": os.environ["API_KEY"], '
                '"Authorization": f"Basic {os.environ[\'AUTHORIZATION\']}"})'
            ),
            (
                'http.post("/b", json={"pin": int(os.environ["PIN"]), "note": os.environ["API_KEY"], '
                '"jwt_of": os.environ["JWT_OF"]})'
            ),
        ],
    ),
    (
        "a cookie from before the recording",
        [entry("GET", "/a", headers={"Cookie": "lang=de; session=s3cret"})],
        ['http.cookies.set("session", os.environ["SESSION"])', 'http.get("/a")'],
    ),
    (
        "what only a browser says",
        [
            entry(
                "GET",
                "/a?flag&x=1",
                headers={
                    ":authority": "shop.example",
                    "sec-ch-ua": "x",
                    "User-Agent": "y",
                    "Accept": "text/csv",
                    "DNT": "1",
                },
            ),
            entry("QUERY", "/b"),
        ],
        ['http.get("/a?flag&x=1", headers={"Accept": "text/csv"})', 'http.request("QUERY", "/b")'],
    ),
]


@pytest.mark.parametrize(("entries", "statements"), [row[1:] for row in CASES], ids=[row[0] for row in CASES])
def test_a_recording_becomes_what_a_person_would_have_written(
    entries: list[dict[str, Any]], statements: list[str], tmp_path: Path
):
    for number, one in enumerate(entries):
        if one["startedDateTime"].endswith(":00.000000Z"):
            one["startedDateTime"] = f"2026-11-28T13:00:00.{number:06}Z"

    assert journey_of(imported(tmp_path, *entries)) == statements


def test_pages_are_steps_with_the_pauses_between_them(tmp_path: Path):
    text = imported(
        tmp_path,
        entry("GET", "/login", pageref="p1"),
        entry("POST", "/login", 1, pageref="p1", reply={"token": "t-4711-t"}),
        entry("GET", "/items/17", 3, pageref="p2", headers={"X-Token": "t-4711-t"}),
        pages=[{"id": "p1", "title": "Log in"}, {"id": "p2", "title": "Items"}],
    )

    assert journey_of(text) == [
        'with http.step("/login"):',
        '    http.get("/login")',
        '    http.pause("990ms")',
        '    reply = http.post("/login")',
        '    token = reply.json()["token"]',
        'http.pause("1.99s")',
        'with http.step("/items/{id}"):',
        '    http.get("/items/17", headers={"X-Token": token})',
    ]


LEFT_OUT = [
    entry("GET", "/", 0, reply="<html>", _resourceType="document"),
    entry("GET", "/app.js", 1, kind="text/javascript"),
    entry("GET", "/logo", 1, kind="image/png"),
    entry("GET", "/data.js", 1, _resourceType="fetch"),
    entry("GET", "https://cdn.example/lib.js", 1),
    entry("GET", "http://api.example:8080/items", 1),
    entry("GET", "ws://shop.example/live", 2, status=101),
    entry("GET", "data:text/plain,x", 2),
    entry("GET", "/cached", 2, _fromCache="memory"),
    entry("OPTIONS", "/items", 2, headers={"Access-Control-Request-Method": "PUT"}),
    entry("GET", "/events", 2, kind="text/event-stream"),
    entry("GET", "/blocked", 2, status=0),
    entry("PROPFIND", "/", 2),
    entry("PUT", "/big", 2, post={"mimeType": "text/plain", "text": "x" * 1_000_001}),
    {"startedDateTime": "yesterday"},
    entry("GET", "http://shop.example:port/", 2),
    None,
]


def test_what_is_left_out_is_counted_and_said(tmp_path: Path):
    text = imported(tmp_path, *LEFT_OUT)

    assert journey_of(text)[::2] == ['http.get("/")', 'http.get("/data.js")']
    said = " ".join(text.partition('"""')[2].partition('"""')[0].split())
    assert said == (
        "2 requests, recorded in shop.har. "
        "- left out: 1 websocket - left out: 1 URL that is not HTTP - left out: 1 reply from the browser's cache "
        "- left out: 1 preflight of the browser - left out: 1 stream of events - left out: 1 request without a reply "
        "- left out: 1 request with a method of its own - left out: 1 request of more than 1 MB "
        "- left out: 2 requests to other hosts (cdn.example 1, api.example:8080 1); --host keeps those of one "
        "- left out: 2 static files; --static keeps them - left out: 3 broken entries, the first is 15"
    )


def test_other_hosts_and_files_are_kept_where_that_is_asked_for(tmp_path: Path):
    text = imported(tmp_path, *LEFT_OUT, hosts=["api.example", "cdn.example"], static=True)

    assert [line for line in journey_of(text) if "pause" not in line] == [
        'http.get("/")',
        'http.get("/app.js")',
        'http.get("/logo")',
        'http.get("/data.js")',
        'http.get("https://cdn.example/lib.js")',
        'http.get("http://api.example:8080/items")',
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read 'a.har': no such file or directory"),
        (b"", "'a.har' is no HAR file: "),
        (b"{", "'a.har' is no HAR file: Input data was truncated"),
        (b'{"log": {"entries": [{"a": 1}, {', "'a.har' is no HAR file: Input data was truncated"),
        (b"[]", "'a.har' is no HAR file: Expected `object`, got `array`"),
        (b'{"log": {}}', "'a.har' is no HAR file: Object missing required field `entries`"),
        (b'{"log": {"entries": []}}', "there is no request in 'a.har' that a load would make"),
        (
            b'\xef\xbb\xbf{"log": {"entries": [1]}}',
            "there is no request in 'a.har' that a load would make; left out: 1 ",
        ),
    ],
)
def test_a_file_that_is_none_is_named_in_one_line(
    content: bytes | None, message: str, call: Call, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path("a.har").write_bytes(content)

    done = call("import", "har", "a.har")

    assert done.returncode in (4, 5)
    assert done.stderr.startswith(f"loadkit: {message}")
    assert done.stderr.count("\n") == 1
    assert not Path("a.py").exists()


class Recorder:
    """Stands in for a session, and writes down what it is asked for."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.cookies = self

    def clear(self) -> None:
        """There are none."""

    def step(self, name: str) -> nullcontext[None]:
        return nullcontext()

    def pause(self, span: str) -> None:
        """Do not wait."""

    def post(self, url: str, **given: Any) -> None:
        self.calls.append((url, given))


TEXT = st.text(st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from("'\"\\{}\n\r\0#$")), max_size=20)
NAMES = TEXT.filter(lambda name: not re.search("(?i)key|pw|pin|pass|sid|sig|code|sas|auth|token|jwt|otp", name))


@given(st.lists(st.tuples(NAMES, st.dictionaries(NAMES, st.one_of(TEXT, st.integers(), st.none())))), TEXT)
def test_whatever_is_in_a_recording_the_file_sends_exactly_that_and_does_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, bodies: list[tuple[str, dict[str, Any]]], title: str
):
    folder = tmp_path_factory.mktemp("har")
    entries = [
        entry("POST", "/", k / 100, post=in_json({"value": {name: value}}), reply={name: value}, pageref="p")
        for k, (name, value) in enumerate([(name, value) for name, value in bodies])
    ]
    text = imported(folder, entry("POST", "/first"), *entries, pages=[{"id": "p", "title": title}])
    found: dict[str, Any] = {}

    exec(compile(text, "shop.py", "exec"), found)
    session = Recorder()
    found["visit"](session)

    assert session.calls[1:] == [("/", {"json": {"value": {name: value}}}) for name, value in bodies]


def test_a_long_recording_says_that_once_is_shorter_and_its_pauses_may_be_left_out(tmp_path: Path):
    late = {**entry("GET", "/c"), "startedDateTime": "2026-11-28T13:02:00Z"}

    text = imported(tmp_path, entry("GET", "/a", 0), entry("GET", "/b", 59), late)
    without = journey_file("shop", select(read_har(tmp_path / "shop.har")), source="shop.har", has_pauses=False).text

    assert "a visit takes 2m1s, and --once ends after a minute: --no-pauses is shorter" in " ".join(text.split())
    assert 'duration="4m1s"' in text
    assert journey_of(text)[1::2] == ['http.pause("59s")', 'http.pause("61s")']
    assert journey_of(without) == ['http.get("/a")', 'http.get("/b")', 'http.get("/c")']


@pytest.mark.parametrize("name", ["html", "quote", "fields", "visit", "http"])
def test_no_value_of_a_reply_and_no_file_is_called_as_what_the_file_uses(name: str, tmp_path: Path):
    text = imported(
        tmp_path,
        entry("GET", "/a", reply={name: "abc-12345-def"}),
        entry("GET", "/b", 0.1, reply="<input name=csrf value='t-123456-t'>"),
        entry("POST", "/c", 0.2, post=in_json({"a": "abc-12345-def", "b": "t-123456-t"})),
    )

    assert f"    {name}_ = reply.json()[" in text
