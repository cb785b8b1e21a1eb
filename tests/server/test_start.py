"""Servers that loadkit starts and that die, that others displace, and that must not be left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from loadkit import Endpoint, Scenario, UsageError, run, serving
from loadkit.judge.result import Result
from loadkit.plan.loader import load
from loadkit.report.layout import Layout
from loadkit.report.text import text_report
from loadkit.server.demo import Demo
from tests.conftest import Call
from tests.waiting import is_gone, is_refused, wait_for

ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

MORTAL = """
import os, socket, sys, threading
port, left = int(sys.argv[1]), int(sys.argv[2])
def answer(line):
    global left
    while data := line.recv(4096):
        status = b"503 No" if b" /unready " in data else b"200 OK"
        line.sendall(b"HTTP/1.1 " + status + b"\\r\\nContent-Length: 2\\r\\n\\r\\nok")
        left -= 1
        if left < 0:
            print("starting\\nFATAL \\x1b[31mno memory\\n", flush=True)
            os._exit(9)
listener = socket.create_server(("127.0.0.1", port), backlog=99)
while True:
    threading.Thread(target=answer, args=listener.accept()[:1], daemon=True).start()
"""
"""Dies with 9 after some requests, of which the one that asks whether it is up is the first."""

MORTAL_APP = """
import os
left = 100
def app(environ, start_response):
    global left
    left -= 1
    if left < 0:
        print("FATAL \\x1b[31mno memory", flush=True)
        os._exit(9)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""

Started = Callable[[], contextlib.AbstractContextManager[Scenario]]


def load_on(url: str, **more: Any) -> Scenario:
    fields: dict[str, Any] = {"base_url": url, "endpoints": [Endpoint("GET", "/")], "threads": 2, "duration": "40s"}
    return Scenario(**{**fields, **more})


@contextlib.contextmanager
def by_scenario(folder: Path, port: int) -> Iterator[Scenario]:
    yield load_on(f"http://127.0.0.1:{port}", server=[sys.executable, "-c", MORTAL, str(port), "100"])


@contextlib.contextmanager
def by_command(folder: Path, port: int) -> Iterator[Scenario]:
    with serving([sys.executable, "-c", MORTAL, "{port}", "100"]) as url:
        yield load_on(url)


@contextlib.contextmanager
def by_application(folder: Path, port: int) -> Iterator[Scenario]:
    (folder / "mortal.py").write_text(MORTAL_APP)
    with serving(f"{folder}/mortal.py:app") as url:
        yield load_on(url)


def told(result: Result) -> str:
    """The caveat that says that the server ended."""
    return next(one.message for one in result.caveats if (one.code, one.level) == ("server-lost", "grave"))


# -- it dies


@pytest.mark.parametrize("started", [by_scenario, by_command, by_application])
def test_a_run_whose_server_dies_ends_and_says_how_it_died(
    tmp_path: Path, free_port: int, started: Callable[[Path, int], contextlib.AbstractContextManager[Scenario]]
):
    with started(tmp_path, free_port) as scenario:
        result = run(scenario)

    assert result.outcome == "server-lost"
    assert (result.passed, result.validity) == (False, "invalid")
    assert (result.bottleneck.cause, result.bottleneck.sentence) == (None, ""), "more threads would tell nothing of it"
    assert result.duration < 35, "it did not go on for the 40 s that were asked for"
    assert 90 <= result.statuses[200] <= 102, "what was measured stays"
    assert " ended with exit code 9 at " in told(result)
    assert "FATAL" in told(result)
    report = text_report(result, Layout(width=120))
    assert "SERVER LOST" in report
    assert "FATAL \\x1b[31mno memory" in report, "and no terminal is coloured by it"


def test_on_the_command_line_it_is_exit_code_1_with_several_processes_and_thresholds_that_hold_too(
    call: Call, tmp_path: Path, free_port: int
):
    server = [sys.executable, "-c", MORTAL, str(free_port), "100"]
    (tmp_path / "shop.py").write_text(
        f"from loadkit import Endpoint, Scenario\n"
        f"shop = Scenario(base_url='http://127.0.0.1:{free_port}', endpoints=[Endpoint('GET', '/')], threads=2,\n"
        f"    duration='40s', thresholds=['error_rate < 90%'], server={server})\n"
    )
    done = call("run", str(tmp_path / "shop.py"), "--processes", "2")

    assert done.returncode == 1, done.stdout + done.stderr
    assert "SERVER LOST: the server that loadkit started ended" in done.stdout
    assert "PASSED" not in done.stdout


RAISING = """
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Shop(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path != "/sound":
            return self.send_error(404) if self.path == "/404" else 1 / 0
        self.send_response(204)
        self.end_headers()
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Shop).serve_forever()
"""


@pytest.mark.parametrize(("path", "is_shown"), [("/raises", True), ("/sound", False), ("/404", False)])
def test_what_a_server_prints_is_shown_where_it_hangs_up(path: str, is_shown: bool):
    server = [sys.executable, "-c", RAISING, "{port}"]
    found = run(Scenario(endpoints=[Endpoint("GET", path)], server=server, ready="/sound", iterations=2))

    said = [one.message for one in found.caveats if one.code == "server-output"]
    assert len(said) == is_shown
    assert all("ZeroDivisionError: division by zero" in one for one in said)


@pytest.mark.parametrize(("printed", "shown"), [(19, "| line 0\n"), (30, "| …\n  | line 10\n")])
def test_output_that_is_cut_says_so(printed: int, shown: str):
    program = f"for number in range({printed}): print('line', number)"

    with pytest.raises(UsageError, match="its output:") as caught, serving([sys.executable, "-c", program, "{port}"]):
        pass

    assert shown in str(caught.value)


def test_one_that_died_between_two_runs_is_told_at_once():
    with serving([sys.executable, "-c", MORTAL, "{port}", "1"]) as url:
        requests.get(url, timeout=10)
        wait_for(lambda: is_refused(url))
        result = run(load_on(url))

    assert (result.outcome, result.statuses) == ("server-lost", {})
    assert result.duration < 35
    assert " ended with exit code 9 before the run; its output: starting | FATAL" in told(result)


def test_one_that_was_killed_names_the_signal():
    with serving(
        [sys.executable, "-c", MORTAL.replace("os._exit(9)", "os.kill(os.getpid(), 9)"), "{port}", "50"]
    ) as url:
        assert " was ended by SIGKILL at " in told(run(load_on(url)))


@ON_LINUX
def test_one_whose_workers_serve_on_when_their_parent_ends_is_not_lost():
    program = """
import http.server, os, signal, sys
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.BaseHTTPRequestHandler)
parent = os.getpid()
if os.fork():
    signal.pause()
class Worker(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/kill":
            os.kill(parent, signal.SIGKILL)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(str(os.getpid()).encode())
    def log_message(self, *_):
        pass
server.RequestHandlerClass = Worker
server.serve_forever()
"""
    with serving([sys.executable, "-c", program, "{port}"]) as url:
        worker = int(requests.get(f"{url}/kill", timeout=10).text)
        result = run(load_on(url, duration=None, iterations=100))

    assert (result.outcome, result.requests) == ("passed", 100)
    assert is_refused(url), "its workers ended with the block"
    assert is_gone(worker)


# -- another one answers


def test_a_port_that_somebody_listens_on_is_refused_before_anything_is_started():
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        scenario = load_on(f"http://127.0.0.1:{port}", server=["no-such-program"])

        with pytest.raises(UsageError, match=f"^something already listens on 127.0.0.1:{port}") as error:
            run(scenario)

    assert sys.platform != "linux" or f", process {os.getpid()} (" in str(error.value)


@ON_LINUX
@pytest.mark.parametrize(
    ("then", "message"),
    [
        ("exit 3", r"ended with exit code 3"),
        ("sleep 60", r"was not ready within 2 s: what answers at 127.0.0.1:\d+ is process \d+ "),
    ],
)
def test_one_that_takes_the_port_of_a_server_in_time_is_not_measured_in_its_place(
    tmp_path: Path, then: str, message: str
):
    note = tmp_path / "port"
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
    is_over = threading.Event()

    def displace() -> None:
        wait_for(lambda: note.exists() and bool(note.read_text().strip()))
        with socket.create_server(("127.0.0.1", int(note.read_text()))) as listener:
            listener.settimeout(0.1)
            (tmp_path / "taken").touch()
            while not is_over.is_set():
                with contextlib.suppress(TimeoutError):
                    peer, _ = listener.accept()
                    with peer:
                        peer.recv(1000)
                        peer.sendall(reply)

    thread = threading.Thread(target=displace)
    thread.start()
    script = f"echo {{port}} > {note}; while [ ! -e {tmp_path}/taken ]; do sleep 0.05; done; {then}"
    try:
        with pytest.raises(UsageError, match=message), serving(["/bin/sh", "-c", script], within="2s"):
            pass
    finally:
        is_over.set()
        thread.join()


@pytest.mark.parametrize(
    ("base_url", "server"),
    [("'http://127.0.0.1:1'", "['no-such-program']"), (None, "['no-such-program', '{port}']"), (None, "'no.such:app'")],
)
def test_a_base_url_that_is_given_wins_over_the_server(tmp_path: Path, demo: Demo, base_url: str | None, server: str):
    (tmp_path / "shop.py").write_text(
        "from loadkit import Endpoint, Scenario\n"
        f"shop = Scenario(base_url={base_url}, endpoints=[Endpoint('GET', '/')], server={server})\n"
    )
    (scenario,) = load(str(tmp_path / "shop.py"))

    for one in (scenario, scenario.replace(source=None)):
        result = run(one.replace(base_url=demo.url, iterations=4))

        assert (result.outcome, result.requests) == ("passed", 4)


@pytest.mark.parametrize(
    ("base_url", "processes"), [(None, 2), ("http://127.0.0.1:0", 1), ("http://127.0.0.1:{free}", 1)]
)
def test_the_port_of_a_server_is_filled_in(tmp_path: Path, free_port: int, base_url: str | None, processes: int):
    url = base_url and base_url.replace("{free}", str(free_port))
    (tmp_path / "shop.py").write_text(
        "from loadkit import Endpoint, Scenario\n"
        f"shop = Scenario(base_url={url!r}, endpoints=[Endpoint('GET', '/')], iterations=20, threads=2,\n"
        f"    server=['python', '-c', {MORTAL!r}, '{{port}}', '999'])\n"
    )
    (scenario,) = load(str(tmp_path / "shop.py"))

    result = run(scenario.replace(processes=processes))

    assert (result.outcome, result.requests) == ("passed", 20)
    assert urlsplit(result.scenario.base_url).port
    assert not base_url or "free" not in base_url or urlsplit(result.scenario.base_url).port == free_port


@pytest.mark.parametrize("form", ["{file}:app", ["{file}:app"]])
def test_a_scenario_may_name_an_application(tmp_path: Path, form: str | list[str]):
    (tmp_path / "mortal.py").write_text(MORTAL_APP)
    named = f"{tmp_path}/mortal.py:app"
    scenario = Scenario(endpoints=[Endpoint("GET", "/")], server=named if isinstance(form, str) else [named])

    result = run(scenario.replace(threads=2, iterations=20))

    assert (result.outcome, result.requests) == ("passed", 20)
    assert urlsplit(result.scenario.base_url).port


# -- it does not come up


def test_a_server_that_is_not_ready_is_told_with_its_last_answer():
    with (
        pytest.raises(
            UsageError,
            match=r"not ready within 1 s: the last answer of 127.0.0.1:\d+ to /unready was 503; it printed nothing$",
        ),
        serving([sys.executable, "-c", MORTAL, "{port}", "1000"], ready="/unready", within="1s"),
    ):
        pass


def test_a_command_without_its_port_is_told_the_port_that_nobody_listens_on():
    with (
        pytest.raises(UsageError, match=r"nothing listens on 127.0.0.1:\d+, and the command does not say \{port\}"),
        serving(["sleep", "60"], within="1s"),
    ):
        pass


def test_a_server_that_leaves_for_the_background_is_told_to_stay():
    with (
        pytest.raises(
            UsageError, match=r"'true' ended with exit code 0, where it should stay in the foreground; it printed"
        ),
        serving(["true"]),
    ):
        pass


# -- nothing is left behind, and nothing of the working directory is run


@ON_LINUX
def test_servers_do_not_outlive_whoever_started_them(tmp_path: Path, free_port: int):
    (tmp_path / "mortal.py").write_text(MORTAL_APP)
    (tmp_path / "command.py").write_text(MORTAL)
    program = """
        import os, pathlib, signal, sys
        from loadkit import Scenario, run, serving
        def die():
            own = os.getpid()
            stats = [one.read_text() for one in pathlib.Path("/proc").glob("[0-9]*/stat")]
            parents = {int(text.split()[0]): int(text.rpartition(")")[2].split()[1]) for text in stats}
            print(*(pid for pid, parent in parents.items() if parent == own), flush=True)
            os.kill(own, signal.SIGKILL)
        def scenario(port):
            server = [sys.executable, "command.py", str(port), "999"]
            url = f"http://127.0.0.1:{port}"
            return Scenario(base_url=url, endpoints=[lambda http: die()], threads=1, server=server)
        with serving("mortal.py:app"), serving([sys.executable, "command.py", "{port}", "999"]):
            run(scenario(sys.argv[1]))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(free_port)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )

    assert done.returncode == -signal.SIGKILL, done.stderr
    children = [int(pid) for pid in done.stdout.split()]
    assert len(children) >= 3
    wait_for(lambda: all(map(is_gone, children)))


def test_an_application_is_served_without_code_of_the_working_directory(tmp_path: Path):
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    for folder in (here / "loadkit", elsewhere):
        folder.mkdir(parents=True)
    (here / "loadkit" / "__init__.py").write_text("open('was-run', 'w').close()")
    (elsewhere / "script.py").write_text("from loadkit import serving\nwith serving('mortal.py:app'): pass\n")
    (here / "mortal.py").write_text(MORTAL_APP)

    subprocess.run([sys.executable, elsewhere / "script.py"], cwd=here, check=True, timeout=50)

    assert not (here / "was-run").exists()
