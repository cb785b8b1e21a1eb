"""The command as users run it, with its exit codes and its streams; in a process of its own where that matters."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from loadkit.server.demo import Demo
from tests.conftest import Call, served
from tests.interrupts import interrupted

SCENARIO = """
from loadkit import Endpoint, Scenario

def is_coffee(reply):
    assert reply.json()["query"] == "coffee", "asked for coffee"

sound = Scenario(base_url="{url}", endpoints=[Endpoint("GET", "/"), Endpoint("GET", "/items/3")], iterations=60)
checked = sound.replace(endpoints=[Endpoint("GET", "/search", params={{"q": "tea"}}, check=is_coffee)], threads=2)
strict = sound.replace(thresholds=["p99 < 1us", "GET /: throughput > 1/s"])
"""


@pytest.fixture
def file(demo: Demo, tmp_path: Path) -> Path:
    """A scenario file aimed at the demo server."""
    path = tmp_path / "shop.py"
    path.write_text(SCENARIO.format(url=demo.url))
    return path


def test_processes_share_a_run_and_the_report_says_so(call: Call, file: Path):
    header = ("-H", "X-Told: to all")

    done = call("run", f"{file}::sound", "--processes", "2", "--threads", "4", "-n", "300", "--full", *header)

    assert done.returncode == 0, done.stderr
    assert "4 threads in 2 processes, 300 iterations, closed" in done.stdout
    assert "[200] 300" in done.stdout
    assert "; 2 processes, the busiest " in " ".join(done.stdout.split())
    assert "Traceback" not in done.stderr


def test_a_failed_check_is_shown_as_pytest_would_with_its_count(call: Call, file: Path):
    done = call("run", f"{file}::checked", "--iterations", "20")

    assert done.returncode == 1
    assert "asked for coffee" in done.stdout
    assert "'tea' == 'coffee'" in done.stdout
    assert "20" in done.stdout


def test_a_bare_url_needs_no_file(call: Call, demo: Demo, tmp_path: Path):
    output = tmp_path / "result.json"

    done = call("run", f"{demo.url}/items/1", "-c", "2", "-n", "500", "-q", "-o", str(output))

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert json.loads(output.read_text())["results"][0]["total"]["statuses"] == {"200": 500}


def test_once_ends_although_a_journey_does_not(call: Call, tmp_path: Path):
    file = tmp_path / "endless.py"
    file.write_text(
        "from loadkit import Scenario\n"
        "def endless(http):\n"
        "    while True:\n"
        "        http.pause('10ms')\n"
        "endless_loop = Scenario(base_url='http://127.0.0.1:1', endpoints=[endless], timeout=0.1)\n"
    )

    done = call("run", str(file), "--once")

    assert done.returncode == 1, "nothing came to its end"
    assert re.search(r"endless +journey +- +cut off\n", done.stdout)
    assert "FAILED: no journey ever came to its end" in done.stdout


def test_once_shows_for_each_what_came_of_it_and_no_figures(call: Call, demo: Demo, tmp_path: Path):
    file = tmp_path / "shop.py"
    file.write_text(
        "from loadkit import Endpoint, Scenario\n"
        "def buy(http):\n"
        "    assert http.post('/orders', json={'sku': 'tea'}).status_code == 200, 'not bought'\n"
        "items = Endpoint('GET', '/items')\n"
        f"shop = Scenario(base_url={demo.url!r}, endpoints=[items, Endpoint('GET', '/status/503'), buy])\n"
        "sound = shop.replace(endpoints=[items])\n"
    )

    failed, sound = call("run", f"{file}::shop", "--once"), call("run", f"{file}::sound", "--once")

    assert (failed.returncode, sound.returncode) == (1, 0)
    # sizes depend on how long the server's address is
    shown = [re.sub(r"[0-9.]+ (ms|us|s|B)\b", " ", line).split() for line in failed.stdout.splitlines()]
    assert ["✓", "GET", "/items", "200"] in shown
    at = shown.index(["✗", "GET", "/status/503", "503", "status", "503,", "expected", "200-399"])
    assert shown[at + 1] == ["GET", f"{demo.url}/status/503"]
    assert shown[at + 2][0] == '{"status":', "the body says why"
    assert ["✓", "POST", "/orders", "201"] in shown
    assert ["✗", "buy", "journey", "not", "bought"] in [line[:5] for line in shown]
    assert failed.stdout.rstrip().endswith("FAILED: requests failed")
    assert sound.stdout.rstrip().endswith("SOUND: no request failed")
    assert not any(word in failed.stdout + sound.stdout for word in ("p99", "throughput", "caveat"))


def test_once_runs_the_others_where_a_file_is_broken_or_a_setup_fails(call: Call, demo: Demo, tmp_path: Path):
    shop = (
        "from loadkit import Endpoint, Scenario\nshop = Scenario(base_url={!r}, endpoints=[Endpoint('GET', {!r})]{})\n"
    )
    (tmp_path / "a.py").write_text(shop.format(demo.url, "/items/11", ""))
    (tmp_path / "b.py").write_text("import loadkit\nshop = [\n")
    (tmp_path / "c.py").write_text(shop.format(demo.url, "/items/12", ", setup=lambda: 1 / 0"))
    (tmp_path / "d.py").write_text(shop.format(demo.url, "/items/13", ""))

    before = served(demo, "/items/{id}")
    once, listed = call("run", str(tmp_path), "--once"), call("list", str(tmp_path))

    assert (once.returncode, listed.returncode) == (4, 4)
    assert served(demo, "/items/{id}") - before == 2
    assert all(f"loadkit: {tmp_path}/b.py:2: '[' was never closed" in done.stderr for done in (once, listed))
    # without the breaks of lines, whose places depend on how long the folder's name is
    last = re.sub(r"\s", "", once.stdout.partition("ERROR")[2])
    assert re.search(r"/b.py:2:.*ERROR.*/c.py::shop:.*ZeroDivisionError.*2error,2sound$", last)
    assert all(f"GET /items/{number}" in listed.stdout for number in (11, 12, 13))


@pytest.mark.parametrize("is_fast", [False, True], ids=["and the others are run", "but with --fail-fast"])
def test_under_load_a_setup_that_fails_is_said_in_report_and_page(
    call: Call, demo: Demo, tmp_path: Path, is_fast: bool
):
    shop = (
        "from loadkit import Endpoint, Scenario\nshop = Scenario(base_url={!r}, endpoints=[Endpoint('GET', '/')]{})\n"
    )
    for name, more in (("a", ""), ("b", ", setup=lambda: 1 / 0"), ("c", "")):
        (tmp_path / f"{name}.py").write_text(shop.format(demo.url, more + ", iterations=5"))
    page, output = tmp_path / "all.html", tmp_path / "all.json"

    done = call("run", str(tmp_path), "--html", str(page), "-o", str(output), *["--fail-fast"] * is_fast)

    assert done.returncode == 6
    assert len(json.loads(output.read_text())["results"]) == (1 if is_fast else 2)
    assert re.search(r"/b.py::shop:.*ZeroDivisionError.*1error,[12]passed$", re.sub(r"\s", "", done.stdout))
    assert re.search(r"Not run.*/b.py::shop.*ZeroDivisionError", page.read_text(), re.DOTALL)
    # all three have one name, so that of the file says which
    assert bool(re.search(r"ended by --fail-fast before \S+/c.py::shop\n", done.stderr)) == is_fast


def test_under_load_a_broken_file_is_an_error_before_anything_is_sent(
    call: Call, demo: Demo, file: Path, tmp_path: Path
):
    (tmp_path / "broken.py").write_text("shop = [\n")
    before = served(demo, "/items/{id}")

    done = call("run", str(file), str(tmp_path / "broken.py"))

    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith(f"loadkit: {tmp_path}/broken.py:1: ")
    assert served(demo, "/items/{id}") == before


def test_after_several_scenarios_those_that_failed_are_the_last_on_the_screen(call: Call, file: Path):
    done = call("run", str(file), "--iterations", "20")

    assert done.returncode == 1
    last = done.stdout.splitlines()[-8:]
    assert [line.split()[1] for line in last if "shop.py::" in line and not line.startswith("FAILED")] == [
        "PASSED",
        "FAILED",
        "FAILED",
    ]
    assert "shop.py::strict: p99 < 1us: " in " ".join(last)
    assert last[-1] == "2 failed, 1 passed"


def test_results_are_reported_again_and_merged(call: Call, demo: Demo, tmp_path: Path):
    parts = [str(tmp_path / f"part{k}.json") for k in range(2)]
    for part in parts:
        call("run", demo.url, "-n", "100", "-q", "-o", part)

    done = call("report", *parts, "-o", str(tmp_path / "whole.json"), "--html", str(tmp_path / "whole.html"))

    assert done.returncode == 0
    assert json.loads((tmp_path / "whole.json").read_text())["results"][0]["total"]["requests"] == 200
    assert "0 of 200</bdi></dd>" in (tmp_path / "whole.html").read_text(encoding="utf-8")
    assert "200" in done.stdout


def test_a_page_is_written_by_a_run_and_again_of_what_it_stored(call: Call, file: Path, tmp_path: Path):
    stored, page, again = (tmp_path / name for name in ("all.json", "run.html", "again.html"))

    done = call("run", str(file), "-q", "-o", str(stored), "--html", str(page))
    call("report", str(stored), "--html", str(again))

    assert done.returncode == 1
    assert done.stdout == ""
    assert "<title>3 results - loadkit</title>" in page.read_text(encoding="utf-8")
    assert again.read_bytes() == page.read_bytes()


def test_a_result_is_neither_counted_twice_nor_overwritten_by_a_page(call: Call, demo: Demo, tmp_path: Path):
    part = tmp_path / "part.json"
    call("run", demo.url, "-n", "20", "-q", "-o", str(part))
    before = part.read_bytes()

    twice = call("report", str(part), str(part))
    done = call("report", str(part), "--html", str(tmp_path / "." / "part.json"))

    assert (twice.returncode, done.returncode) == (4, 4)
    assert "is named more than once" in twice.stderr
    assert done.stderr.startswith("loadkit: --html would overwrite the result ")
    assert part.read_bytes() == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
@pytest.mark.parametrize(("full", "other"), [("--html", "--output"), ("--output", "--html")])
def test_a_full_disk_costs_one_file_and_neither_the_other_nor_the_report(
    call: Call, demo: Demo, tmp_path: Path, full: str, other: str
):
    done = call("run", demo.url, "-n", "50", full, "/dev/full", other, str(tmp_path / "out"))

    assert done.returncode == 3
    assert "PASSED" in done.stdout
    assert "loadkit: cannot write /dev/full: no space left on device" in done.stderr
    assert "50" in (tmp_path / "out").read_text(encoding="utf-8")


def test_list_names_scenarios_and_endpoints(call: Call, file: Path):
    done = call("list", str(file))

    first, *endpoints = done.stdout.splitlines()[:3]
    target, _, asked = first.partition("  ")
    assert call("run", target, "--once").returncode == 0, "the name is what to type"
    assert target.endswith("shop.py::sound")
    assert [asked, *endpoints] == ["10 threads, 60 iterations, closed", "  GET /", "  GET /items/3"]


def test_the_demo_option_starts_a_server_to_aim_at(call: Call, file: Path):
    file.write_text(SCENARIO.format(url="http://127.0.0.1:9"))

    assert call("run", f"{file}::sound", "--demo", "-q").returncode == 0


ONLY = "processes takes a whole number of at least 1, or 'auto', not "
MISTAKES: list[tuple[str, int, str]] = [
    ("run nowhere.py", 4, "there is no file or folder 'nowhere.py'"),
    ("run {file}::sale", 4, "there is no scenario 'sale' in {file}; it has sound, checked, strict"),
    ("run {file} --threads -3", 4, "threads takes a whole number of at least 1, not -3"),
    ("run {file} --threads many", 4, "--threads takes a whole number like 16, not 'many'"),
    ("run {file} --duration soon", 4, "cannot read the duration 'soon'; write it like '30s'"),
    ("run {file} -t p99<fast", 4, "cannot read the threshold 'p99<fast'; write it like"),
    ("run {file} -H Accept", 4, "cannot read the header 'Accept'; write it like"),
    ("run {file} -o /nowhere/x.json", 4, "cannot write /nowhere/x.json: no such file or directory"),
    ("run {file} --html /nowhere/x", 4, "cannot write /nowhere/x: no such file or directory"),
    ("run {file} -o x --html ./x", 4, "--output and --html both name x; give each a file"),
    ("run {file} -o - --html -", 4, "--html and --output cannot share stdout; give a file to all but one"),
    ("run {file} --processes --5", 4, f"{ONLY}'--5'"),
    ("run {file} --processes few", 4, f"{ONLY}'few'"),
    ("run {file} --processes -1", 4, f"{ONLY}-1"),
    ("run {file} --processes 11", 4, "11 processes cannot share 10 threads; give each one at least"),
    ("run {file} --no-such-option", 4, "No such option: --no-such-option"),
    ("run", 4, "Missing argument 'targets'"),
    ("run http://no-such-host.invalid/", 4, "cannot resolve the host 'no-such-host.invalid'"),
    ("run {empty}", 5, "there is no scenario in {empty}"),
    ("report {file}", 4, "{file} is no stored result; loadkit run {file} --output result.json makes one"),
    ("report {file} -o /nowhere/x", 4, "cannot write /nowhere/x: no such file or directory"),
    ("frobnicate", 4, "No such command 'frobnicate'"),
]


@pytest.mark.parametrize(("words", "code", "message"), MISTAKES, ids=[row[0] for row in MISTAKES])
def test_a_mistake_is_one_line_and_sends_nothing(
    call: Call, file: Path, tmp_path: Path, words: str, code: int, message: str
):
    empty = tmp_path / "empty.py"
    empty.write_text("x = 1\n")

    done = call(*words.format(file=file, empty=empty).split())

    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert done.stderr.startswith(f"loadkit: {message.format(file=file, empty=empty)}")
    assert done.stderr.count("\n") == 1


def test_a_server_that_is_down_is_named_once_with_a_count(call: Call, free_port: int):
    done = call("run", f"http://127.0.0.1:{free_port}/", "-c", "4", "-z", "1h")

    assert done.returncode == 1
    assert done.stdout.count(f"connection refused 127.0.0.1:{free_port}") == 1
    assert "--keep-going goes on" in done.stdout


def sees(demo: Demo, more: int) -> Callable[[], bool]:
    """True when the server has seen so many more requests for a delayed reply."""
    path = "/delay/{seconds}"
    until = served(demo, path) + more
    return lambda: served(demo, path) >= until


def test_an_interrupt_drains_and_still_reports(call: Call, demo: Demo, tmp_path: Path):
    output = tmp_path / "result.json"
    with interrupted(sees(demo, 40), signal.SIGINT):
        done = call("run", f"{demo.url}/delay/0.02", "-c", "4", "-z", "1h", "-o", str(output))

    assert done.returncode == 2, done.stderr
    assert "INTERRUPTED" in done.stdout
    [stored] = json.loads(output.read_text())["results"]
    assert stored["outcome"] == "interrupted"
    assert stored["total"]["requests"] >= 40
    assert stored["total"]["cut"] == 0


def test_two_interrupts_stop_at_once_and_still_report(call: Call, demo: Demo):
    forever = ("-z", "1h", "--timeout", "60s", "--graceful-stop", "60s")
    began = time.monotonic()
    # the first counts as one: after a single interrupt they drain for 60 s
    with interrupted(sees(demo, 4), signal.SIGTERM, signal.SIGINT):
        done = call("run", f"{demo.url}/delay/30", "-c", "4", *forever)

    assert done.returncode == 2, done.stderr
    assert "INTERRUPTED" in done.stdout
    assert "4 were still unanswered when the run ended" in done.stdout
    assert time.monotonic() - began < 25


def test_a_reader_who_has_seen_enough_costs_neither_runs_nor_the_file(demo: Demo, file: Path, tmp_path: Path):
    output = tmp_path / "result.json"
    command = f"{sys.executable} -m loadkit run {file} -n 20 -o {output} | head -1; echo ${{PIPESTATUS[0]}}"

    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=50, check=True)

    assert done.stdout.splitlines()[-1] == "1", done.stderr
    assert [result["scenario"]["name"] for result in json.loads(output.read_text())["results"]] == [
        "sound",
        "checked",
        "strict",
    ]
    assert "Traceback" not in done.stderr


def test_an_output_that_cannot_be_printed_to_costs_nothing_else(demo: Demo, tmp_path: Path):
    output = tmp_path / "result.json"
    command = f"{sys.executable} -m loadkit run {demo.url} -n 20 -o {output} >/dev/full"

    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=50, check=False)

    assert done.returncode == 3, done.stderr
    assert json.loads(output.read_text())["results"][0]["total"]["requests"] == 20
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("without", "kind"), [({}, "(with the extension in C|pure Python)"), ({"LOADKIT_NO_EXTENSION": "1"}, "pure Python")]
)
def test_it_is_installed_as_a_command_that_says_whether_it_has_the_extension(without: dict[str, str], kind: str):
    command = [str(Path(sys.executable).with_name("loadkit")), "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | without)

    assert re.fullmatch(rf"loadkit 0\.1\.0 \({kind}\)\n", done.stdout)
