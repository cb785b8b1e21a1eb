"""The live page: served to this machine alone, by a process of its own, until the run has ended."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from loadkit import Endpoint, Result, Scenario, run
from loadkit.jobs.live import PORT, LivePage, live_page
from loadkit.judge.validity import Caveat
from loadkit.plan.errors import UsageError
from loadkit.report.files import write_bytes
from loadkit.report.json import encoded
from loadkit.server.demo import Demo
from tests.browser import Browser, browser
from tests.results import replace
from tests.waiting import is_refused, wait_for

__all__ = ["browser"]  # a fixture


@pytest.fixture(scope="module")
def found(demo: Demo) -> Result:
    return run(Scenario(endpoints=[Endpoint("GET", f"{demo.url}/")], threads=1, iterations=5))


@pytest.fixture(scope="module")
def so_far(found: Result) -> Result:
    return replace(found, caveats=[Caveat("partial", "written after 1 s", "note")])


@pytest.fixture
def page() -> Iterator[LivePage]:
    with live_page() as shown:
        yield shown


def state(page: LivePage) -> dict[str, Any]:
    found: dict[str, Any] = requests.get(f"{page.url}state", timeout=5).json()
    return found


def test_the_page_says_first_that_the_run_begins_and_then_what_was_found_so_far(page: LivePage, so_far: Result):
    assert "The run begins" in requests.get(page.url, timeout=5).text
    version = state(page)["version"]

    write_bytes(page.snapshot, encoded([so_far]))

    wait_for(lambda: state(page)["version"] > version)
    shown = requests.get(page.url, timeout=5).text
    assert "RUNNING" in shown
    assert "written after 1 s" not in shown
    assert so_far.scenario.name in shown


def test_what_is_no_result_leaves_the_page_as_it_was(page: LivePage, so_far: Result):
    write_bytes(page.snapshot, encoded([so_far]))
    wait_for(lambda: "RUNNING" in requests.get(page.url, timeout=5).text)
    version = state(page)["version"]

    write_bytes(page.snapshot, b"{")
    write_bytes(page.snapshot.with_name("other"), b"")
    time.sleep(0.7)  # two looks

    assert state(page) == {"version": version, "state": "running"}


@pytest.mark.parametrize("path", ["", "state", "x/", "../", "%00/state"])
def test_nobody_sees_it_without_its_token(page: LivePage, path: str):
    root = page.url.rsplit("/", 2)[0]

    for answer in (requests.get(f"{root}/{path}", timeout=5), requests.post(f"{root}/{path}stop", timeout=5)):
        assert answer.status_code == 404
        assert "loadkit printed" in answer.text
    assert state(page)["state"] == "running"


def test_a_page_of_another_site_does_not_see_it_by_a_name_of_its_own(page: LivePage):
    for host in ("evil.example", f"evil.example:{PORT}", "127.0.0.1", ""):
        assert requests.get(page.url, headers={"Host": host}, timeout=5).status_code == 403


def test_it_is_not_kept_framed_or_told_to_others(page: LivePage):
    headers = requests.get(page.url, timeout=5).headers

    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "Access-Control-Allow-Origin" not in headers


def test_it_listens_on_loopback_alone(page: LivePage):
    port = int(page.url.split(":")[2].split("/")[0])
    held = Path("/proc/net/tcp")
    if not held.exists():
        pytest.skip("needs /proc")

    listening = [line.split()[1] for line in held.read_text().splitlines() if line.split()[3] == "0A"]

    assert [one for one in listening if one.endswith(f":{port:04X}")] == [f"0100007F:{port:04X}"]


def test_the_button_counts_as_a_request_to_stop(page: LivePage):
    interrupts = page.with_stops(lambda: 0)

    assert requests.post(f"{page.url}stop", data="anything", timeout=5).status_code == 200

    wait_for(lambda: interrupts() == 1)
    assert state(page)["state"] == "stopping"


def test_whoever_looks_at_it_sees_the_end_and_it_takes_no_longer_than_that(found: Result):
    with live_page() as page:
        state(page)
        page.finish([found])
        began = time.monotonic()
        ended = _later(lambda: _ended(page))
    assert ended() == ("ended", True)
    assert time.monotonic() - began < 9
    with pytest.raises(requests.ConnectionError):
        state(page)


def test_where_nobody_looks_at_it_nothing_is_waited_for(found: Result):
    with live_page() as page:
        page.finish([found])
        began = time.monotonic()

    assert time.monotonic() - began < 2.5


def _later(ask: Callable[[], Any]) -> Callable[[], Any]:
    import threading

    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(ask()))
    thread.start()

    def wait() -> Any:
        thread.join()
        return found[0]

    return wait


def _ended(page: LivePage) -> tuple[str, bool]:
    wait_for(lambda: state(page)["state"] == "ended")
    return state(page)["state"], "RUNNING" not in requests.get(page.url, timeout=5).text


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


def test_a_process_that_is_killed_takes_its_page_along(demo: Demo, tmp_path: Path):
    command = [sys.executable, "-m", "loadkit", demo.url, "--live", "-z", "30s"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stderr
        (url,) = re.findall(r"http://127\.0\.0\.1:\d+/\S+", process.stderr.readline())
        assert requests.get(url, timeout=5).status_code == 200
        process.send_signal(signal.SIGKILL)
        process.wait()

    wait_for(lambda: is_refused(url))


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_browser_shows_the_run_as_it_goes_on_stops_it_and_keeps_its_report(
    browser: Browser, demo: Demo, tmp_path: Path
):
    command = [sys.executable, "-m", "loadkit", demo.url, "--live", "-z", "100s", "-c", "2", "-o", "out.json"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stderr
        (url,) = re.findall(r"http://127\.0\.0\.1:\d+/\S+", process.stderr.readline())
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
