"""The whole way from a list to a folder, against a real server, on good days."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import json
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from loadkit import FetchReply, LoadkitError, NothingToRun, UsageError, fetch
from loadkit.fetcher.options import FetchKeywords, FetchOptions
from loadkit.fetcher.sources import Sources
from loadkit.judge.validate import violations
from tests.fetcher.conftest import Call, Site, body_of, contents, manifest


def test_each_url_has_a_file_a_line_and_a_place_in_the_figures(site: Site, into: Path):
    urls = site.urls(50)

    fetched = fetch(urls, threads=8, into=into).wait()

    lines = {line["position"]: line for line in manifest(into)}
    assert sorted(lines) == list(range(1, 51))
    for position, url in enumerate(urls, start=1):
        line = lines[position]
        content = (into / line["file"]).read_bytes()
        assert content == body_of(f"/posts/{position}")
        assert line["url"] == url
        assert line["status"] == 200
        assert line["attempts"] == 1
        assert (line["bytes"], line["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert len(contents(into)) == 50
    assert (fetched.files, fetched.failed, fetched.exit_code) == (50, 0, 0)
    assert site.hits.total() == 50


def test_the_figures_are_a_result_like_any_other(site: Site, into: Path):
    site.at("/gone", lambda call, _: call.reply(b"no", 404))

    result = fetch([*site.urls(30), f"{site.url}/gone"], threads=4, into=into).result

    assert list(violations(result)) == []
    assert result.requests == 31
    assert result[f"GET {site.url}/posts/{{id}}"].statuses == {200: 30}
    assert result.total.failed_statuses == {404: 1}
    assert result.outcome == "failed"
    assert result.response_time.p99 is not None
    assert result.total.bytes_received > 30 * len(body_of("/posts/1"))
    assert result.total.bytes_sent > 31 * 50
    assert result.scenario.options["files"] == 30


def test_replies_come_as_they_complete_and_can_be_read_again(site: Site, into: Path):
    release = threading.Event()

    def slow(call: Call, _: int) -> None:
        release.wait(20)
        call.reply(b"{}")

    fetched = fetch(
        [site.at("/slow", slow), site.at("/quick", lambda call, _: call.reply(b"[1]"))], threads=2, into=into
    )
    seen = []
    for reply in fetched:
        seen.append(reply.url.rpartition("/")[2])
        assert reply.file is not None
        assert reply.file.exists()
        release.set()

    assert seen == ["quick", "slow"]
    assert [(reply.bytes, reply.ok, reply.status) for reply in fetched] == [(3, True, 200), (2, True, 200)]


def test_on_reply_is_called_for_each(site: Site, into: Path):
    seen: list[FetchReply] = []

    fetch(site.urls(20), threads=4, into=into, on_reply=seen.append).wait()

    assert sorted(reply.position for reply in seen) == list(range(1, 21))


def test_a_generator_is_read_as_it_is_needed(site: Site, into: Path):
    given = 0

    def endless() -> Iterator[str]:
        nonlocal given
        while True:
            given += 1
            yield f"{site.url}/n/{given}"

    with fetch(endless(), threads=2, into=into) as fetched:
        for number, _ in enumerate(fetched):
            if number == 30:
                fetched.stop()
                break

    assert given < 5000
    assert fetched.exit_code == 2
    assert len(manifest(into)) == len(contents(into)) >= 30


def test_what_a_source_raises_is_told(site: Site, into: Path):
    def breaking() -> Iterator[str]:
        yield f"{site.url}/1"
        raise RuntimeError("the database has gone")

    with pytest.raises(LoadkitError, match="the database has gone"):
        fetch(breaking(), into=into).wait()


def test_a_duplicate_is_fetched_once_or_each_time(site: Site, tmp_path: Path):
    urls = [f"{site.url}/a", f"{site.url}/a#top", f"{site.url}/a?b", f"{site.url}/a"]

    once = fetch(urls, into=tmp_path / "once").wait()
    each = fetch(urls, into=tmp_path / "each", duplicates=True).wait()

    assert (once.files, once.duplicates) == (2, 2)
    assert (each.files, each.duplicates) == (4, 0)


def test_paths_that_end_the_same_are_files_of_their_own(site: Site, into: Path):
    urls = [f"{site.url}/{folder}/data.json" for folder in "abcdefgh"] + [f"{site.url}/A/DATA.JSON"]

    fetch(urls, into=into).wait()

    assert sorted(contents(into).values()) == sorted(body_of(url.removeprefix(site.url)) for url in urls)
    assert len({name.lower() for name in contents(into)}) == 9


# -- what is asked


def test_rows_have_methods_headers_and_bodies(site: Site, into: Path):
    heard = []
    url = site.at(
        "/echo", lambda call, _: (heard.append((call.command, call.sent_body, dict(call.headers))), call.reply())[1]
    )

    rows = [
        {"url": url, "method": "post", "json": {"a": 1}},
        {"url": url, "method": "PUT", "body": "text", "headers": {"X-Mine": "yes", "user-agent": "me"}},
    ]
    fetch(rows, threads=1, into=into).wait()

    assert [(method, body) for method, body, _ in heard] == [("POST", b'{"a": 1}'), ("PUT", b"text")]
    assert heard[0][2]["Content-Type"] == "application/json"
    assert heard[1][2]["X-Mine"] == "yes"
    assert [name.lower() for name in heard[1][2]].count("user-agent") == 1


def test_headers_may_come_from_the_environment_but_not_those_of_a_list(
    site: Site, into: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("API_TOKEN", "hunter2")
    row = {"url": f"{site.url}/x", "headers": {"X-Steal": "${API_TOKEN}"}}

    fetch([row], into=into, headers={"Authorization": "Bearer ${API_TOKEN}"}, user_agent="me/1").wait()

    headers = site.calls[0][2]
    assert headers["Authorization"] == "Bearer hunter2"
    assert headers["User-Agent"] == "me/1"
    assert headers["X-Steal"] == "${API_TOKEN}"
    assert b"hunter2" not in (into / "manifest.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.txt", "# a comment\n\n  {u}/1  \r\n{u}/2", 2),
        ("a.txt", "\ufeff{u}/1\n", 1),
        ("a.csv", "id,url\n1,{u}/1\n2,{u}/2\n", 2),
        ("a.tsv", "id\turl\n1\t{u}/1\n", 1),
        ("a.jsonl", '{{"url": "{u}/1"}}\n"{u}/2"\n\n', 2),
    ],
)
def test_lists_of_every_kind(site: Site, tmp_path: Path, name: str, content: str, expected: int):
    source = tmp_path / name
    source.write_text(content.format(u=site.url), encoding="utf-8")

    fetched = fetch(source, into=tmp_path / "b").wait()

    assert (fetched.files, fetched.refused) == (expected, 0)


def test_another_column(site: Site, tmp_path: Path):
    source = tmp_path / "a.csv"
    source.write_text(f"link,method\n{site.url}/1,HEAD\n")

    fetch(source, into=tmp_path / "b", column="link").wait()

    assert contents(tmp_path / "b") == {manifest(tmp_path / "b")[0]["file"]: b""}
    with pytest.raises(UsageError, match="no column 'url'; it has 'link', 'method'"):
        fetch(source, into=tmp_path / "c").wait()


def test_several_files_and_stdin(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    first = tmp_path / "first.txt"
    first.write_text(f"{site.url}/1\n")
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(f"{site.url}/2\n".encode())))

    fetched = fetch(Sources([str(first), "-", f"{site.url}/3"]), into=tmp_path / "b").wait()

    assert fetched.files == 3


# -- bodies


def coded_reply(body: bytes, coding: str) -> Callable[[Any, int], None]:
    """An answer with this body, which is coded so."""
    return lambda call, _: call.reply(body, Content_Encoding=coding)


def test_bodies_are_decoded_on_the_way_unless_raw(site: Site, tmp_path: Path):
    plain = body_of("/x") * 5000
    for name, coded, coding in (
        ("/gzip", gzip.compress(plain), "gzip"),
        ("/members", gzip.compress(plain[:700]) + gzip.compress(plain[700:]) + b"\0\0", "gzip"),
        ("/deflate", zlib.compress(plain), "deflate"),
        ("/raw", zlib.compress(plain, wbits=-15), "deflate"),
        ("/twice", gzip.compress(zlib.compress(plain)), "deflate, gzip"),
    ):
        site.at(name, coded_reply(coded, coding))
    urls = [f"{site.url}{name}" for name in ("/gzip", "/members", "/deflate", "/raw", "/twice")]

    fetch(urls, into=tmp_path / "decoded").wait()
    fetch(urls[:1], into=tmp_path / "raw", raw=True).wait()

    assert list(contents(tmp_path / "decoded").values()) == [plain] * 5
    (raw,) = contents(tmp_path / "raw").values()
    assert len(raw) < len(plain)
    assert gzip.decompress(raw) == plain
    assert site.calls[-1][2]["Accept-Encoding"] == "identity"


def test_large_bodies_in_pieces_are_saved_whole(site: Site, into: Path):
    block = hashlib.sha256(b"x").digest() * 4096

    def chunked(call: Call, _: int) -> None:
        call.send_response(200)
        call.send_header("Transfer-Encoding", "chunked")
        call.end_headers()
        for _ in range(40):
            call.wfile.write(f"{len(block):x}\r\n".encode() + block + b"\r\n")
        call.wfile.write(b"0\r\n\r\n")

    fetch([site.at("/big", chunked)], into=into).wait()

    line = manifest(into)[0]
    assert (into / line["file"]).read_bytes() == block * 40
    assert line["sha256"] == hashlib.sha256(block * 40).hexdigest()


def test_json_replies_become_lines_of_one_file(site: Site, tmp_path: Path):
    site.at("/pretty", lambda call, _: call.reply(b'{\n  "a": [1,\n 2.50]\n}\n'))
    site.at("/html", lambda call, _: call.reply(b"<html>"))
    site.at("/nan", lambda call, _: call.reply(b'{"a": NaN}'))
    target = tmp_path / "all.jsonl"

    fetched = fetch([f"{site.url}/{name}" for name in ("pretty", "html", "nan", "posts")], append=target).wait()

    assert sorted(target.read_bytes().splitlines()) == sorted(
        [b'{"a":[1,2.50]}', json.dumps(json.loads(body_of("/posts")), separators=(",", ":")).encode()]
    )
    assert (fetched.files, fetched.failed) == (2, 2)
    for line in manifest(tmp_path / "all.jsonl.fetch"):
        if "error" not in line:
            part = target.read_bytes()[line["offset"] :][: line["bytes"]]
            assert hashlib.sha256(part[:-1]).hexdigest() == line["sha256"]


# -- lists that are wrong


def test_an_empty_list_is_nothing_to_run(tmp_path: Path):
    with pytest.raises(NothingToRun) as caught:
        fetch([], into=tmp_path / "b").wait()

    assert caught.value.exit_code == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threads": 0}, "threads takes a whole number like 20, or 'auto', not 0"),
        ({"threads": "many"}, "not 'many'"),
        ({"rate": "fast"}, "cannot read the rate 'fast'"),
        ({"rate": 0}, "the rate must be more than 0"),
        ({"timeout": "0"}, "timeout must be more than 0"),
        ({"per_host": 0}, "per_host takes a whole number"),
        ({"retries": -1}, "retries takes a whole number"),
        ({"name": "{nothing}"}, "{nothing}, which there is not"),
        ({"verify": True}, "verify says how closely resume looks"),
        ({"headers": {"X": "${NOT_THERE_AT_ALL}"}}, "NOT_THERE_AT_ALL, which is not set"),
        ({"headers": {"Content-Length": "7"}}, "'Content-Length' is not yours to set"),
        ({"headers": {"X": "a\r\nb"}}, "without line breaks"),
        ({"ca": "/no/such/file"}, "cannot read certificate authorities"),
        ({"retires": 3}, "fetch has no 'retires'; did you mean retries?"),
        ({"format": "xml"}, "there is no format 'xml'"),
        ({"into": ""}, "into takes the path of a folder"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_sent(
    site: Site, into: Path, options: dict[str, Any], message: str
):
    with pytest.raises(UsageError) as caught:
        fetch(site.urls(1), **{"into": into, **options})

    assert message in str(caught.value)
    assert not site.hits


def test_the_type_checker_knows_the_keywords_that_are_read():
    assert set(FetchKeywords.__annotations__) == {field.name for field in dataclasses.fields(FetchOptions)}


def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(UsageError, match=r"cannot read the URLs in example\.com/x: no such file"):
        fetch("example.com/x", into=tmp_path / "b")


@pytest.mark.parametrize(("length", "status"), [(60_000, 200), (70_000, 414)])
def test_a_long_url_is_asked_for_and_its_file_has_a_short_name(site: Site, into: Path, length: int, status: int):
    # the server takes 65,536 bytes
    path = f"/{'x' * length}/last"

    fetch([f"{site.url}{path}", f"{site.url}/after"], into=into).wait()

    line, after = sorted(manifest(into), key=lambda line: line["position"])
    assert line["url"] == f"{site.url}{path}"
    assert (line["status"], after["status"]) == (status, 200)
    assert len(Path(line["file"]).name) < 255
    if status == 200:
        assert (into / line["file"]).read_bytes() == body_of(path)
    else:
        assert line["error"].startswith("status 414")


def test_nobody_is_left_behind(site: Site, into: Path):
    before = set(threading.enumerate())

    fetch(site.urls(40), threads=6, into=into).wait()

    left = [
        thread.name for thread in threading.enumerate() if thread not in before and thread.name.startswith("loadkit")
    ]
    assert left == []


def test_auto_threads_says_what_it_did(site: Site, into: Path):
    fetched = fetch(site.urls(60), threads="auto", into=into).wait()

    assert fetched.files == 60
    assert (fetched.threads, fetched.limit.ending) == (4, "cannot tell")
    assert (
        fetched.result.scenario.options["auto"] == "4 in the end: the list ended before the number of threads was found"
    )
    assert fetch(site.urls(3), threads=2, into=into / "more").limit is None


def test_a_host_that_is_down_is_no_throughput(into: Path):
    urls = [f"http://127.0.0.1:1/{number}" for number in range(3000)]
    fetched = fetch(urls, threads="auto", into=into, retries=0, host_pause="10ms").wait()

    assert (fetched.failed, fetched.limit.closed, fetched.limit.threads) == (3000, [], None)


def test_hosts_are_many_and_connections_few(site: Site, into: Path):
    port = site.server_address[1]
    urls = [f"http://127.0.0.{host}:{port}/{page}" for page in range(3) for host in range(1, 40)]

    fetched = fetch(urls, threads=2, into=into, retries=0).wait()

    # the site listens on 127.0.0.1 alone: the others refuse, and each is accounted for
    assert fetched.files == 3
    assert fetched.failed == 3 * 38
    assert len(manifest(into)) == len(urls)
