"""One scenario on several processes: exact on good days, and on those on which a process dies, stops or is orphaned."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from loadkit import LoadkitError, Scenario, UsageError, run
from loadkit.drive.processes.child import MODULE
from loadkit.drive.progress import Snapshot
from loadkit.jobs.run import process_count
from loadkit.plan.endpoint import Endpoint
from loadkit.plan.loader import load
from loadkit.server.demo import Demo
from loadkit.wire.encode import origin_of
from tests.conftest import served
from tests.noise import OF_A_SHORT_RUN, codes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")

SLOW = "/delay/{seconds}"
FILE = """
import os
import sys
from loadkit import Endpoint, Scenario

IS_WORKER = sys.argv[0].endswith("worker.py")

pauses = []

def breaks(source):
    pauses.append(0.01)
    if IS_WORKER and len(pauses) == 30:
        try:
            open(__file__ + ".first", "x").close()
        except FileExistsError:
            return 0.01  # in the other process it goes on for ever
        # endpoints without a check need nothing of requests, and each process would import it for 0.1 s of CPU
        raise RuntimeError("requests was imported" if "requests" in sys.modules else "no more patience")
    return pauses[-1]

items = Scenario(base_url="{url}", endpoints=[Endpoint("GET", "/items"), Endpoint("GET", "/items/3")], threads=3)
tired = items.replace(think_time=breaks)
slow = items.replace(endpoints=[Endpoint("GET", "/delay/0.05")], threads=4)
stuck = items.replace(endpoints=[Endpoint("GET", "/delay/30")], threads=4, timeout=60, graceful_stop=60)
"""

VISITS = """
def visit(http):
    http.get("/items")

def enough(http):
    try:
        open(__file__ + ".enough", "x").close()
    except FileExistsError:
        http.pause("1h")
    raise KeyboardInterrupt

over = items.replace(endpoints=[enough])
visits = items.replace(endpoints=[Endpoint("GET", "/items/3"), visit])
"""
# in a file of its own, for with an assert in it each process imports pytest, 0.1 s of CPU
WRONG = """
def unsound(reply):
    assert reply.status_code == 201, "not created"

wrong = items.replace(endpoints=[Endpoint("GET", "/items", check=unsound)], threads=2)
"""


@pytest.fixture
def shop(demo: Demo, tmp_path: Path) -> Path:
    return written(tmp_path, demo.url)


def written(folder: Path, url: str, more: str = "") -> Path:
    path = folder / "shop.py"
    path.write_text(FILE.replace("{url}", url) + more)
    return path


def scenario(file: Path, name: str, **changes: Any) -> Scenario:
    """One of its scenarios, on two processes if nothing else is said."""
    return load(f"{file}::{name}")[0].replace(**{"processes": 2} | changes)


def workers(parent: int | None = None) -> list[int]:
    """The worker processes that a process has, in the order in which they were started."""
    tasks = Path(f"/proc/{parent or os.getpid()}/task")
    children = [int(pid) for task in tasks.iterdir() for pid in (task / "children").read_text().split()]
    return sorted(pid for pid in children if MODULE.encode() in Path(f"/proc/{pid}/cmdline").read_bytes())


JOURNEYS = """
from loadkit import Journey, rows, timer

def login(http):
    return {"token": http.get("/items/1").json()["id"], "keys": ["a", None, 2.5]}

def buy(http, row, shared):
    assert shared == {"token": 1, "keys": ["a", None, 2.5]}
    with open(__file__ + '.seen', 'a') as seen:
        print(row['number'], file=seen)
    with http.step("look"):
        http.get("/items/2")
    with timer("think"):
        assert int(row['number']) % 5, "not on Fridays"

def leave(http):
    http.get("/items/2")
    raise SystemExit("enough")

def close(http):
    raise OSError("cannot close")

numbers = rows([{"number": str(k)} for k in range(40)], at_end="stop")
shopping = Scenario(
    base_url="{url}", endpoints=[Journey(buy, feed=numbers)], setup=login, threads=4, think_time="1ms", duration="20s"
)
untold = shopping.replace(endpoints=[leave], setup=lambda http: {1, 2})
closing = shopping.replace(endpoints=[Journey(lambda http: http.get("/items"), name="c", teardown=close)], setup=None)
"""


# -- good days


@pytest.mark.slow
def test_the_same_failure_in_two_processes_is_one_cause_with_one_count(demo: Demo, tmp_path: Path):
    result = run(scenario(written(tmp_path, demo.url, WRONG), "wrong", iterations=50))

    assert result.outcome == "failed"
    (example,) = result.total.examples
    assert (example.kind, example.count) == ("check", 50)
    assert "not created" in example.message
    assert 0 <= example.first_at <= result.duration


@pytest.mark.slow
def test_the_server_under_test_is_started_once_and_the_warm_up_is_not_counted(
    shop: Path, tmp_path: Path, free_port: int
):
    log = tmp_path / "started"
    serve = f"exec {sys.executable} -m loadkit demo --port {free_port}"
    server = ["sh", "-c", f"echo once >> {log}; {serve}"]

    result = run(
        scenario(shop, "items", base_url=f"http://127.0.0.1:{free_port}", server=server, iterations=30, warmup=0.2)
    )

    assert log.read_text() == "once\n"
    assert result.statuses == {200: 30}


def test_snapshots_tell_of_all_processes_together(shop: Path):
    seen: list[Snapshot] = []

    result = run(scenario(shop, "slow", duration=3, warmup=0.3), watch=seen.append)

    stages = list(dict.fromkeys(one.stage for one in seen))
    assert stages == [stage for stage in ("starting", "warm-up", "running", "draining") if stage in stages]
    assert {"running", "draining"} <= set(stages)
    assert max(one.threads for one in seen) == 4
    assert seen[-1].requests == result.requests
    assert len(result.environment.cpu_by_process) == 2
    assert result.environment.cpu_seconds > sum(result.environment.cpu_by_process) > 0
    assert workers() == []
    assert any(one.rate and 20 < one.rate <= 80 for one in seen)


def test_journeys_their_steps_and_timers_come_together(demo: Demo, tmp_path: Path):
    shop = written(tmp_path, demo.url, JOURNEYS.replace("{url}", demo.url))

    result = run(scenario(shop, "shopping"))

    rows = (tmp_path / "shop.py.seen").read_text().split()
    assert sorted(map(int, rows)) == list(range(40)), "each row once, whichever process it went to"
    assert [(one.kind, one.name, one.count) for one in result.timings] == [
        ("journey", "buy", 40),
        ("step", "look", 40),
        ("timer", "think", 40),
    ]
    assert result.timing("buy").failures == {"check": 8}
    assert result.timing("buy").examples[0].message.startswith("not on Fridays")
    assert result.timing("buy").response_time.count == 32
    assert result.requests == 40, "what sets up is in no figure"
    assert result.total.bytes_sent > 40 * len("GET /items/2 HTTP/1.1")
    assert "halted" in codes(result)


def test_a_setup_that_returns_what_cannot_be_told_to_others_is_named_before_anything_is_sent(demo: Demo, shop: Path):
    shop = written(shop.parent, demo.url, JOURNEYS.replace("{url}", demo.url))
    before = served(demo, "/items/{id}")

    with pytest.raises(UsageError, match="the setup of the scenario returned a set, which cannot be told to other"):
        run(scenario(shop, "untold"))

    assert served(demo, "/items/{id}") == before
    assert workers() == []


def test_a_journey_that_interrupts_ends_all_processes(demo: Demo, tmp_path: Path):
    result = run(scenario(written(tmp_path, demo.url, VISITS), "over", duration="20s"))

    assert result.outcome == "interrupted"
    assert result.duration < 15


@pytest.mark.slow
def test_why_a_teardown_failed_in_a_process_is_told(demo: Demo, tmp_path: Path):
    shop = written(tmp_path, demo.url, JOURNEYS.replace("{url}", demo.url))

    result = run(scenario(shop, "closing", duration=None, iterations=8))

    (told,) = {caveat.message for caveat in result.caveats if caveat.code == "teardown"}
    assert "OSError: cannot close" in told


# -- bad days


def test_a_worker_that_is_killed_is_noticed_and_what_it_had_reported_stays(demo: Demo, tmp_path: Path):
    file = written(tmp_path, demo.url, VISITS)
    killed: list[int] = []
    noticed: list[float] = []

    def kill_one(snapshot: Snapshot) -> None:
        if killed:
            if not noticed and len(workers()) == 1:
                noticed.append(time.monotonic())
        elif snapshot.requests >= 60:  # more than one of them has in a second: both have told of theirs
            killed.append(workers()[0])
            os.kill(killed[0], signal.SIGKILL)

    result = run(scenario(file, "visits", rate="100/s", duration="3s"), watch=kill_one)

    lost = next(caveat.message for caveat in result.caveats if caveat.code == "worker-lost")
    assert lost.startswith(f"process 1 of 2 (pid {killed[0]}) was killed by SIGKILL;")
    assert result.outcome == "not-applied"
    endpoint, visits = result["GET /items/3"], result.timing("visit")
    assert endpoint.requests + endpoint.cut + endpoint.unsent == visits.count + visits.cut + visits.unsent == 150
    assert result["GET /items"].unsent == 0, "journeys that were not begun are unsent in their own row"
    assert 150 < endpoint.requests + visits.count < 300, "what it had reported counts beside what the other one did"
    assert noticed, "it is seen to be gone while the other one goes on"
    assert result.duration == pytest.approx(3)


def test_when_all_workers_are_killed_the_run_is_over(shop: Path):
    def kill_all(snapshot: Snapshot) -> None:
        if snapshot.requests:
            for pid in workers():
                os.kill(pid, signal.SIGKILL)

    result = run(scenario(shop, "items", duration="1h", think_time="10ms"), watch=kill_all)

    assert result.outcome == "not-applied"
    assert codes(result, but=OF_A_SHORT_RUN) == ["worker-lost", "worker-lost"]
    assert result.requests > 0


def test_a_worker_that_is_stopped_and_continued_is_noted_and_its_figures_count(shop: Path):
    stopped: list[int] = []

    def stop_and_continue(snapshot: Snapshot) -> None:
        if not stopped and snapshot.stage != "starting":
            stopped.append(workers()[1])
            os.kill(stopped[0], signal.SIGSTOP)
        elif "process 2 silent" in snapshot.stage:
            os.kill(stopped[0], signal.SIGCONT)

    result = run(scenario(shop, "items", threads=2, iterations=60, pacing=0.05), watch=stop_and_continue)

    silent = next(caveat.message for caveat in result.caveats if caveat.code == "worker-silent")
    assert silent.startswith(f"process 2 of 2 (pid {stopped[0]}) was silent for ")
    assert result.statuses == {200: 60}
    assert result.outcome == "passed"


@pytest.mark.slow
def test_a_worker_that_stays_stopped_is_waited_for_and_then_killed(shop: Path):
    stopped: list[int] = []

    def stop(snapshot: Snapshot) -> None:
        if not stopped and snapshot.stage != "starting":
            stopped.append(workers()[0])
            os.kill(stopped[0], signal.SIGSTOP)

    began = time.monotonic()
    result = run(scenario(shop, "items", rate="50/s", duration=1.2, graceful_stop=0.1), watch=stop)

    assert time.monotonic() - began > 1.2 + 0.1 + 2
    lost = next(caveat.message for caveat in result.caveats if caveat.code == "worker-lost")
    assert f"(pid {stopped[0]}) was silent for " in lost
    assert ", and was killed;" in lost
    assert result.outcome == "not-applied"
    assert result.requests + result.total.unsent + result.total.cut == 60
    assert result.duration == pytest.approx(1.2)
    assert workers() == []


def command(file: Path, name: str, *options: str) -> subprocess.Popen[str]:
    """`loadkit run` with two workers, in a group of processes of its own, as a terminal would have it."""
    words = ["run", f"{file}::{name}", "--processes", "2", "--duration", "1h", *options]
    return subprocess.Popen(
        [sys.executable, "-m", "loadkit", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def await_requests(demo: Demo, count: int) -> None:
    """Ask the server until it has seen so many for a slow reply."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        if served(demo, SLOW) >= count:
            return
        time.sleep(0.02)
    raise AssertionError(f"the server did not see {count} requests")


def still_running(pids: list[int], after: float) -> list[int]:
    """Which of these processes have not ended after some seconds."""
    watched = {os.pidfd_open(pid): pid for pid in pids}
    until = time.monotonic() + after
    while watched and time.monotonic() < until:
        for ended in select.select(list(watched), [], [], 0.1)[0]:
            del watched[ended]
            os.close(ended)
    for left in watched:
        os.close(left)
    return list(watched.values())


def test_no_worker_outlives_a_parent_that_is_killed_one_that_runs_nor_one_that_is_stopped(demo: Demo, shop: Path):
    before = served(demo, SLOW)
    with command(shop, "slow") as parent:
        await_requests(demo, before + 4)
        pids = workers(parent.pid)
        os.kill(pids[0], signal.SIGSTOP)
        parent.kill()

        assert len(pids) == 2
        assert still_running(pids, after=2) == []
        parent.communicate()


@pytest.mark.slow
def test_no_worker_outlives_a_parent_that_crashes(shop: Path):
    pids: list[int] = []

    def crash(snapshot: Snapshot) -> None:
        if snapshot.threads:
            pids.extend(workers())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(scenario(shop, "slow", duration="1h"), watch=crash)

    assert len(pids) == 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_ctrl_c_in_a_terminal_drains_all_workers_and_reports(demo: Demo, shop: Path, tmp_path: Path):
    output = tmp_path / "result.json"
    before = served(demo, SLOW)
    with command(shop, "slow", "-o", str(output)) as parent:
        await_requests(demo, before + 20)
        os.killpg(parent.pid, signal.SIGINT)
        stdout, stderr = parent.communicate(timeout=20)
        seen = served(demo, SLOW) - before

    assert parent.returncode == 2, stderr
    assert "INTERRUPTED" in stdout
    assert "Traceback" not in stderr
    [stored] = json.loads(output.read_text())["results"]
    assert stored["total"]["requests"] == seen >= 20
    assert stored["total"]["cut"] == 0
    assert "worker-lost" not in [caveat["code"] for caveat in stored["caveats"]]


@pytest.mark.slow
def test_a_second_ctrl_c_cuts_and_still_reports(demo: Demo, shop: Path):
    before = served(demo, SLOW)
    with command(shop, "stuck") as parent:
        await_requests(demo, before + 4)
        os.killpg(parent.pid, signal.SIGTERM)
        time.sleep(0.3)  # two signals at once are one signal
        os.killpg(parent.pid, signal.SIGINT)
        began = time.monotonic()
        stdout, stderr = parent.communicate(timeout=20)

    assert parent.returncode == 2, stderr
    assert time.monotonic() - began < 10
    assert "4 were still unanswered when the run ended" in stdout


def test_a_server_that_is_down_ends_the_run_early_and_is_named_once(shop: Path, free_port: int):
    result = run(scenario(shop, "items", base_url=f"http://127.0.0.1:{free_port}", duration="1h"))

    assert result.outcome == "failed"
    assert "unreachable" in codes(result)
    assert [example.message for example in result.total.examples] == [f"connection refused 127.0.0.1:{free_port}"]


def test_a_plan_that_breaks_in_one_process_ends_the_run(shop: Path):
    result = run(scenario(shop, "tired", duration="1h"))

    assert result.outcome == "not-applied"
    halted = next(caveat.message for caveat in result.caveats if caveat.code == "halted")
    assert "breaks raised RuntimeError: no more patience" in halted


@pytest.mark.parametrize(
    ("code", "error", "message"),
    [
        ("raise OSError('no such shop')", UsageError, r"shop.py:\d+: OSError: no such shop at raise OSError"),
        (
            "print('all is lost', flush=True); os._exit(9)",
            LoadkitError,
            r"^process [12] of 2 \(pid \d+\) ended with exit code 9 \(all is lost\), before it was ready$",
        ),
    ],
)
def test_a_worker_that_cannot_begin_ends_the_run_before_anything_is_sent(
    demo: Demo, tmp_path: Path, code: str, error: type[LoadkitError], message: str
):
    before = served(demo, "/items")
    file = written(tmp_path, demo.url, f"\nif IS_WORKER:\n    {code}\n")

    with pytest.raises(error, match=message) as caught:
        run(scenario(file, "items", duration="1h"))

    assert isinstance(caught.value, UsageError) == (error is UsageError)
    assert served(demo, "/items") == before
    assert workers() == []


@pytest.mark.slow
def test_more_processes_than_the_system_allows_are_refused_and_none_is_left(shop: Path):
    few = f"""
import resource, sys
from loadkit import UsageError, run
from loadkit.plan.loader import load
scenario = load({f"{shop}::items"!r})[0].replace(processes=30, threads=30)
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (40, hard))
try:
    run(scenario)
except UsageError as error:
    print(error)
import os
print(*(open(f"/proc/self/task/{{t}}/children").read().split() for t in os.listdir("/proc/self/task")))
"""
    done = subprocess.run([sys.executable, "-c", few], capture_output=True, text=True, check=False, timeout=30)

    assert done.stdout.splitlines()[0].startswith("cannot start process ")
    assert done.stdout.splitlines()[0].endswith(" of 30: Too many open files; use fewer processes")
    assert done.stdout.splitlines()[1:] == ["[]"]


# -- how many


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"processes": 0}, "processes takes a whole number of at least 1, or 'auto', not 0"),
        ({"processes": "many"}, "processes takes a whole number of at least 1, or 'auto', not 'many'"),
        ({"processes": True}, "processes takes a whole number of at least 1, or 'auto', not True"),
        ({"processes": 4, "threads": 3}, "4 processes cannot share 3 threads; give each one at least"),
        ({"processes": 2, "threads": 1}, "2 processes cannot share 1 thread; give each one at least"),
        ({"processes": 9, "rate": 5, "max_threads": 8}, "9 processes cannot share 8 threads; give each one at least"),
    ],
)
def test_a_number_of_processes_that_makes_no_sense_is_said_to(fields: dict[str, Any], message: str):
    given: dict[str, Any] = {"endpoints": [Endpoint("GET", "http://h/")], "threads": 8} | fields
    with pytest.raises(UsageError) as caught:
        Scenario(**given)

    assert str(caught.value).startswith(message)


def test_auto_takes_the_cpus_there_are_and_leaves_one_to_a_target_on_this_machine(shop: Path):
    cpus = len(os.sched_getaffinity(0))
    here, elsewhere = origin_of("http://127.0.0.1:1/")[0], origin_of("http://192.0.2.1/")[0]
    items = scenario(shop, "items", processes="auto", threads=5000)

    assert process_count(items, [elsewhere]) == cpus
    assert process_count(items, [here, elsewhere]) == max(1, cpus - 1)
    assert process_count(items.replace(threads=1), [elsewhere]) == 1
    assert process_count(items.replace(source=None), [elsewhere]) == 1
