"""The live page: served to this machine alone, by a process of its own, until the run has ended."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from loadkit import Endpoint, Result, Scenario, run
from loadkit.jobs.live import FOUND, LivePage, live_page
from loadkit.jobs.live.server import NICE, Page
from loadkit.judge.validity import Caveat
from loadkit.plan.errors import UsageError
from loadkit.report.files import write_bytes
from loadkit.report.json import encoded
from loadkit.server.demo import Demo
from tests.browser import Browser, browser
from tests.report.pages import HOSTILE
from tests.results import replace
from tests.waiting import is_refused, wait_for

__all__ = ["browser"]  # a fixture


@pytest.fixture(scope="module")
def found(demo: Demo) -> Result:
    return run(Scenario(endpoints=[Endpoint("GET", f"{demo.url}/")], threads=1, iterations=5))


@pytest.fixture(scope="module")
def so_far(found: Result) -> Result:
    caveats = [Caveat("partial", "written after 1 s", "note")]
    return replace(found, outcome="interrupted", validity="clean", caveats=caveats)


@pytest.fixture(scope="module")
def page() -> Iterator[LivePage]:
    """One that only looks are taken at."""
    with live_page() as shown:
        yield shown


def state(page: LivePage) -> dict[str, Any]:
    found: dict[str, Any] = requests.get(f"{page.url}state", timeout=5).json()
    return found


def watched(url: str) -> tuple[str, str]:
    """How the run stands in the end, and the page that is shown then, as a browser comes to both."""
    shown = {"version": 0, "state": "", "page": ""}

    def look() -> bool:
        now = requests.get(f"{url}state", timeout=5).json()
        page = shown["page"] if now["version"] == shown["version"] else requests.get(url, timeout=5).text
        shown.update(now, page=page)
        return now["state"] in ("ended", "lost")

    wait_for(look)
    return str(shown["state"]), str(shown["page"])


# -- what it shows


def named(result: Result, name: str) -> Result:
    return replace(result, identity=replace(result.identity, name=name), scenario=replace(result.scenario, name=name))


def test_it_shows_what_was_found_so_far_of_each_run_until_all_was_found(tmp_path: Path, found: Result, so_far: Result):
    page = Page(tmp_path)
    assert b"The run begins" in page.content

    for number, name in enumerate(("browse", "order")):
        version = page.version
        write_bytes(tmp_path / f"{number:06}.json", encoded([named(so_far, name)]))
        page.look()
        assert page.version == version + 1
        assert page.content.count(b"RUNNING") >= 1
        assert b"written after 1 s" not in page.content
    assert b"<bdi>browse</bdi>" in page.content
    assert b"<bdi>order</bdi>" in page.content

    write_bytes(tmp_path / FOUND, encoded([named(found, "all")]))
    page.look()
    assert b"RUNNING" not in page.content
    assert b"<bdi>order</bdi>" not in page.content


def test_what_is_no_result_leaves_the_page_as_it_was(tmp_path: Path, so_far: Result):
    page = Page(tmp_path)
    write_bytes(tmp_path / "000000.json", encoded([so_far]))
    page.look()
    before = page.version, page.content

    for name, content in (("000000.json", b"{"), ("000000.json", b""), ("other", b"")):
        write_bytes(tmp_path / name, content)
        page.look()
        assert (page.version, page.content) == before


def test_the_run_has_not_ended_before_its_last_figures_are_there(tmp_path: Path, found: Result):
    page = Page(tmp_path)
    os.mkfifo(tmp_path / FOUND)  # who reads it waits for what is written into it
    version = page.version

    with ThreadPoolExecutor(1) as pool:
        ends = pool.submit(page.end, '{"errors": {}}')
        with (tmp_path / FOUND).open("wb") as figures:
            assert (page.state, page.version) == ("running", version)
            figures.write(encoded([found]))
        ends.result()

    assert (page.state, page.version) == ("ended", version + 1)


@pytest.mark.parametrize(
    ("said", "has_figures", "state", "text"),
    [
        ('{"errors": {"shop.py": "the set-up failed"}}', False, "ended", "the set-up failed"),
        ('{"errors": {}}', False, "ended", "Nothing was found"),
        ("", False, "lost", "Nothing was found"),
        ("", True, "lost", "written after 1 s"),
    ],
)
def test_a_run_without_a_result_leaves_a_page_that_says_so(
    said: str, has_figures: bool, state: str, text: str, tmp_path: Path, so_far: Result
):
    page = Page(tmp_path)
    if has_figures:
        write_bytes(tmp_path / "000000.json", encoded([so_far]))

    page.end(said)

    assert page.state == state
    assert text in page.content.decode()


def test_hostile_names_are_text(tmp_path: Path, so_far: Result):
    write_bytes(tmp_path / "000000.json", encoded([named(so_far, " ".join(HOSTILE))]))
    page = Page(tmp_path)

    page.end('{"errors": {"<b>other</b>": "<i>why</i>"}}')

    shown = page.content.decode()
    assert shown.count("<script") == 2
    assert "&lt;svg onload" in shown
    assert not re.search("<(img|svg onload|b>|i>)", shown)


@pytest.mark.parametrize(
    ("asked", "now", "seconds"),
    [
        pytest.param(None, 1_000.0, 0.0, id="nobody has ever looked"),
        pytest.param(1_000.0, 1_001.0, 2.5, id="somebody looks, once a second"),
        pytest.param(1_000.0, 1_003.5, 0.0, id="who looked at it has gone"),
    ],
)
def test_its_end_waits_for_those_who_look_at_it(asked: float | None, now: float, seconds: float, tmp_path: Path):
    page = Page(tmp_path)
    page.asked = page.asked if asked is None else asked

    assert page.lingers(now) == seconds


# -- who sees it


@pytest.mark.parametrize("path", ["", "state", "x/", "../", "%00/state", "{short}/", "{token}x/", "x/{token}/"])
def test_nobody_sees_it_without_its_token(page: LivePage, path: str):
    root, token = page.url.rstrip("/").rsplit("/", 1)
    wrong = path.format(token=token, short=token[:-1])

    with closing(page_connection(page)) as sock:  # as it is: requests would tidy it up
        for method, end in (("GET", ""), ("POST", "stop")):
            answer = asked(sock, f"{method} /{wrong}{end}", Host=urlsplit(root).netloc)
            assert " 404 " in answer
            assert "loadkit printed" in answer or "no such page" in answer
            assert "html" not in answer
    assert state(page)["state"] == "running"


def page_connection(page: LivePage) -> socket.socket:
    return socket.create_connection(("127.0.0.1", urlsplit(page.url).port or 0), timeout=20)


def asked(sock: socket.socket, line: str, **headers: str) -> str:
    """The reply to a request that is sent as it stands."""
    lines = [f"{line} HTTP/1.1", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    sock.sendall("\r\n".join([*lines, "", ""]).encode())
    with sock.makefile("rb") as reader:
        head = b"".join(iter(reader.readline, b"\r\n")).decode()
        (length,) = re.findall(r"Content-Length: (\d+)", head)
        return head + reader.read(int(length)).decode()


def test_a_page_of_another_site_does_not_see_it_by_a_name_of_its_own(page: LivePage):
    port = urlsplit(page.url).port
    for host in ("evil.example", f"evil.example:{port}", f"127.0.0.1.evil.example:{port}", "127.0.0.1", ""):
        assert requests.get(page.url, headers={"Host": host}, timeout=5).status_code == 403
        assert requests.post(f"{page.url}stop", headers={"Host": host}, timeout=5).status_code == 403
    for host in (f"127.0.0.1:{port}", f"LocalHost:{port}"):
        assert requests.get(page.url, headers={"Host": host}, timeout=5).status_code == 200
    assert state(page)["state"] == "running"


def test_it_is_not_kept_framed_guessed_at_or_told_to_others(page: LivePage):
    headers = requests.get(page.url, timeout=5).headers

    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "Access-Control-Allow-Origin" not in headers


def test_it_listens_on_loopback_alone(page: LivePage):
    port = urlsplit(page.url).port
    held = Path("/proc/net/tcp")
    if not held.exists():
        pytest.skip("needs /proc")

    listening = [line.split()[1] for line in held.read_text().splitlines() if line.split()[3] == "0A"]

    assert [one for one in listening if one.endswith(f":{port:04X}")] == [f"0100007F:{port:04X}"]


def test_its_process_stands_back_and_its_token_is_no_argument(page: LivePage):
    token = page.url.rstrip("/").rpartition("/")[2]
    tasks = Path("/proc/self/task")
    if not tasks.exists():
        pytest.skip("needs /proc")

    children = [pid for task in tasks.iterdir() for pid in (task / "children").read_text().split()]
    commands = {int(pid): Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children}
    servers = [pid for pid, command in commands.items() if b"loadkit.jobs.live.server" in command]

    assert servers
    stands_back = min(19, os.getpriority(os.PRIO_PROCESS, 0) + NICE)
    assert {os.getpriority(os.PRIO_PROCESS, pid) for pid in servers} == {stands_back}
    assert token.encode() not in b"".join(commands.values())


def test_the_usual_port_that_is_taken_is_left_for_a_free_one_and_one_that_was_named_is_refused():
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(UsageError, match=rf"port {port}: address already in use; leave --live-port out"):
            live_page(port).__enter__()
    with live_page() as one, live_page() as other:
        assert one.url.split("/")[2] != other.url.split("/")[2]


# -- how it ends


def test_the_button_counts_as_a_request_to_stop():
    with live_page() as page:
        interrupts = page.with_stops(lambda: 0)
        assert requests.get(f"{page.url}stop", timeout=5).status_code == 404
        assert (interrupts(), state(page)["state"]) == (0, "running")

        # what comes with it is no request of its own
        with closing(page_connection(page)) as sock:
            body = f"POST {urlsplit(page.url).path}stop HTTP/1.1\r\nHost: {urlsplit(page.url).netloc}\r\n\r\n"
            sock.sendall(
                f"POST {urlsplit(page.url).path}stop HTTP/1.1\r\nHost: {urlsplit(page.url).netloc}\r\n"
                f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
            )
            answers = b"".join(iter(lambda: sock.recv(65536), b""))

        assert answers.count(b"HTTP/1.1 200 ") == 1
        wait_for(lambda: interrupts() == 1)
        assert state(page)["state"] == "stopping"


def test_viewers_that_read_nothing_hold_up_neither_the_others_nor_the_end(found: Result):
    with ThreadPoolExecutor(1) as pool, ExitStack() as stack:
        with live_page() as page:
            path, host = urlsplit(page.url).path, urlsplit(page.url).netloc
            whole = f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
            for said in (b"", whole[:20], whole * 1_000):  # which are more pages than the buffers take
                for _ in range(10):
                    stack.enter_context(page_connection(page)).sendall(said)
            seen = pool.submit(watched, page.url)
            wait_for(lambda: "The run begins" in requests.get(page.url, timeout=5).text)
            page.finish([found])
        state, shown = seen.result()

    assert state == "ended"
    assert "PASSED" in shown
    assert is_refused(page.url)


SCENARIO = """
import time
from pathlib import Path
from loadkit import Endpoint, Scenario

def fails():
    while not Path("go").exists():
        time.sleep(0.01)
    raise ValueError("there is no such shop")

browse = Scenario(base_url="{url}", endpoints=[Endpoint("GET", "/")], duration=100, think_time=0.01)
order = browse.replace(think_time=0, rate="20/s")
broken = browse.replace(setup=fails)
"""


def press(_: subprocess.Popen[str], url: str) -> None:
    assert requests.post(f"{url}stop", timeout=5).status_code == 200


def interrupt(process: subprocess.Popen[str], _: str) -> None:
    os.killpg(process.pid, signal.SIGINT)


def kill(process: subprocess.Popen[str], _: str) -> None:
    process.kill()


def go_on(*_: object) -> None:
    Path("go").touch()


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("options", "runs", "action", "state", "text", "code"),
    [
        pytest.param("shop.py::browse", 1, press, "ended", "INTERRUPTED</strong>", 2, id="its button"),
        pytest.param("shop.py::browse", 1, interrupt, "ended", "INTERRUPTED</strong>", 2, id="Ctrl-C"),
        pytest.param("shop.py::browse", 1, kill, "lost", "written after", -9, id="it is killed"),
        pytest.param("shop.py::broken", 0, go_on, "ended", "there is no such shop", 6, id="its set-up fails"),
        pytest.param("shop.py -s browse -s order --together", 2, press, "ended", "2 results", 2, id="two together"),
    ],
)
def test_whoever_looks_at_a_run_sees_its_end(
    options: str,
    runs: int,
    action: Callable[[subprocess.Popen[str], str], None],
    state: str,
    text: str,
    code: int,
    demo: Demo,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.chdir(tmp_path)
    Path("shop.py").write_text(SCENARIO.replace("{url}", demo.url))
    with ThreadPoolExecutor(1) as pool, shown(*options.split()) as (process, url):
        wait_for(lambda: requests.get(url, timeout=5).text.count("RUNNING</strong>") == runs)
        seen = pool.submit(watched, url)
        action(process, url)
        found, page = seen.result()
        process.communicate(timeout=60)

    assert (process.returncode, found) == (code, state)
    assert text in page
    assert "RUNNING" not in page
    wait_for(lambda: is_refused(url))


@contextmanager
def shown(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A run with a page, in a group of processes of its own, and the URL of the page."""
    command = [sys.executable, "-m", "loadkit", "run", *options, "--live"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stderr=pipe, stdout=pipe, text=True, start_new_session=True) as process:
        assert process.stderr
        said = process.stderr.readline()
        assert "the run is shown at http://127.0.0.1:" in said
        url = said.split()[-1]
        try:
            yield process, url
        finally:
            process.kill()


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_browser_shows_the_run_as_it_goes_on_stops_it_and_keeps_its_report(
    browser: Browser, demo: Demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    with shown(demo.url, "-z", "100s", "-c", "2", "-o", "out.json") as (process, url):
        browser.post("url", url=url)
        wait_for(lambda: browser.evaluate("document.title").startswith("RUNNING"))
        first = browser.evaluate("document.querySelector('.figures').textContent")
        browser.evaluate("document.querySelectorAll('main details').forEach((one) => { one.open = true; }) ?? true")
        wait_for(lambda: browser.evaluate("document.querySelector('.figures').textContent") != first)
        assert browser.evaluate("[...document.querySelectorAll('main details')].every((one) => one.open)")
        button = browser.post("element", using="css selector", value="#live button")
        browser.post(f"element/{next(iter(button.values()))}/click")
        printed, _ = process.communicate(timeout=60)

    assert process.returncode == 2
    assert "INTERRUPTED after" in printed
    wait_for(lambda: browser.evaluate("document.getElementById('live').dataset.state") == "ended")
    assert browser.evaluate("document.title").startswith("INTERRUPTED")
    assert "This page is its report" in browser.evaluate("document.getElementById('live').textContent")
    assert browser.post("se/log", type="browser") == []
    assert {file.name for file in tmp_path.iterdir()} >= {"out.json"}
    assert not (tmp_path / "out.json.partial").exists()


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_hostile_names_do_nothing_in_a_browser_when_they_come_later(browser: Browser, so_far: Result):
    with live_page() as page:
        browser.post("url", url=page.url)
        for name in ("one", "other"):
            write_bytes(page.snapshot(), encoded([named(so_far, " ".join([name, *HOSTILE]))]))
            wait_for(lambda: f"RUNNING {name} " in browser.evaluate("document.title"))  # noqa: B023 - called at once

        assert browser.evaluate("document.querySelectorAll('img, article script, style').length") == 1, "its own style"
        assert browser.evaluate("getComputedStyle(document.body).display") != "none"
        assert browser.post("se/log", type="browser") == []
