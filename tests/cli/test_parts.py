"""`loadkit run --part 2/5` on each machine, and `loadkit report` of all: what a user sees of it, mistakes and all."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from loadkit.server.demo import Demo
from tests.conftest import Call, served
from tests.interrupts import interrupted
from tests.waiting import wait_for
from tests.witness.witness import Witness

SHOP = """
from loadkit import Endpoint, Scenario, hold, ramp, rows

users = rows([{"n": n} for n in range(40)], at_end="stop")

def buy(http):
    with http.step("look"):
        http.get("/items")
    http.post("/orders", json={"sku": "tea"})

browse = Scenario(endpoints=[Endpoint("GET", "/"), Endpoint("GET", "/items", weight=2)], threads=5, iterations=60)
timed = Scenario(
    endpoints=[Endpoint("GET", "/"), Endpoint("GET", "/items", weight=2)],
    rate="90/s", iterations=60, thresholds=["requests == 60", "p99 < 9s"],
)
poisson = timed.replace(arrivals="poisson", seed=3)
journeys = Scenario(endpoints=[buy], rate="60/s", iterations=30)
both = Scenario(endpoints=[buy, Endpoint("GET", "/", weight=3)], threads=4, iterations=40)
fed = Scenario(endpoints=[Endpoint("GET", "/items/{n}", feed=users, name="user")], threads=5, duration="20s")
phases = Scenario(
    endpoints=[Endpoint("GET", "/items")],
    phases=[ramp("500ms", to="60/s"), hold("500ms")],
    thresholds=["hold: error_rate < 1%"],
)
paced = Scenario(endpoints=[Endpoint("GET", "/items")], threads=6, iterations_per_thread=3, think_time="10ms")
"""


@pytest.fixture
def shop(demo: Demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file of scenarios in a project, in which the command runs, aimed at the demo server."""
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOADKIT_BASE_URL", demo.url)
    Path("shop.py").write_text(SHOP)
    return "shop.py"


def in_parts(call: Call, target: str, parts: int, *options: str) -> list[str]:
    """Run all parts, one after the other, and name their files."""
    files = [f"part{number}.json" for number in range(1, parts + 1)]
    for number, file in enumerate(files, 1):
        done = call("run", target, "--part", f"{number}/{parts}", "-o", file, *options)
        assert done.returncode == 0, done.stderr
    return files


def at_once(files: list[str]) -> list[str]:
    """The same as if all had begun at the instant at which the first did."""
    start = stored(files[0])["spans"][0]["start"]
    for file in files:
        found = json.loads(Path(file).read_text())
        found["results"][0]["spans"][0]["start"] = found["results"][0]["machines"][0]["started_at"] = start
        Path(file).write_text(json.dumps(found))
    return files


def stored(file: str) -> dict[str, Any]:
    (found,) = json.loads(Path(file).read_text())["results"]
    return found


def counts(result: dict[str, Any]) -> dict[str, Any]:
    """What was counted of each endpoint, journey and step."""
    found = {row["name"]: (row["requests"], row["statuses"]) for row in result["endpoints"]}
    return found | {one["name"]: one["count"] for one in result["timings"]}


@pytest.mark.parametrize("name", ["browse", "timed", "poisson", "journeys", "both", "fed", "phases", "paced"])
def test_parts_send_together_what_one_machine_sends(name: str, shop: str, call: Call):
    call("run", f"{shop}::{name}", "-q", "-o", "whole.json")
    files = in_parts(call, f"{shop}::{name}", 3, "-q")

    call("report", *files, "-o", "all.json", "-q")

    whole, merged = stored("whole.json"), stored("all.json")
    assert counts(merged) == counts(whole)
    asked = ("threads", "rate", "max_threads", "iterations", "phases", "duration")
    assert [merged["scenario"][field] for field in asked] == [whole["scenario"][field] for field in asked]
    assert merged["identity"] == whole["identity"]
    assert not [one for one in merged["caveats"] if one["code"] in ("load-differs", "asked-rate", "parts-missing")]


def test_processes_within_a_part_share_it(shop: str, call: Call):
    files = in_parts(call, f"{shop}::fed", 2, "-q", "--processes", "2")

    call("report", *files, "-o", "all.json", "-q")

    assert stored("all.json")["total"]["requests"] == 40
    assert [one["processes"] for one in stored("all.json")["machines"]] == [2, 2]


def test_each_row_of_data_is_used_once(shop: str, witness: Witness, call: Call):
    witness.clear()

    in_parts(call, f"{shop}::fed", 3, "-q", "--base-url", witness.url)

    assert sorted(witness.log().ids()) == list(range(40))


def test_files_in_any_order_and_parts_merged_before_are_one_result(shop: str, call: Call):
    files = in_parts(call, f"{shop}::both", 3, "-q")

    call("report", *files, "-o", "all.json", "-q")
    call("report", files[2], files[0], "-o", "some.json", "-q")
    call("report", "some.json", files[1], "-o", "again.json", "-q")

    assert Path("again.json").read_bytes() == Path("all.json").read_bytes()


def test_thresholds_are_judged_on_all_parts_and_decide_the_exit_code(shop: str, call: Call):
    files = at_once(in_parts(call, f"{shop}::timed", 3))

    done = call("report", *files)
    assert done.returncode == 0
    assert "✓ requests == 60" in done.stdout

    files = at_once(in_parts(call, f"{shop}::timed", 3, "-t", "p99 < 1ns"))
    done = call("report", *files)
    assert done.returncode == 1
    assert "FAILED 1 of 3 thresholds" in done.stdout


def test_requests_that_fail_are_judged_on_all_parts_too(shop: str, call: Call):
    Path(shop).write_text(SHOP.replace('"GET", "/items", weight=2', '"GET", "/nowhere"'))

    files = at_once(in_parts(call, f"{shop}::timed", 3, "-q"))

    assert all(stored(file)["thresholds"] == [] for file in files)
    assert call("report", *files, "-q").returncode == 1


def test_a_part_says_that_it_is_one_and_what_is_to_be_done(shop: str, call: Call):
    done = call("run", f"{shop}::timed", "--part", "2/3", "-o", "part2.json")

    assert done.returncode == 0
    text = " ".join(done.stdout.split())
    assert "; part 2 of 3" in text
    assert "DONE: thresholds are judged when all parts are merged by loadkit report" in text
    assert "PASSED" not in text


def test_the_report_has_a_row_for_each_machine(shop: str, call: Call):
    files = in_parts(call, f"{shop}::timed", 3, "-q")

    done = call("report", *files[::-1], "--html", "all.html", "--markdown", "all.md")

    assert "; 3 parts on 3 machines" in " ".join(done.stdout.split())
    lines = [line.split() for line in done.stdout.splitlines()]
    head = next(k for k, words in enumerate(lines) if words[:1] == ["machine"])
    assert [(words[0], "20" in words) for words in lines[head + 1 : head + 4]] == [
        (f"{number}/3", True) for number in (1, 2, 3)
    ]
    for written in ("all.html", "all.md"):
        text = Path(written).read_text()
        assert all(f"{number}/3 " in text for number in (1, 2, 3)), written
    assert all(one["addresses"] == ["127.0.0.1"] for file in files for one in stored(file)["machines"])


def test_a_missing_part_is_named_and_the_exit_code_is_6(shop: str, call: Call):
    files = at_once(in_parts(call, f"{shop}::timed", 3, "-q"))

    done = call("report", files[0], files[2], "-o", "two.json")

    assert done.returncode == 6
    text = " ".join(done.stdout.split())
    assert "NOT APPLIED: part 2 of 3 is missing" in text
    assert "parts-missing: part 2 is missing: these figures are of 2 of 3 parts of the load" in text
    # it comes later, and all is well
    assert call("report", "two.json", files[1], "-q").returncode == 0


def test_files_that_are_no_parts_of_one_run_are_named(shop: str, call: Call):
    first, second = in_parts(call, f"{shop}::timed", 2, "-q")
    Path("again.json").write_bytes(Path(second).read_bytes().replace(b'"host": "', b'"host": "x'))
    call("run", f"{shop}::timed", "--part", "2/2", "-r", "80/s", "-q", "-o", "other-rate.json")
    call("run", f"{shop}::browse", "--part", "2/2", "-q", "-o", "other-scenario.json")
    call("run", f"{shop}::timed", "--part", "2/3", "-q", "-o", "of-three.json")
    call("run", f"{shop}::timed", "-q", "-o", "whole.json")

    def said(*files: str) -> str:
        done = call("report", *files)
        assert (done.returncode, done.stdout) == (4, "")
        return done.stderr.removeprefix("loadkit: ").strip()

    assert said(first, second, "again.json") == (
        "part2.json and again.json are both part 2/2 of shop.py::timed; leave one out"
    )
    assert said(first, "other-rate.json") == (
        "other-rate.json is a part of another load than part1.json: rate 90 -> 80, max threads 180 -> 160; "
        "run all parts of the same one"
    )
    assert said(first, "other-scenario.json") == (
        "part 2/2 of shop.py::timed is missing, and other-scenario.json is that of shop.py::browse; "
        "run all parts of the same scenario"
    )
    assert "are not parts of one run, for there are not as many" in said(first, "of-three.json")
    assert "is a part of a load, and another result is all of it; they cannot be one" in said(first, "whole.json")


def in_seconds(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_part_begins_at_the_instant(processes: str, shop: str, call: Call):
    at = in_seconds(2.5)

    done = call("run", f"{shop}::timed", "--part", "1/2", "--at", at, "--processes", processes, "-o", "part1.json")

    assert done.returncode == 0
    assert f"loadkit: part 1/2 begins at {at.removesuffix('+00:00')}Z" in done.stderr
    (machine,) = stored("part1.json")["machines"]
    began = datetime.fromisoformat(machine["started_at"])
    assert abs((began - datetime.fromisoformat(at)).total_seconds() - machine["late_start"]) < 0.001
    is_late = "late-start" in [one["code"] for one in stored("part1.json")["caveats"]]
    assert is_late == (machine["late_start"] > 0.05), "which it is on a busy machine"


def test_ctrl_c_while_a_part_waits_ends_it(shop: str, call: Call):
    started = time.monotonic()
    with interrupted(lambda: time.monotonic() - started > 0.5, signal.SIGINT):
        done = call("run", f"{shop}::timed", "--part", "1/2", "--at", in_seconds(60), "-o", "part1.json")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith("loadkit: interrupted before part 1/2 began\n")
    assert not Path("part1.json").exists()


def test_a_part_that_is_interrupted_is_so_in_the_report(shop: str, demo: Demo, call: Call):
    load = (f"{shop}::timed", "-r", "10/s", "-n", "30", "-q", "--part")
    assert call("run", *load, "1/2", "-o", "part1.json").returncode == 0
    before = served(demo, "/items")
    with interrupted(lambda: served(demo, "/items") > before, signal.SIGINT):
        assert call("run", *load, "2/2", "-o", "part2.json").returncode == 2

    done = call("report", "part1.json", "part2.json")

    assert done.returncode == 2
    assert "INTERRUPTED" in done.stdout
    (row,) = [line for line in done.stdout.splitlines() if line.startswith("  2/2")]
    assert row.split()[-1] == "interrupted"


@pytest.mark.slow
def test_what_a_part_left_that_was_killed_takes_its_place(shop: str, demo: Demo, call: Call):
    load = ("run", f"{shop}::timed", "-r", "50/s", "-n", "400", "-q")
    before = served(demo, "/items") + served(demo, "/")
    whole, killed = (
        subprocess.Popen([sys.executable, "-m", "loadkit", *load, "--part", f"{k}/2", "-o", f"part{k}.json"])
        for k in (1, 2)
    )
    wait_for(Path("part2.json.partial").exists)
    killed.kill()
    assert killed.wait() == -signal.SIGKILL
    assert whole.wait(60) == 0
    counted = served(demo, "/items") + served(demo, "/") - before

    done = call("report", "part1.json", "part2.json.partial", "-o", "all.json")

    assert done.returncode == 6, done.stderr
    text = " ".join(done.stdout.split())
    assert "NOT APPLIED: part 2 of 2 is unfinished" in text
    assert "parts-unfinished: part 2/2 " in text
    (row,) = [line for line in done.stdout.splitlines() if line.startswith("  2/2")]
    assert row.split()[-1] == "unfinished"
    one, two = stored("all.json")["machines"]
    assert one["requests"] == 200
    assert 0 < two["requests"] <= counted - 200
    assert stored("all.json")["total"]["requests"] == one["requests"] + two["requests"]


RIGHT = "write it like 2/5, the second of five parts"
RIGHT_TIME = "write it like 12:00:00Z, which is UTC, or 2030-01-31T12:00:00+01:00"
OVER_A_TIME = (
    "the threshold 'p99 < 1s over 10s' is judged while a run goes on, and one machine sees a part of it; "
    "leave it out, or hold it for the whole run"
)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--part", "0/5"), f"parts count from 1, and '0/5' has none before the first; {RIGHT}"),
        (("--part", "6/5"), f"there is no part 6 of 5; {RIGHT}"),
        (("--part", "2 of 5"), f"cannot read the part '2 of 5'; {RIGHT}"),
        (("--at", "12:00:00Z"), "--at says when all parts of a load begin; say which one this is, too: --part 2/5"),
        (
            ("--part", "2/5", "--at", "12:00:00"),
            "--at '12:00:00' says no time zone, and machines may differ in theirs; " + RIGHT_TIME,
        ),
        (("--part", "2/6"), "6 parts cannot share 5 threads; give each one at least, or use fewer parts"),
        (
            ("--part", "5/5", "--processes", "2"),
            "2 processes cannot share 1 thread of part 5/5; give each one at least, or use fewer processes",
        ),
        (
            ("--part", "2/5", "-n", "4"),
            "5 parts cannot share 4 iterations; give each one at least, or use fewer parts",
        ),
        (
            ("--part", "2/5", "-r", "2/s", "-z", "2s"),
            "5 parts cannot share 4 arrivals; give each one at least, or use fewer parts",
        ),
        (
            ("--part", "2/5", "-z", "20s", "-t", "p99 < 1s over 10s"),
            OVER_A_TIME,
        ),
        *(
            (
                ("--part", "2/5", option, *value),
                f"{option} is for whole runs, and --part 2/5 is a part of one; leave one of them out",
            )
            for option, value in (
                ("--once", ()),
                ("--together", ()),
                ("--repeat", ("3",)),
                ("--history", (".loadkit/history",)),
                ("--demo", ()),
            )
        ),
    ],
)
def test_a_mistake_is_one_line_and_sends_nothing(
    options: tuple[str, ...], message: str, shop: str, demo: Demo, call: Call
):
    before = served(demo, "/items")

    done = call("run", f"{shop}::browse", "-o", "part.json", *options)

    assert (done.returncode, done.stdout, done.stderr) == (4, "", f"loadkit: {message}\n")
    assert served(demo, "/items") == before


def test_a_part_is_stored_and_of_one_scenario(shop: str, call: Call):
    unstored = call("run", f"{shop}::browse", "--part", "2/5")
    several = call("run", shop, "--part", "2/5", "-o", "part2.json")

    assert unstored.stderr == "loadkit: --part 2/5 is to be merged with the others; add --output part2.json\n"
    assert several.stderr == (
        "loadkit: --part is of one scenario, and there are 8 "
        "(browse, timed, poisson, journeys, both, fed, phases, paced); choose one with -s\n"
    )
    assert unstored.returncode == several.returncode == 4


def test_a_scenario_with_a_server_of_its_own_is_refused(shop: str, call: Call):
    Path("own.py").write_text(
        "from loadkit import Endpoint, Scenario\n"
        'own = Scenario(endpoints=[Endpoint("GET", "/")], server=["python", "-m", "http.server", "{port}"])\n'
    )

    done = call("run", "own.py", "--part", "1/2", "-o", "part1.json")

    assert done.returncode == 4
    assert done.stderr == (
        "loadkit: own starts a server of its own, and each machine would load another one; start it once, and name it "
        "with --base-url\n"
    )


def test_one_part_of_one_is_a_run_that_begins_at_an_instant(shop: str, call: Call):
    done = call("run", f"{shop}::timed", "--part", "1/1", "--at", in_seconds(1), "-o", "part1.json")

    assert done.returncode == 0
    assert "PASSED all 2 thresholds" in done.stdout
    assert stored("part1.json")["machines"] == []
