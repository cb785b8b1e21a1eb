"""Access logs as recorded arrivals: each request at its instant, in the order of time, to the nanosecond."""

from __future__ import annotations

import gzip
import random
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from loadkit import NothingToRun, Scenario, UsageError
from loadkit.clock import ManualClock
from loadkit.importer.access_log import log_parser
from loadkit.importer.replay import Replay, replay
from loadkit.plan.units import MILLISECOND, SECOND
from loadkit.server.demo import Demo
from loadkit.wire.base import Request
from loadkit.wire.fake import FakeReply, FakeWire
from tests.conftest import Call, served
from tests.drive.driving import on_wire


def line(second: float | str, target: str = "/", method: str = "GET", status: int = 200, zone: str = "+0000") -> str:
    return f'1.2.3.4 - - [28/Nov/2026:13:00:{second:0>2} {zone}] "{method} {target} HTTP/1.1" {status} 5 "-" "x"\n'


def replayed(folder: Path, *texts: str, log_format: str | None = None, **options: Any) -> Replay:
    paths = []
    for number, text in enumerate(texts):
        paths.append(folder / f"{number}.log")
        paths[-1].write_text(text)
    return replay(paths, log_parser(log_format), **options)


def sent(found: Replay) -> list[tuple[float, str, str]]:
    """When each request was sent, on the fake network, by a clock moved by hand; and what."""
    clock, seen = ManualClock(), []

    def answer(request: Request, _: int) -> FakeReply:
        method, target = request.payload.split(b" ")[:2]
        seen.append((clock.now(), method.decode(), target.decode()))
        return FakeReply(after=MILLISECOND)

    span = found.arrivals.duration / SECOND
    scenario = Scenario(
        base_url="http://fake/", endpoints=found.endpoints, arrivals=found.arrivals, duration=span, max_threads=1
    )
    done = on_wire(scenario, FakeWire(clock, answer), clock)
    total = done.recording.total()
    assert (total.requests, total.unsent, total.cut) == (found.arrivals.count, 0, 0)
    return [((at - done.stats.measured_from) / SECOND, method, target) for at, method, target in seen]


def test_the_lines_of_a_second_are_spread_over_it_in_their_order(tmp_path: Path):
    found = replayed(tmp_path, line(1, "/a") + line(3, "/b?c=%2F") + line(3, "/../d", "HEAD") + line(4, "//e"))

    assert sent(found) == [
        (0.0, "GET", "/a"),
        (2.0, "GET", "/b?c=%2F"),
        (2.5, "HEAD", "/../d"),
        (3.0, "GET", "//e"),
    ]
    assert found.arrivals.duration == 4 * SECOND, "the last second is over, too"


def test_fractions_of_seconds_are_kept(tmp_path: Path):
    text = "".join(f"{at} GET /{at}\n" for at in ("100.250", "100.500", "100.500", "103.001"))

    found = replayed(tmp_path, text, log_format="$msec $request_method $request_uri")

    assert [at for at, *_ in sent(found)] == [0, 0.25, 0.251, 2.751], "one thread has a reply after 1 ms"


@pytest.mark.parametrize(
    ("speed", "instants", "seconds"),
    [("2", [0, 0.5, 1, 1.25], 1.5), ("1/2", [0, 2, 4, 5], 6), ("10", [0, 0.1, 0.2, 0.25], 0.3)],
)
def test_another_speed_moves_all_instants(speed: str, instants: list[float], seconds: float, tmp_path: Path):
    found = replayed(tmp_path, line(1) + line(2) + line(3) + line(3), speed=Fraction(speed))

    assert [at for at, *_ in sent(found)] == instants
    assert found.arrivals.duration == seconds * SECOND


def test_a_log_out_of_order_several_logs_and_other_zones_are_put_in_order(tmp_path: Path):
    lines = [line(second, f"/{second}") for second in range(40)]
    other = [
        f'- - - [28/Nov/2026:09:30:{second:02} -0330] "GET /x{second} HTTP/1.1" 200 1\n' for second in range(0, 40, 2)
    ]
    random.Random(7).shuffle(lines)

    found = replayed(tmp_path, "".join(lines), "".join(other))

    together = [(at, target) for at, _, target in sent(found)]
    assert [target for at, target in together if at == int(at)] == [f"/{second}" for second in range(40)]
    assert [(at, target) for at, target in together if at != int(at)] == [
        (second + 0.5, f"/x{second}") for second in range(0, 40, 2)
    ]


def test_what_is_not_sent_is_counted_and_said(tmp_path: Path):
    text = line(1) + "broken\n" + line(2, "/orders", "POST") + line(2, "/a", "PURGE") + line(3, "/b", status=404) + "\n"

    found = replayed(tmp_path, text)

    assert [target for *_, target in sent(found)] == ["/", "/b"]
    assert found.notes == [
        "2 requests from 2026-11-28 13:00:01 to 2026-11-28 13:00:03 UTC",
        f"{tmp_path}/0.log: 2 of 6 lines",
        "left out: 2 of other methods (POST 1, PURGE 1)",
        f"2 broken lines, the first is {tmp_path}/0.log:2",
        "1 answered with 400 or more then",
    ]


def test_other_methods_are_sent_when_that_is_asked_for(tmp_path: Path):
    found = replayed(
        tmp_path, line(1, "/a", "POST") + line(2, "/b", "DELETE") + line(3, "/c", "PURGE"), all_methods=True
    )

    assert [(method, target) for _, method, target in sent(found)] == [("POST", "/a"), ("DELETE", "/b")]


def test_only_what_is_due_within_a_time_is_sent(tmp_path: Path):
    found = replayed(tmp_path, "".join(line(second) for second in range(10)), within=3 * SECOND, speed=Fraction(2))

    assert [at for at, *_ in sent(found)] == [0, 0.5, 1, 1.5, 2, 2.5]
    assert found.arrivals.duration == 3 * SECOND


def test_paths_without_their_identities_are_the_rows_of_the_report(tmp_path: Path):
    found = replayed(
        tmp_path, line(1, "/users/1?a=1") + line(1, "/users/2") + line(2, "/users/3", "HEAD") + line(2, "/")
    )

    assert [one.label for one in found.endpoints] == ["GET /users/{id}", "HEAD /users/{id}", "GET /"]


def test_a_million_paths_have_no_more_rows_than_a_report_can_bear(tmp_path: Path):
    found = replayed(tmp_path, "".join(line(1, f"/page-{number}") for number in range(1000)))

    assert len(found.endpoints) == 201
    assert found.endpoints[-1].label == "GET (other)"
    assert len(sent(found)) == 1000


def test_a_log_with_nothing_to_send_says_why(tmp_path: Path):
    with pytest.raises(NothingToRun, match=r"^there is no request to replay; .*0.log: 0 of 2 lines; left out: 1 of "):
        replayed(tmp_path, line(1, "/", "POST") + "?\n")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rate": 5}, "rate and recorded arrivals both say when requests are due; give one"),
        ({"warmup": 5}, "warmup and recorded arrivals both say when requests are due; give one"),
    ],
)
def test_recorded_arrivals_have_no_other_load_beside_them(fields: dict[str, Any], message: str, tmp_path: Path):
    found = replayed(tmp_path, line(1))

    with pytest.raises(UsageError, match=message):
        Scenario(base_url="http://fake/", endpoints=found.endpoints, arrivals=found.arrivals, **fields)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--replay", "a.log", "--rate", "5"], "with --replay the log says what is sent, and when; leave --rate out"),
        (
            ["--replay", "a.log", "--on", "local:2"],
            "workers on other machines have no log to replay; run a part on each: ",
        ),
        (["--replay", "a.log", "--once"], "with --replay the log says what is sent, and when; leave --once out"),
        (["--replay", "a.log", "--speed", "2"], "--speed takes a percentage like 200%, not '2'"),
        (["--replay", "a.log", "--speed", "0%"], "--speed takes a percentage like 200%, not '0%'"),
        (["--replay", "none.log"], "cannot read 'none.log': no such file or directory"),
        (["--replay", "a.log", "--log-format", "$status"], "the log format '$status' does not say when"),
        (["--speed", "200%"], "--speed belongs to --replay access.log"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_named_in_one_line(
    words: list[str], message: str, call: Call, tmp_path: Path, monkeypatch, demo: Demo
):
    monkeypatch.chdir(tmp_path)
    Path("a.log").write_text(line(1))

    done = call("run", *words, "--base-url", demo.url)

    assert done.returncode == 4
    assert done.stderr.startswith(f"loadkit: {message}")
    assert done.stderr.count("\n") == 1


def test_without_a_place_to_go_the_log_is_not_even_read(call: Call, tmp_path: Path):
    done = call("run", "--replay", str(tmp_path / "none.log"))

    assert done.returncode == 4
    assert done.stderr.startswith("loadkit: GET / is relative; give replay of none.log a base_url")


def test_a_replay_on_the_command_line_is_reported_as_what_it_is(call: Call, tmp_path: Path, demo: Demo):
    log = tmp_path / "access.log.1.gz"
    # nothing is due in the last second but one request: those that a busy machine is late with are sent all the same
    lines = [line(1, "/items/7"), line(1, "/items/8"), line(1, "/health")] * 20 + [line(3, "/health")]
    log.write_bytes(gzip.compress("".join(lines).encode()))
    before = served(demo, "/items/{id}"), served(demo, "/health")

    done = call("run", "--replay", str(log), "--speed", "100%", "--base-url", demo.url)

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr.splitlines()[:2] == [
        "loadkit: 61 requests from 2026-11-28 13:00:01 to 2026-11-28 13:00:03 UTC",
        f"  {log}: 61 of 61 lines",
    ]
    assert "━━ replay of access.log.1.gz " in done.stdout
    assert "  20.3/s asked in the mean in recorded arrivals, 3s" in done.stdout
    assert (served(demo, "/items/{id}"), served(demo, "/health")) == (before[0] + 40, before[1] + 21)


def test_a_scenario_file_gives_a_replay_its_headers_and_thresholds(call: Call, tmp_path: Path, demo: Demo):
    (tmp_path / "a.log").write_text(line(1, "/me") * 5 + line(3, "/me"))
    (tmp_path / "shop.py").write_text(
        "from loadkit import Endpoint, Scenario\n"
        "def login(http):\n    return {'token': 'token-of-ann'}\n"
        "shop = Scenario(endpoints=[Endpoint('GET', '/')], rate='5/s', setup=login, warmup=1,\n"
        "    headers={'Authorization': 'Bearer {token}'}, thresholds=['p99 < 5s', 'GET /: p99 < 1s'])\n"
    )

    done = call("run", str(tmp_path / "shop.py"), "--replay", str(tmp_path / "a.log"), "--base-url", demo.url)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASSED" in done.stdout, "without the token it is a 401"


def test_arrivals_are_another_load_where_the_log_is_another(tmp_path: Path):
    from loadkit.judge.identity import identity

    def plan_of(text: str) -> str:
        found = replayed(tmp_path, text)
        return identity(Scenario(base_url="http://a", endpoints=found.endpoints, arrivals=found.arrivals)).plan

    assert plan_of(line(1)) == plan_of(line(1)) != plan_of(line(1, "/a"))
