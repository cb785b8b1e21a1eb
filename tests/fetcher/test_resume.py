"""Nothing lost: killed at any moment and resumed, the folder is that of an undisturbed run."""

from __future__ import annotations

import fcntl
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadkit import LoadkitError, UsageError, fetch
from loadkit.fetcher import FetchReply
from loadkit.fetcher.manifest import DigestSet, digest_of
from tests.fetcher.conftest import Call, Page, Site, body_of, contents, default, manifest


def last_lines(folder: Path) -> dict[str, dict[str, Any]]:
    """What the manifest says in the end, by URL."""
    return {line["url"]: line for line in manifest(folder)}


def test_a_second_run_over_a_finished_folder_does_nothing(site: Site, into: Path):
    urls = site.urls(20)
    fetch(urls, into=into).wait()
    before = contents(into), (into / "manifest.jsonl").read_bytes()

    resumed = fetch(urls, into=into, resume=True).wait()
    plain = fetch(urls, into=into).wait()

    assert site.hits.total() == 20
    assert (contents(into), (into / "manifest.jsonl").read_bytes()) == before
    for again in (resumed, plain):
        assert (again.files, again.complete, again.exit_code) == (0, 20, 0)
        assert again.result.outcome == "passed"
        assert list(again) == []


def test_a_folder_of_an_unfinished_run_wants_resume(site: Site, into: Path):
    fetch(site.urls(5), into=into).wait()

    with pytest.raises(UsageError, match=r"has not fetched .*/posts/6; --resume does the rest"):
        fetch(site.urls(8), into=into).wait()

    assert site.hits.total() == 5


def test_resume_does_the_rest_and_what_failed(site: Site, into: Path):
    site.at("/posts/3", lambda call, count: call.reply(b"gone", 404) if count == 1 else call.reply(body_of(call.path)))
    first = fetch(site.urls(5), into=into).wait()
    assert first.exit_code == 1
    assert any(name.startswith("failed/") for name in contents(into))

    second = fetch(site.urls(8), into=into, resume=True).wait()

    assert (second.files, second.complete, second.exit_code) == (4, 4, 0)
    assert sorted(contents(into).values()) == sorted(body_of(f"/posts/{n}") for n in range(1, 9))
    assert all("error" not in line for line in last_lines(into).values())


def ended_after(count: int, urls: list[str], **options: Any) -> None:
    """Fetch so many of the URLs, one after the other, and then nothing more."""
    calls = iter(range(1, 1 + len(urls)))

    def end(_: FetchReply) -> None:
        if next(calls) == count:
            raise RuntimeError("enough")

    with pytest.raises(LoadkitError, match="enough"):
        fetch(urls, duplicates=True, threads=1, on_reply=end, **options).wait()


def test_each_copy_of_a_url_is_fetched_once_however_often_the_fetch_was_stopped(site: Site, into: Path):
    urls = [site.url + "/posts/1", site.url + "/posts/2"] * 3
    ended_after(2, urls, into=into)
    assert len(contents(into)) == 2

    ended_after(2, urls, into=into, resume=True)
    assert len(contents(into)) == 4
    rest = fetch(urls, into=into, duplicates=True, resume=True).wait()

    assert (rest.files, rest.complete, rest.exit_code) == (2, 4, 0)
    assert site.hits.total() == 6
    assert sorted(contents(into).values()) == sorted([body_of("/posts/1"), body_of("/posts/2")] * 3)


def test_copies_that_were_not_asked_for_before_are_fetched_now(site: Site, into: Path):
    urls = site.urls(2) * 2
    fetch(urls, into=into).wait()

    more = fetch(urls, into=into, duplicates=True, resume=True).wait()

    assert (more.files, more.complete) == (2, 2)
    assert len(contents(into)) == site.hits.total() == 4


def test_a_copy_that_was_spoiled_takes_no_other_with_it(site: Site, into: Path):
    urls = site.urls(1) * 3
    fetch(urls, into=into, duplicates=True).wait()
    (into / manifest(into)[1]["file"]).write_bytes(b"spoiled")

    again = fetch(urls, into=into, duplicates=True, resume=True).wait()

    assert (again.files, again.complete) == (1, 2)
    assert list(contents(into).values()) == [body_of("/posts/1")] * 3


def test_each_copy_of_a_line_is_appended_once(site: Site, tmp_path: Path):
    urls, file = site.urls(1) * 4, tmp_path / "all.jsonl"
    ended_after(2, urls, append=file)

    fetch(urls, append=file, duplicates=True, resume=True).wait()

    assert [json.loads(line)["path"] for line in file.read_text().splitlines()] == ["/posts/1"] * 4
    assert site.hits.total() == 4


@pytest.mark.parametrize("harm", ["gone", "shorter", "longer", "other content of that size"])
def test_a_file_that_is_not_what_the_manifest_says_is_fetched_again(site: Site, into: Path, harm: str):
    fetch(site.urls(5), into=into).wait()
    victim = into / manifest(into)[2]["file"]
    content = victim.read_bytes()
    if harm == "gone":
        victim.unlink()
    elif harm in ("shorter", "longer"):
        victim.write_bytes(content[:-1] if harm == "shorter" else content + b"x")
    else:
        victim.write_bytes(b"x" * len(content))
        assert fetch(site.urls(5), into=into, resume=True).wait().complete == 5

    again = fetch(site.urls(5), into=into, resume=True, verify=harm.startswith("other")).wait()

    assert (again.files, again.complete) == (1, 4)
    assert victim.read_bytes() == content


@pytest.mark.parametrize("name", [None, "{last}.{ext}"])
def test_what_a_kill_leaves_behind_is_cleared_up(site: Site, into: Path, name: str | None):
    urls = site.urls(6)
    fetch(urls, into=into, name=name).wait()
    expected = contents(into)
    path = into / "manifest.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    # the last line was cut, a file is there that no line tells of, and a part of another
    path.write_bytes(b"".join(lines[:-1]) + lines[-1][:25])
    part = f"{json.loads(lines[0])['file']}.part"
    if name:
        part = f"x.json.3-{'0' * 16}.part"
    (into / part).write_bytes(b"half")
    (into / "mine.part").write_bytes(b"somebody else's")

    again = fetch(urls, into=into, name=name, resume=True).wait()

    assert (again.files, again.complete, again.failed) == (1, 5, 0)
    assert contents(into) == expected | {"mine.part": b"somebody else's"}
    assert len(manifest(into)) == 6


def test_a_file_of_another_kind_takes_the_place_of_the_one_a_kill_left(site: Site, into: Path):
    kinds = iter(["text/html", "application/json"])
    url = site.at("/x", lambda call, _: call.reply(b"{}", Content_Type=next(kinds)))
    fetch([url], into=into).wait()
    (into / "manifest.jsonl").write_bytes(b'{"url":"http://other/","error":"x","kind":"check","key":"00"}\n')

    fetch([url], into=into, resume=True).wait()

    assert [Path(name).suffix for name in contents(into)] == [".json"]


PRECIOUS = ("precious.txt", "0001/000001-notes.txt", "failed/mine.html", "../victim")
"""Files of the user's in and beside the folder of a fetch."""


@pytest.mark.parametrize(
    "lie",
    [
        *({"file": file, "bytes": 9} for file in ("precious.txt", "0001/000001-notes.txt", "manifest.jsonl", "failed")),
        *({"file": file, "error": "status 404"} for file in ("failed/mine.html", "precious.txt", "manifest.jsonl")),
        {"key": "", "kind": "refused", "file": None},
        {"key": "zz"},
        {"key": "-1"},
        {"key": "", "url": "\ud800"},
        {"file": "a/" * 3000 + "b"},
        *({"file": file, "bytes": 8} for file in ("../victim", "{beside}/victim", "a/../../victim")),
        {"file": ""},
        {"file": "."},
        {"bytes": -1},
        {"bytes": 10**30},
        {"position": -5},
        {"offset": 10**30, "bytes": 1},
        {"offset": -1, "bytes": 8},
        {"sha256": "x", "status": -1},
        {"more": json.loads("[" * 500 + "]" * 500)},
    ],
    ids=lambda lie: str(lie)[:50],
)
def test_a_manifest_of_somebody_else_takes_nothing_away(site: Site, into: Path, lie: dict[str, Any]):
    (url,) = site.urls(1)
    fetch([url], into=into).wait()
    line = manifest(into)[0]
    (into / line["file"]).unlink()
    for name in PRECIOUS:
        (into / name).parent.mkdir(exist_ok=True)
        (into / name).write_bytes(b"12345678")
    said = json.dumps({**line, **lie}).replace("{beside}", str(into.parent))
    (into / "manifest.jsonl").write_text(said + "\n")

    for verify in (False, True):
        again = fetch([url], into=into, resume=True, verify=verify).wait()
        assert (again.files + again.complete, again.exit_code) == (1, 0)

    assert {name: (into / name).read_bytes() for name in PRECIOUS} == dict.fromkeys(PRECIOUS, b"12345678")
    assert contents(into) == {
        **dict.fromkeys(PRECIOUS[:3], b"12345678"),
        line["file"]: body_of("/posts/1"),
    }


def test_a_line_of_a_manifest_that_cannot_be_read_costs_one_request(site: Site, into: Path):
    fetch(site.urls(5), into=into).wait()
    path = into / "manifest.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    nested = b'{"url":"x","more":' + b"[" * 100_000 + b"\n"
    path.write_bytes(lines[0] + lines[1][:30] + b"\n" + b"".join(lines[2:]) + nested)

    assert fetch(site.urls(5), into=into, resume=True).wait().files == 1


@pytest.mark.parametrize("is_appended", [False, True])
def test_nothing_is_written_through_a_hard_link(site: Site, tmp_path: Path, is_appended: bool):
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    folder = tmp_path / "b"
    folder.mkdir()
    (folder / ("all.jsonl" if is_appended else "manifest.jsonl")).hardlink_to(victim)
    options: dict[str, Any] = (
        {"append": folder / "all.jsonl", "into": tmp_path / "c"} if is_appended else {"into": folder}
    )
    if is_appended:
        fetch(site.urls(1), append=tmp_path / "other.jsonl", into=tmp_path / "c").wait()

    with pytest.raises(UsageError, match="it is a hard link"):
        fetch(site.urls(1), resume=True, **options)

    assert victim.read_bytes() == b"precious"


def test_lines_that_the_manifest_does_not_tell_of_are_not_cut_off(site: Site, tmp_path: Path):
    target = tmp_path / "all.jsonl"
    fetch(site.urls(4), threads=1, append=target).wait()
    before = target.read_bytes()
    path = tmp_path / "all.jsonl.fetch" / "manifest.jsonl"
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])

    size = before.index(b"\n") + 1
    with pytest.raises(UsageError, match=rf"the first {size} bytes of .* truncate -s {size} "):
        fetch(site.urls(4), append=target, resume=True)

    assert target.read_bytes() == before


def test_whoever_may_only_read_a_manifest_locks_nobody_out(site: Site, into: Path):
    fetch(site.urls(1), into=into).wait()
    with (into / "manifest.jsonl").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert fetch(site.urls(2), into=into, resume=True).wait().files == 1


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o600), (0o002, 0o660)])
def test_a_lock_can_be_held_by_those_alone_who_may_write(site: Site, into: Path, mask: int, mode: int):
    begun, gate = threading.Event(), threading.Event()

    def page(call: Call, _: int) -> None:
        begun.set()
        gate.wait(20)
        call.reply(b"{}")

    before = os.umask(mask)
    try:
        fetched = fetch([site.at("/x", page)], into=into)
    finally:
        os.umask(before)
    begun.wait(20)
    assert (into / "manifest.lock").stat().st_mode & 0o777 == mode
    gate.set()
    fetched.wait()
    assert not (into / "manifest.lock").exists()


def test_appended_lines_are_continued_where_the_manifest_ends(site: Site, tmp_path: Path):
    target = tmp_path / "all.jsonl"
    fetch(site.urls(4), threads=1, append=target).wait()
    expected = target.read_bytes()
    path = tmp_path / "all.jsonl.fetch" / "manifest.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:3]))  # killed between the two
    target.write_bytes(expected + b'{"torn')

    again = fetch(site.urls(4), threads=1, append=target, resume=True).wait()

    assert (again.files, again.complete) == (1, 3)
    assert target.read_bytes() == expected


def test_a_file_to_append_to_that_is_not_ours_is_left_alone(site: Site, tmp_path: Path):
    target = tmp_path / "all.jsonl"
    target.write_text("precious\n")

    with pytest.raises(UsageError, match="no manifest tells of it"):
        fetch(site.urls(1), append=target)

    assert target.read_text() == "precious\n"


class Valve:
    """Lets so many requests through and holds the others, so that no run ends before it is killed."""

    def __init__(self) -> None:
        self.is_holding = threading.Event()
        self._lock = threading.Lock()
        self._gate = threading.Event()
        self._left = 0

    def let(self, count: int) -> None:
        """Let so many more through, and end those that were held."""
        with self._lock:
            self._gate.set()
            self._left, self._gate = count, threading.Event()
            self.is_holding.clear()

    def open(self) -> None:
        """Let all through."""
        self.let(1 << 30)

    def through(self, page: Page) -> Page:
        """A page behind it."""

        def held(call: Call, count: int) -> None:
            with self._lock:
                self._left -= 1
                is_held, gate = self._left < 0, self._gate
            if is_held:
                self.is_holding.set()
                gate.wait(30)
                call.close_connection = True
            else:
                page(call, count)

        return held


def killed_and_resumed(site: Site, folder: Path, count: int, kills: int, seed: int) -> None:
    """Run the command again and again, killing it, and once to its end."""
    chance, valve = random.Random(seed), Valve()
    urls = site.urls(count)
    (folder / "urls.txt").write_text("\n".join(urls) + "\n")
    fetch(urls, threads=4, into=folder / "undisturbed").wait()
    for url in urls:
        path = url.removeprefix(site.url)
        site.at(path, valve.through(site.pages.get(path) or default))
    words = ["fetch", str(folder / "urls.txt"), "--into", str(folder / "killed"), "-q", "--threads", "4", "--resume"]
    command = [sys.executable, "-m", "loadkit", *words]
    for _ in range(kills):
        valve.let(chance.randrange(1, count // kills))
        process = subprocess.Popen(command)
        assert valve.is_holding.wait(60)
        # some of them are under way, wherever they are
        time.sleep(chance.random() * 0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    valve.open()
    assert subprocess.run(command, timeout=100, check=False).returncode == 0


def slowly(call: Call, _: int) -> None:
    """A body in several pieces, so that a kill finds some of them half written."""
    body = body_of(call.path) * 100
    call.send_response(200)
    call.send_header("Content-Type", "application/json")
    call.send_header("Content-Length", str(len(body)))
    call.end_headers()
    for start in range(0, len(body), 10_000):
        call.wfile.write(body[start : start + 10_000])


def check_equal(site: Site, folder: Path, count: int) -> None:
    assert contents(folder / "killed") == contents(folder / "undisturbed")
    settled = last_lines(folder / "killed")
    assert sorted(settled) == sorted(site.urls(count))
    assert all("error" not in line for line in settled.values())


def test_killed_and_resumed_the_folder_is_the_same(site: Site, tmp_path: Path):
    killed_and_resumed(site, tmp_path, count=80, kills=1, seed=1)

    check_equal(site, tmp_path, 80)


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_killed_at_ten_moments_and_resumed_the_folder_is_the_same(site: Site, tmp_path: Path):
    for number in range(1, 3001, 3):
        site.at(f"/posts/{number}", slowly)

    killed_and_resumed(site, tmp_path, count=3000, kills=10, seed=random.randrange(10**9))

    check_equal(site, tmp_path, 3000)


@given(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 20)))
def test_a_digest_set_does_what_a_set_does(values: list[int]):
    mine, theirs = DigestSet(), set[int]()
    for value in values:
        # an empty slot is 0, so 0 and 1 are one
        assert mine.add(value) == ((value or 1) not in theirs)
        theirs.add(value or 1)

    assert all(value in mine for value in values)


def test_a_digest_set_grows_takes_little_room_and_forgets_nothing():
    keys = [digest_of(f"http://h/{number}") for number in range(10_000)]
    tracemalloc.start()
    mine = DigestSet()
    assert all(mine.add(key) for key in keys)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert size <= 22 * len(keys)
    assert not any(mine.add(key) for key in keys)
    assert digest_of("http://h/x") not in mine
