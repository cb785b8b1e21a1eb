"""Recordings of browsers become journeys: what is sent again, what is left out, and what comes from replies."""

from __future__ import annotations

import json
import re
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
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


def get(url: str, at: float = 0.0, **more: Any) -> dict[str, Any]:
    return entry("GET", url, at, **more)


def sent(kind: str, text: str, **more: str) -> dict[str, Any]:
    """What is posted, of an entry."""
    return {"post": {"mimeType": kind, "text": text, **more}}


def post(url: str, value: Any, at: float = 0.0, **more: Any) -> dict[str, Any]:
    """An entry with JSON that is posted."""
    return entry("POST", url, at, **sent("application/json", json.dumps(value)), **more)


def imported(folder: Path, *entries: Any, title: str = "", **options: Any) -> str:
    """The text of the file that is made of entries."""
    path = folder / "shop.har"
    names = dict.fromkeys(one["pageref"] for one in entries if one and "pageref" in one)
    pages = [{"id": name, "title": title or name} for name in names]
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


FORM = "application/x-www-form-urlencoded"
CASES: list[tuple[str, list[dict[str, Any]], str]] = [
    (
        "a token in the JSON of a reply",
        [
            post("/login", {"user": "ann", "password": "pw"}, reply={"data": {"access_token": "abc123"}}),
            get("/me", headers={"Authorization": "Bearer abc123", "X-Client": "web"}),
        ],
        """\
reply = http.post("/login", json={"user": "ann", "password": os.environ["PASSWORD"]})
access_token = reply.json()["data"]["access_token"]
http.get("/me", headers={"Authorization": f"Bearer {access_token}", "X-Client": "web"})""",
    ),
    (
        "ids in a path, in JSON as text and as a number, in a form and in a query",
        [
            get("/items", reply={"items": [{"id": 5}, {"id": 7, "sku": "SKU-0007"}]}),
            get("/items/7"),
            post("/cart", {"item_id": 7, "item": "7", "sku": ["SKU-0007"]}),
            entry("POST", "/buy", **sent(FORM, "item_id=7&n=7")),
            get("/find?item=7&page=7"),
        ],
        """\
reply = http.get("/items")
item_id = reply.json()["items"][1]["id"]
sku = reply.json()["items"][1]["sku"]
http.get(f"/items/{item_id}")
http.post("/cart", json={"item_id": item_id, "item": str(item_id), "sku": [sku]})
http.post("/buy", data={"item_id": item_id, "n": "7"})
http.get("/find", params={"item": item_id, "page": "7"})""",
    ),
    (
        "what was typed first is only echoed, and what may be so by chance is not handed out",
        [
            get("/search?q=greentea2026", reply={"query": "greentea2026", "total": 3, "day": "2026-11-28"}),
            get("/search?q=greentea2026&page=3&day=2026-11-28&state=open", reply={"state": "open"}),
        ],
        """\
http.get("/search", params={"q": "greentea2026"})
http.get("/search", params={"q": "greentea2026", "page": "3", "day": "2026-11-28", "state": "open"})""",
    ),
    (
        "the next page by its link, and what was made by its Location",
        [
            get("/items", reply={"next": "/items?after=5"}),
            get("/items?after=5"),
            post("/notes", {"a": 1}, status=201, reply_headers={"Location": "/notes/n-1/edit"}),
            get("/notes/n-1/edit"),
            post("/notes", {"a": 2}, status=201, reply_headers={"location": "/notes/note-4711x"}),
            entry("DELETE", "/notes/note-4711x/lines"),
        ],
        """\
reply = http.get("/items")
next_ = reply.json()["next"]
http.get(next_)
reply = http.post("/notes", json={"a": 1})
location = reply.headers["Location"]
http.get(location)
reply = http.post("/notes", json={"a": 2})
note_id = reply.headers["Location"].rpartition("/")[2]
http.delete(f"/notes/{note_id}/lines")""",
    ),
    (
        "tokens in a form, in a meta element and in a cookie",
        [
            get(
                "/login",
                reply="<input type=hidden value='a1b2&amp;c3' name='csrf'><meta content="
                '"m9m9m9m9" name="csrf-token">',
                reply_headers={"Set-Cookie": "XSRF-TOKEN=x%3D1234; Path=/"},
            ),
            entry(
                "POST",
                "/login",
                headers={"X-CSRF-Token": "m9m9m9m9", "X-XSRF-TOKEN": "x=1234", "Cookie": "XSRF-TOKEN=x%3D1234"},
                post={"mimeType": FORM, "params": [{"name": "csrf", "value": "a1b2&c3"}]},
            ),
        ],
        """\
reply = http.get("/login")
csrf_token = fields(reply.text)["csrf-token"]
xsrf_token = unquote(http.cookies["XSRF-TOKEN"])
csrf = fields(reply.text)["csrf"]
http.post("/login", headers={"X-CSRF-Token": csrf_token, "X-XSRF-TOKEN": xsrf_token}, data={"csrf": csrf})""",
    ),
    (
        "an id that a path writes otherwise",
        [get("/files", reply={"files": [{"key": "a b/c-12345678"}]}), get("/files/a%20b%2Fc-12345678")],
        """\
reply = http.get("/files")
key = reply.json()["files"][0]["key"]
http.get(f"/files/{quote(key, safe='')}")""",
    ),
    (
        "redirects, followed by the session or not to be followed",
        [
            entry("POST", "/login", status=302, redirect=f"{URL}/home"),
            get("/home", status=302, reply_headers={"Location": "/home/"}),
            get("/home/", reply={"token": "after-all"}),
            get("/a?token=after-all"),
            get("/out", status=302, redirect="https://else.example/"),
        ],
        """\
reply = http.post("/login")
token = reply.json()["token"]
http.get("/a", params={"token": token})
http.get("/out", allow_redirects=False)""",
    ),
    (
        "statuses and pauses as they were",
        [get("/a", 0, took=100), get("/b", 0.15), get("/c", 1.5, status=404), get("/d", 4)],
        """\
http.get("/a")
http.get("/b")
http.pause("1.34s")
with http.expecting(404):
    http.get("/c")
http.pause("2.49s")
http.get("/d")""",
    ),
    (
        "pages as steps, with the pauses between them",
        [
            get("/login", pageref="p1"),
            entry("POST", "/login", 1, pageref="p1", reply={"token": "t-4711-t"}),
            get("/items/17", 3, pageref="p2", headers={"X-Token": "t-4711-t"}),
        ],
        """\
with http.step("/login"):
    http.get("/login")
    http.pause("990ms")
    reply = http.post("/login")
    token = reply.json()["token"]
http.pause("1.99s")
with http.step("/items/{id}"):
    http.get("/items/17", headers={"X-Token": token})""",
    ),
    (
        "bodies of all kinds",
        [
            entry("PUT", "/a", **sent("text/plain", "aGVsbG8=", encoding="base64")),
            entry("PUT", "/b", **sent("application/octet-stream", "AP8=", encoding="base64")),
            entry("PATCH", "/c", **sent("application/merge-patch+json", '{"a": 1}')),
            entry("POST", "/d", **sent("application/json", '{"a": 1, "a": 2}')),
            entry(
                "POST",
                "/e",
                **sent(
                    "multipart/form-data; boundary=xx",
                    '--xx\r\nContent-Disposition: form-data; name="f"; filename="../a.txt"\r\n'
                    "Content-Type: text/csv\r\n\r\nx,y\r\n--xx--\r\n",
                ),
            ),
            entry(
                "POST",
                "/f",
                post={
                    "mimeType": "multipart/form-data; boundary=yy",
                    "params": [{"name": "n", "value": "1"}, {"name": "f", "fileName": "a.bin", "value": "z"}],
                },
            ),
            entry("POST", "/g", **sent("application/json", "")),
        ],
        """\
http.put("/a", headers={"Content-Type": "text/plain"}, data="hello")
http.put("/b", headers={"Content-Type": "application/octet-stream"}, data=b"\\x00\\xff")
http.patch("/c", headers={"Content-Type": "application/merge-patch+json"}, json={"a": 1})
http.post("/d", headers={"Content-Type": "application/json"}, data='{"a": 1, "a": 2}')
http.post("/e", files={"f": ("../a.txt", "x,y", "text/csv")})
http.post("/f", files={"n": (None, "1"), "f": ("a.bin", "z", "application/octet-stream")})
http.post("/g")""",
    ),
    (
        "secrets, wherever the same one stands",
        [
            get("/a?api_key=k-123456", headers={"X-Api-Key": "k-123456", "Authorization": "Basic YTpi"}),
            post("/b", {"pin": 1234, "note": "k-123456", "jwt_of": "eyJhbGciOiJI.eyJzdWIi.c2ln"}),
        ],
        """\
http.get("/a", params={"api_key": os.environ["API_KEY"]}, headers={"X-Api-Key": os.environ["API_KEY"], \
"Authorization": f"Basic {os.environ['AUTHORIZATION']}"})
http.post("/b", json={"pin": int(os.environ["PIN"]), "note": os.environ["API_KEY"], "jwt_of": os.environ["JWT_OF"]})""",
    ),
    (
        "a cookie from before the recording",
        [get("/a", headers={"Cookie": "lang=de; session=s3cret"})],
        'http.cookies.set("session", os.environ["SESSION"])\nhttp.get("/a")',
    ),
    (
        "what only a browser says",
        [
            get(
                "/a?flag&x=1",
                headers={":authority": "a", "sec-ch-ua": "x", "User-Agent": "y", "Accept": "text/csv", "DNT": "1"},
            ),
            entry("QUERY", "/b"),
        ],
        'http.get("/a?flag&x=1", headers={"Accept": "text/csv"})\nhttp.request("QUERY", "/b")',
    ),
]


@pytest.mark.parametrize(("entries", "statements"), [row[1:] for row in CASES], ids=[row[0] for row in CASES])
def test_a_recording_becomes_what_a_person_would_have_written(
    entries: list[dict[str, Any]], statements: str, tmp_path: Path
):
    for number, one in enumerate(entries):
        if one["startedDateTime"].endswith(":00.000000Z"):
            one["startedDateTime"] = f"2026-11-28T13:00:00.{number:06}Z"

    assert "\n".join(journey_of(imported(tmp_path, *entries))) == statements


LEFT_OUT = [
    get("/", 0, reply="<html>", _resourceType="document"),
    get("/app.js", 1, kind="text/javascript"),
    get("/logo", 1, kind="image/png"),
    get("/data.js", 1, _resourceType="fetch"),
    get("https://cdn.example/lib.js", 1),
    get("http://api.example:8080/items", 1),
    get("ws://shop.example/live", 2, status=101),
    get("data:text/plain,x", 2),
    get("/cached", 2, _fromCache="memory"),
    entry("OPTIONS", "/items", 2, headers={"Access-Control-Request-Method": "PUT"}),
    get("/events", 2, kind="text/event-stream"),
    get("/blocked", 2, status=0),
    entry("PROPFIND", "/", 2),
    entry("PUT", "/big", 2, **sent("text/plain", "x" * 1_000_001)),
    {"startedDateTime": "yesterday"},
    get("http://shop.example:port/", 2),
    None,
]


def test_what_is_left_out_is_counted_and_said_and_kept_where_that_is_asked_for(tmp_path: Path):
    text = imported(tmp_path, *LEFT_OUT)
    more = imported(tmp_path, *LEFT_OUT, hosts=["api.example", "cdn.example"], static=True)

    assert places(text) == ["/", "/data.js"]
    hosts = ["https://cdn.example/lib.js", "http://api.example:8080/items"]
    assert places(more) == ["/", "/app.js", "/logo", "/data.js", *hosts]
    said = " ".join(text.partition('"""')[2].partition('"""')[0].split())
    assert said == (
        "2 requests, recorded in shop.har. "
        "- left out: 1 websocket - left out: 1 URL that is not HTTP - left out: 1 reply from the browser's cache "
        "- left out: 1 preflight of the browser - left out: 1 stream of events - left out: 1 request without a reply "
        "- left out: 1 request with a method of its own - left out: 1 request of more than 1 MB "
        "- left out: 2 requests to other hosts (cdn.example 1, api.example:8080 1); --host keeps those of one "
        "- left out: 2 static files; --static keeps them - left out: 3 broken entries, the first is 15"
    )


def places(text: str) -> list[str]:
    return re.findall(r'http\.get\("(.*)"\)', text)


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


TEXT = st.text(st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from("'\"\\{}\n\r\0#$")), max_size=20)
NAMES = TEXT.filter(lambda name: not re.search("(?i)key|pw|pin|pass|sid|sig|code|sas|auth|token|jwt|otp", name))


@given(st.lists(st.tuples(NAMES, st.dictionaries(NAMES, st.one_of(TEXT, st.integers(), st.none())))), TEXT)
def test_whatever_is_in_a_recording_the_file_sends_exactly_that_and_does_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, bodies: list[tuple[str, dict[str, Any]]], title: str
):
    folder = tmp_path_factory.mktemp("har")
    entries = [
        post("/", {"value": {name: value}}, k / 100, reply={name: value}, pageref="p")
        for k, (name, value) in enumerate(bodies)
    ]
    text = imported(folder, entry("POST", "/first"), *entries, title=title)
    found: dict[str, Any] = {}
    calls: list[Any] = []

    exec(compile(text, "shop.py", "exec"), found)
    found["visit"](
        SimpleNamespace(
            cookies=SimpleNamespace(clear=lambda: None),
            step=nullcontext,
            pause=lambda _: None,
            post=lambda url, **given: calls.append((url, given)),
        )
    )

    assert calls[1:] == [("/", {"json": {"value": {name: value}}}) for name, value in bodies]


def test_a_long_recording_says_that_once_is_shorter_and_its_pauses_may_be_left_out(tmp_path: Path):
    late = {**get("/c"), "startedDateTime": "2026-11-28T13:02:00Z"}

    text = imported(tmp_path, get("/a", 0), get("/b", 59), late)
    without = journey_file("shop", select(read_har(tmp_path / "shop.har")), source="shop.har", has_pauses=False).text

    assert "a visit takes 2m1s, and --once ends after a minute: --no-pauses is shorter" in " ".join(text.split())
    assert 'duration="4m1s"' in text
    assert journey_of(text)[1::2] == ['http.pause("59s")', 'http.pause("61s")']
    assert journey_of(without) == ['http.get("/a")', 'http.get("/b")', 'http.get("/c")']
