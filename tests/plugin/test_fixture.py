"""The `load` fixture, as a test meets it: what it returns, what a failure shows, and its bad days."""

from __future__ import annotations

import re
import sys

import pytest

from loadkit.server.demo import Demo
from tests.plugin.conftest import HEAD, Run, errors

pytest_plugins = "pytester"


def test_each_kind_of_target_gives_a_result(run: Run):
    done = run("""
        @pytest.mark.parametrize(
            ("target", "fields"),
            [
                (shop, {}),
                (shop, {"threads": 3, "duration": "30s"}),
                (Endpoint("GET", "/"), {"base_url": URL, "iterations": 40}),
                (Endpoint("GET", URL + "/"), {"iterations": 40}),
                (URL + "/", {"iterations": 40}),
                ("test_it.py::shop", {}),
                ("/items/3", {"base_url": URL, "iterations": 40}),
                ([Endpoint("GET", "/"), browse], {"base_url": URL, "iterations": 40}),
                (lambda http: http.get(URL + "/items/3"), {"iterations": 40}),
                (browse, {"base_url": URL, "iterations": 40}),
                (Journey(browse), {"base_url": URL, "iterations": 40}),
            ],
        )
        def test(load, target, fields):
            result = load(target, **fields)
            assert result.requests == 40 and result.statuses == {200: 40} and result.failures == {}
            assert 0 < result.p50 <= result.p90 <= result.p95 <= result.p99 <= result.percentile(99.9)
            assert type(result.p99) is float and result.p99 == result.response_time.p99
            assert result.mean > 0 and result.throughput > 0 and result.error_rate == 0
            assert result.service_time.count == result.lateness.count == 40
            assert result.passed and result.validity != "invalid"
            assert "few-samples" in [one.code for one in result.caveats]
    """)

    done.assert_outcomes(passed=11)


def test_what_a_result_has(run: Run, free_port: int):
    done = run(f"""
        def test_an_endpoint_has_the_same_figures_as_the_whole(load):
            result = load(shop)
            assert result["item"].requests == 20
            assert 0 < result["item"].p50 <= result["item"].p99 <= result.percentile(100)

        def test_a_scenario_without_a_name_is_called_like_the_test(load):
            name = "test_a_scenario_without_a_name_is_called_like_the_test"
            assert load(shop).scenario.name == name
            assert load(shop.replace(name="mine")).scenario.name == "mine"
            assert load(URL, iterations=3).scenario.name == name
            assert load(browse, base_url=URL, iterations=3).scenario.name == name
            assert load(browse, base_url=URL, iterations=3, name="mine").scenario.name == "mine"

        def test_thresholds_of_the_scenario_are_for_the_test_to_judge(load):
            result = load(shop, thresholds=["p99 < 1ns"])
            assert result.outcome == "failed" and not result.passed

        def test_a_scenario_that_keeps_going_may_find_its_target_down(load):
            url = "http://127.0.0.1:{free_port}/"
            result = load(url, threads=1, duration="50ms", keep_going=True, judge=False)
            assert list(result.failures) == ["connect"] and result.error_rate == 1
    """)

    done.assert_outcomes(passed=4)


def test_a_file_is_found_from_the_root_wherever_pytest_was_started(run: Run, pytester: pytest.Pytester, demo: Demo):
    folder = pytester.mkdir("scenarios")
    (folder / "other.py").write_text(HEAD.format(url=demo.url))
    code = "def test(load):\n    assert load('scenarios/other.py::shop').requests == 40"
    run(code)  # writes the file
    pytester.chdir()
    below = pytester.mkdir("below")

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(below)
        done = pytester.runpytest_inprocess("../test_it.py")

    done.assert_outcomes(passed=1)


# -- a failure


def test_a_failed_assertion_shows_the_value_with_its_interval_and_the_whole_report(run: Run):
    done = run("def test(load):\n    result = load(shop)\n    assert result.p99 < 1e-7", "--load-report", "full")

    done.stdout.re_match_lines(
        [
            r">       assert result\.p99 < 1e-7",
            r"E       assert 0\.\d+ < 1e-07",
            r"E         p99 of test: [\d.]+ [mu]?s \(at least .* with 95 % confidence, too few replies .*\)",
            r"-+ load: test -+",
            r"━━ test_it\.py::test ━+",
            r"  requests +40 in .*",
            r"endpoint +requests .*",
            r"  item +20 .*",
            r"caveats",
            r"  - few-samples: p99 rests on the slowest 1 of 40 .*",
            r"95 % confidence +p50 .* p99 .*",
            r"  at least +[\d.]+ .*",
            r"  at most .* \?",
        ],
        consecutive=False,
    )
    assert not re.search(r"loadkit/(?!pytest_plugin)\w+.*\.py", done.stdout.str()), "no line of ours"


def test_a_figure_that_was_compared_is_named(run: Run):
    compared = {
        "result.p50 < 0": r"p50 of NAME: [\d.]+ [mu]?s \([\d.]+ [mu]?s to [\d.]+ [mu]?s with 95 % confidence\)",
        "0 > result.p50": r"p50 of NAME: [\d.]+ [mu]?s \(.*\)",
        "result['item'].p90 < 0": r"p90 of item in NAME: .*",
        "result.mean < 0": r"mean of NAME: [\d.]+ [mu]?s",
        "result.throughput > 1e9": r"throughput of NAME: [\d,.]+/s, 40 requests",
    }
    tests = [f"def test_{k}(load):\n    result = load(shop)\n    assert {one}\n" for k, one in enumerate(compared)]

    said = errors(run("\n".join(tests)))

    for k, told in enumerate(compared.values()):
        assert any(re.fullmatch(told.replace("NAME", f"test_{k}"), line) for line in said), said


def test_of_failures_the_error_rate_is_named_and_of_no_reply_that_nothing_was_measured(run: Run):
    done = run("""
        @pytest.fixture
        def failed(load):
            return load(URL + "/status/503", iterations=3, judge=False)

        def test_time(failed):
            assert not failed.p99 < 5 and not failed.p99 > 0
            assert failed.p99 < 5

        def test_rate(failed):
            assert failed.error_rate < 0.01

        def test_other(failed):
            assert 0.1 + 0.2 < 0.3
    """)

    said = errors(done)
    assert any("nothing was measured, for there was no good reply" in line for line in said), said
    assert any(re.fullmatch(r"error rate of .*: 100 %, 3 of 3 requests", line) for line in said), said
    assert said[-1] == "assert (0.1 + 0.2) < 0.3", "what is no figure is left alone"


def test_check_fails_once_with_every_verdict(run: Run):
    done = run("""
        def test(load):
            load(shop).check("p99 < 1ns", "requests == 40", "item: requests > 90")
    """)

    assert [line.removeprefix("AssertionError: ").split()[:2] for line in errors(done)] == [
        ["MISSED", "p99"],
        ["MISSED", "item:"],
        ["met", "requests"],
        ["(test:", "2"],
    ]
    assert "━━ test_it.py::test ━" in done.stdout.str()


def test_two_runs_of_a_test_are_both_kept_and_shown(run: Run):
    done = run("def test(load):\n    load(shop)\n    load(shop, iterations=7)\n    assert False")

    done.stdout.fnmatch_lines(["*- load 1: test -*", "  requests *40 in*", "*- load 2: test -*", "  requests *7 in*"])
    done.stdout.fnmatch_lines(["*= load tests =*", "  test_it.py::test *", "  test_it.py::test #2 *"])


def test_only_what_failed_is_shown_unless_asked_for(run: Run):
    assert "━━ test_it.py::test ━" not in run("def test(load):\n    load(shop)").stdout.str()
    assert "━━ test_it.py::test ━" in run("def test(load):\n    load(shop)", "-rP").stdout.str()


# -- the mark


def test_thresholds_of_the_mark_must_hold(run: Run):
    done = run("""
        @pytest.mark.load(thresholds=["p99 < 1ns", "requests == 40"])
        def test_missed(load):
            load(shop)

        @pytest.mark.load(thresholds=["p99 < 1h"])
        def test_held(load):
            load(shop)
    """)

    done.assert_outcomes(passed=1, failed=1)
    assert re.fullmatch(r"AssertionError: p99 < 1ns: [\d.]+ [mu]?s", errors(done)[0]), "the figure comes first"
    assert errors(done)[1] == "(test_missed: 1 of 2 thresholds missed)"


def test_the_call_wins_over_the_nearest_mark_and_that_over_those_further_away(run: Run):
    done = run("""
        pytestmark = pytest.mark.load(threads=1, iterations=11, think_time="1ms")

        @pytest.mark.load(iterations=22)
        class TestClass:
            @pytest.mark.load(iterations=33)
            def test(self, load):
                result = load(shop, threads=3)
                assert (result.scenario.threads, result.requests, result.scenario.think_time) == (3, 33, "1ms")
    """)

    done.assert_outcomes(passed=1)


# -- mistakes, each in a line below the user's own


MISTAKES = [
    (
        "load(5)",
        "load takes a Scenario, an Endpoint, a journey like def buy(http): ..., a list of these, a URL, a path like",
    ),
    ("load(int)", "load takes a Scenario, an Endpoint, a journey like def buy(http): ..., a list of these, a URL"),
    ("load([])", "endpoints takes a list like [Endpoint('GET', '/')], not []"),
    ("load('/health')", "GET /health is relative; say where, like load(target, base_url="),
    ("load('/nowhere/at/all.py')", "there is no file or folder '/nowhere/at/all.py'"),
    ("load(lambda http, cart: 1)", "<lambda> takes 'cart'; it is given http (by any name), row, shared, own"),
    ("load(lambda http: 1, endpoints=[])", "load takes endpoints, or a Scenario with endpoints"),
    ("load(Endpoint('GET', '/'))", "GET / is relative; say where, like load(target, base_url="),
    ("load(Endpoint('GET', '/'), endpoints=[], base_url=URL)", "load takes endpoints, or a Scenario with"),
    ("load(shop, thraeds=3)", "Scenario has no 'thraeds'; did you mean threads?"),
    ("load(shop, threads='many')", "threads takes a whole number of at least 1, not 'many'"),
    ("load('nowhere.py')", "there is no file or folder 'nowhere.py'"),
    ("load('test_it.py::browse')", "there is no scenario 'browse' in "),
    ("load('two.py')", "two.py has 2 scenarios (a, b); name one, like 'two.py::a'"),
    ("load(shop).check('p99 < fast')", "cannot read the threshold 'p99 < fast'; write it like"),
    (
        "load(shop).check('buy: p99 < 1s')",
        "the threshold 'buy: p99 < 1s' names nothing in the result; there are",
    ),
    ("load(shop).check()", "check takes limits like check('p99 < 250ms', 'throughput > 500/s')"),
    ("load(shop).percentile(101)", "a percentile is above 0 and at most 100, like 99.9, not 101"),
]


def test_a_mistake_is_one_line_below_the_users_own(run: Run, pytester: pytest.Pytester):
    pytester.makepyfile(
        two="from loadkit import Endpoint, Scenario\n"
        "a = Scenario(endpoints=[Endpoint('GET', 'http://127.0.0.1:1/')])\nb = a.replace()"
    )

    done = run("\n".join(f"def test_{k}(load):\n    {call}\n" for k, (call, _) in enumerate(MISTAKES)))

    done.assert_outcomes(failed=len(MISTAKES))
    start = "loadkit.plan.errors.UsageError: "
    said = [line.removeprefix(start) for line in errors(done) if line.startswith(start)]
    for (call, message), line in zip(MISTAKES, said, strict=True):
        assert line.startswith(message), call
    assert sum(line.startswith(">       load(") for line in done.outlines) == len(MISTAKES)
    assert sum(bool(re.match(r"test_it.py:\d+: UsageError", line)) for line in done.outlines) == len(MISTAKES)
    assert not [line for line in done.outlines if re.match(r"\S*loadkit/\S+\.py:\d+", line)]


def test_a_mark_with_a_position_is_told(run: Run):
    done = run("@pytest.mark.load(20)\ndef test(load):\n    load(shop)")

    done.stdout.fnmatch_lines(["the mark load takes fields like load(threads=20), not 20"])


# -- bad days


def test_a_target_that_is_down_is_one_clear_line(run: Run, free_port: int):
    done = run(f"""
        def test(load):
            load("http://127.0.0.1:{free_port}/", threads=1, duration="50ms", timeout=1)
    """)

    done.assert_outcomes(failed=1)
    first = done.outlines.index(next(line for line in done.outlines if line.startswith("___")))
    assert re.fullmatch(
        rf"connection refused 127\.0\.0\.1:{free_port} \(\d+ of \d+ requests\); is the server up\? \(test\)",
        done.outlines[first + 1],
    )
    assert done.outlines[first + 2].startswith("====="), "and nothing else"
    # it is in the table all the same
    done.stdout.fnmatch_lines(["  test_it.py::test * none"])


def test_an_assertion_in_a_check_fails_the_request_and_is_told_with_its_values(run: Run):
    done = run("""
        def is_coffee(reply):
            assert reply.json()["query"] == "coffee"

        def test(load):
            search = Endpoint("GET", URL + "/search", params={"q": "tea"}, check=is_coffee)
            result = load(search, iterations=3, judge=False)
            assert result.failures == {}
    """)

    done.stdout.fnmatch_lines(["*assert {'check': 3} == {}", "  3  check  *assert 'tea' == 'coffee'*"])


def test_it_works_in_a_class_in_a_running_loop_in_a_fixture_and_in_a_doctest(run: Run):
    done = run(
        '''
        import asyncio

        def doubled(number):
            """
            >>> load = getfixture("load")
            >>> load(shop).requests
            40
            """

        class TestClass:
            def test(self, load):
                assert load(shop).requests == 40

        def test_loop(load):
            async def within():
                return load(shop).requests
            assert asyncio.run(within()) == 40

        @pytest.fixture
        def measured(load):
            return load(shop)

        def test_of_a_fixture(measured):
            assert measured.p99 < 0
        ''',
        "--doctest-modules",
    )

    done.assert_outcomes(passed=3, failed=1)
    # the report of what ran in the set-up is below the failed call
    done.stdout.fnmatch_lines(["*- load: test_of_a_fixture -*"])
    assert len([line for line in done.outlines if line.startswith("  test_it.py::")]) == 4


IN_LOOP = """
import asyncio, contextlib, socket

async def answer(reader, writer):
    with contextlib.closing(writer):
        while await reader.readline():
            while (await reader.readline()).strip():
                pass
            writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")

def url_of(sock):
    return "http://127.0.0.1:%d/" % sock.getsockname()[1]

async def served_unseen(sock):
    while True:
        try:
            await asyncio.open_connection(sock=sock.accept()[0])
        except BlockingIOError:
            await asyncio.sleep(0.01)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_server_in_the_loop_of_the_test_is_refused_with_the_way_to_load_it(run: Run):
    done = run(
        IN_LOOP
        + """
def test_blocks(load):
    async def main():
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            load(url_of(server.sockets[0]), iterations=3)
    asyncio.run(main())

def test_does_not(load):
    async def main():
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            return await asyncio.to_thread(load, url_of(server.sockets[0]), iterations=3)
    assert asyncio.run(main()).statuses == {200: 3}
"""
    )

    done.assert_outcomes(passed=1, failed=1)
    (message,) = [line for line in errors(done) if "event loop" in line]
    assert re.fullmatch(
        r"loadkit\.plan\.errors\.UsageError: the server at 127\.0\.0\.1:\d+ is in the event loop that this call would "
        r"block; write await asyncio\.to_thread\(load, …\)",
        message,
    )


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_where_it_is_seen_only_afterwards_that_the_server_may_have_waited_for_the_test_the_failure_says_so(run: Run):
    done = run(
        IN_LOOP
        + """
def test(load):
    async def main():
        with socket.create_server(("127.0.0.1", 0)) as sock:
            sock.setblocking(False)
            serving = asyncio.create_task(served_unseen(sock))
            await asyncio.sleep(0)
            try:
                load(url_of(sock), iterations=1, timeout="300ms")
            finally:
                serving.cancel()
    asyncio.run(main())
"""
    )

    done.assert_outcomes(failed=1)
    (message,) = [line for line in errors(done) if "event loop" in line]
    assert message.startswith("AssertionError: not one good reply: ")
    assert message.endswith(
        "; load blocked the event loop of this test, and the target is in this process: "
        "write await asyncio.to_thread(load, …)"
    )


def test_an_exception_thrown_into_a_run_cuts_it_and_keeps_what_was_measured(run: Run):
    done = run("""
        import signal, threading

        def test_timeout(load):
            def ring(number, frame):
                raise TimeoutError("the alarm")
            before = signal.signal(signal.SIGALRM, ring)
            signal.setitimer(signal.ITIMER_REAL, 0.3)
            try:
                load(shop, iterations=None, duration="50s")
            finally:
                signal.signal(signal.SIGALRM, before)

        def test_no_thread_is_left():
            assert [one.name for one in threading.enumerate() if one.name.startswith("loadkit")] == []
    """)

    done.assert_outcomes(passed=1, failed=1)
    assert "TimeoutError: the alarm" in errors(done)
    done.stdout.fnmatch_lines(["INTERRUPTED after *", "  test_it.py::test_timeout * interrupted"])


def test_ctrl_c_stops_pytest_and_shows_what_was_measured(run: Run):
    done = run(
        """
        import os, signal

        def interrupt(reply):
            os.kill(os.getpid(), signal.SIGINT)

        def test_interrupted(load):
            load(Endpoint("GET", URL + "/", check=interrupt), threads=1, duration="50s")

        def test_after(load):
            load(shop)
        """,
        no_reraise_ctrlc=True,
    )

    assert done.ret == pytest.ExitCode.INTERRUPTED
    done.stdout.fnmatch_lines(
        ["  test_it.py::test_interrupted * interrupted", "INTERRUPTED after *", "*! KeyboardInterrupt !*"]
    )
    assert "test_after" not in done.stdout.str()


def test_a_fixture_called_load_of_the_projects_own_is_left_alone(run: Run):
    done = run(
        """
        @pytest.fixture
        def load():
            return lambda: 5

        def test(load):
            assert load() == 5
        """,
        "-m",
        "not load",
    )

    done.assert_outcomes(passed=1)


def test_a_fixture_of_the_projects_own_may_stand_on_ours(run: Run):
    code = """
        @pytest.fixture
        def load(load):
            return lambda target: load(target, iterations=5)

        def test(load):
            assert load(shop).requests == 5
        """

    run(code).assert_outcomes(passed=1)
    run(code, "-m", "not load").assert_outcomes(deselected=1)
