"""Functional tests under load on bad days: what hangs, exits, collides, patches the world, or is interrupted."""

from __future__ import annotations

import json
import sqlite3
import textwrap
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import responses  # noqa: F401 - for the conftests below, and so that no run within this process imports it anew
import vcr.serializers.yamlserializer  # noqa: F401

from loadkit.server.demo import Demo

pytest_plugins = "pytester"


def run(project: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """Run its tests within this process."""
    return project.runpytest_inprocess("-p", "no:cacheprovider", *arguments)


def stored(project: pytest.Pytester) -> dict[str, Any]:
    (file,) = Path(project.path, "out").glob("*.json")
    result: dict[str, Any]
    (result,) = json.loads(file.read_text(encoding="utf-8"))["results"]
    return result


@pytest.mark.slow
def test_a_test_that_never_returns_is_named_with_the_line_that_holds_it(project: pytest.Pytester):
    project.makepyfile(
        test_it="""
        import itertools, threading
        numbers = itertools.count()

        def test_well(): pass

        def test_hangs():
            if next(numbers) == 5:
                threading.Event().wait()
        """
    )

    # pytest ends although a thread does not
    found = project.runpytest_subprocess("--load-threads", "2", "--load-for", "500ms")

    found.assert_outcomes(passed=1, failed=1)
    found.stdout.fnmatch_lines(
        [
            "*test_hangs*",
            "1 of * runs never returned",
            "  at test_it.py:8 in test_hangs: threading.Event().wait()",
        ]
    )


def test_an_exit_of_a_test_is_a_failure_of_that_run_alone(project: pytest.Pytester):
    project.makepyfile(
        test_it="""
        import itertools, sys
        numbers = itertools.count()

        def test_exits():
            if next(numbers) % 10 == 9:
                sys.exit("no configuration")

        def test_well(): pass
        """
    )

    found = run(project, "--load-threads", "2", "--load-iterations", "80")

    found.assert_outcomes(passed=1, failed=1)
    found.stdout.fnmatch_lines(["4 of 40 runs failed", "SystemExit: no configuration"])


@pytest.mark.parametrize("raised", ["sys.exit(3)", "pytest.fail('no')", "raise ValueError"])
def test_set_ups_that_all_fail_end_the_run_whatever_they_raise(project: pytest.Pytester, raised: str):
    project.makepyfile(
        test_it=f"""
        import pytest, sys

        @pytest.fixture
        def broken(): {raised}

        def test_it(broken): pass
        """
    )

    found = run(project, "--load-threads", "2", "--load-for", "50s")

    found.assert_outcomes(failed=1)
    found.stdout.fnmatch_lines(["10? of 10? runs failed", "*in the fixture broken"])


def test_pytest_exit_in_a_fixture_ends_the_run(project: pytest.Pytester):
    project.makepyfile(
        test_it="""
        import pytest

        @pytest.fixture
        def gone(): pytest.exit("the database is gone")

        def test_it(gone): pass
        """
    )

    found = run(project, "--load-threads", "2", "--load-for", "50s")

    assert found.ret == 2
    found.stdout.fnmatch_lines(["*the database is gone*"])


def test_ctrl_c_leaves_the_figures_so_far_and_tears_down_what_is_shared(project: pytest.Pytester):
    project.makepyfile(
        test_it="""
        import itertools, os, pytest, signal, time
        numbers = itertools.count()

        @pytest.fixture(scope="session")
        def database():
            yield object()
            print("the database is torn down")

        def test_it(database):
            time.sleep(0.001)
            if next(numbers) == 50:
                os.kill(os.getpid(), signal.SIGINT)
        """
    )

    found = project.runpytest_subprocess("-s", "--load-threads", "2", "--load-for", "50s", "--load-json", "out")

    assert found.ret == 2
    found.stdout.fnmatch_lines(["*the database is torn down*", "  tests under load *", "*KeyboardInterrupt*"])
    result = stored(project)
    assert result["outcome"] == "interrupted"
    assert result["timings"][0]["count"] >= 50


def test_a_warning_that_is_an_error_fails_the_run_that_warned(project: pytest.Pytester):
    project.makepyfile(
        test_it="""
        import itertools, warnings
        numbers = itertools.count()

        def test_it():
            if next(numbers) % 4 == 3:
                warnings.warn("old", DeprecationWarning)
        """
    )

    found = run(project, "--load-threads", "2", "--load-iterations", "40")

    found.assert_outcomes(failed=1)
    found.stdout.fnmatch_lines(["10 of 40 runs failed", "DeprecationWarning: old"])


def test_a_session_that_patches_modules_is_seen_by_all_threads_and_measured_by_an_honest_clock(
    project: pytest.Pytester,
):
    project.makeconftest(
        """
        import time
        import pytest, shop

        @pytest.fixture(scope="session", autouse=True)
        def patched():
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(shop, "price", lambda: 0)
                for name in ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns"):
                    patch.setattr(time, name, lambda: 0)
                patch.setattr(time, "sleep", lambda seconds: None)
                yield
        """
    )
    project.makepyfile(
        shop="def price(): return 3",
        test_it="""
        import shop, time

        def test_it():
            assert shop.price() == 0
            assert time.monotonic() == 0
            time.sleep(1000)
            sum(range(1000))
        """,
    )

    found = run(project, "--load-threads", "3", "--load-iterations", "300", "--load-json", "out")

    found.assert_outcomes(passed=1)
    (row,) = stored(project)["timings"]
    assert row["count"] == 300
    assert 0 < row["response_time"]["p50"] < 10


def test_what_can_be_raised_nowhere_fails_the_run_it_is_of_and_that_of_threads_the_last_test(
    project: pytest.Pytester,
):
    project.makepyfile(
        test_it="""
        import socket, threading

        class Careless:
            def __del__(self): raise ValueError("not closed")

        def test_socket(): socket.socket()

        def test_finalizer(): Careless()

        def test_thread():
            thread = threading.Thread(target=lambda: 1 / 0)
            thread.start()
            thread.join()

        def test_well(): pass
        """
    )

    # a process of its own, for pytest raised all of it when that ended
    found = project.runpytest_subprocess("--load-threads", "2", "--load-iterations", "40")

    found.assert_outcomes(passed=2, failed=2, errors=1)
    found.stdout.fnmatch_lines(
        [
            "*PytestUnhandledThreadExceptionWarning: Exception in Thread-*: ZeroDivisionError: division by zero",
            "10 of 10 runs failed",
            # another descriptor may be another reason
            "*PytestUnraisableExceptionWarning: *: ResourceWarning: unclosed <socket*",
            "10 of 10 runs failed",
            "PytestUnraisableExceptionWarning: *: ValueError: not closed",
            "  at test_it.py:4 in __del__: *",
        ]
    )
    assert not found.errlines[-1].strip().startswith("+")


RESPONSES = """
import responses
with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
    mock.get(URL, json={"id": 3})
    yield
"""
VCR = """
import vcr
with vcr.use_cassette("recorded.yaml", record_mode="none", allow_playback_repeats=True):
    yield
"""
SEND = """
send = requests.Session.send
def traced(self, *more, **options):
    return send(self, *more, **options)
with pytest.MonkeyPatch.context() as patch:
    patch.setattr(requests.Session, "send", traced)
    yield
"""
CONNECT = """
import socket
connect = socket.socket.connect
def guarded(self, address):
    if address[0] != "127.0.0.1":
        raise PermissionError("no network in tests")
    connect(self, address)
with pytest.MonkeyPatch.context() as patch:
    patch.setattr(socket.socket, "connect", guarded)
    yield
"""
SOCKET = """
import socket
class Guarded(socket.socket):
    def connect(self, address):
        if address[0] != "127.0.0.1":
            raise PermissionError("no network in tests")
        super().connect(address)
with pytest.MonkeyPatch.context() as patch:
    patch.setattr(socket, "socket", Guarded)
    yield
"""
RECORDED = """
version: 1
interactions:
- request: {body: null, headers: {}, method: GET, uri: "http://192.0.2.1/items/3"}
  response: {body: {string: '{"id": 3}'}, headers: {Content-Length: ['9']}, status: {code: 200, message: OK}}
"""


@pytest.mark.parametrize(
    ("patch", "is_mocked"),
    [(RESPONSES, True), (VCR, True), (SEND, False), (CONNECT, False), (SOCKET, False)],
    ids=["responses", "vcrpy", "a trace of requests", "a guard of connect", "a guard of sockets"],
)
def test_what_a_conftest_has_put_in_the_place_of_the_network_stays_there_and_each_request_is_counted_once(
    project: pytest.Pytester, demo: Demo, patch: str, is_mocked: bool
):
    url = "http://192.0.2.1" if is_mocked else demo.url
    code = textwrap.indent(patch.replace("URL", repr(f"{url}/items/3")), "    ")
    project.makeconftest(
        f"import pytest, requests\n\n@pytest.fixture(scope='session', autouse=True)\ndef network():\n{code}"
    )
    (project.path / "recorded.yaml").write_text(RECORDED, encoding="utf-8")
    project.makepyfile(
        test_it=f"""
        import pytest, requests

        def test_it():
            assert requests.get("{url}/items/3", timeout=5).json()["id"] == 3

        @pytest.mark.skipif({"no network" not in patch}, reason="no guard")
        def test_guard():
            with pytest.raises(requests.ConnectionError, match="no network"):
                requests.get("http://192.0.2.1/")
        """
    )

    assert run(project).ret == 0
    # vcrpy stands one thread
    assert run(project, "--load-threads", "1", "--load-iterations", "40", "--load-json", "out").ret == 0

    (row,) = [one for one in stored(project)["endpoints"] if "items" in one["name"]]
    ran = next(one["count"] for one in stored(project)["timings"] if one["name"] == "test_it")
    assert (row["requests"], row["statuses"]) == (ran, {"200": ran})


COLLISION = """
import itertools, pytest, threading
numbers = itertools.count()


class Connection:
    def query(self):
        assert next(numbers) % 4, "it is busy"


@pytest.fixture(scope="session")
def connection(): return Connection()


@pytest.fixture(scope="module")
def url(): return "http://127.0.0.1"


@pytest.fixture
def client(connection, url):
    connection.query()


@pytest.fixture
def user(client): return "ada"


def test_it(user): pass
"""


def test_a_collision_is_shown_with_the_fixture_that_raised_and_what_threads_share(project: pytest.Pytester):
    project.makepyfile(test_it=COLLISION)

    found = run(project, "--load-threads", "2", "--load-iterations", "40")

    found.assert_outcomes(failed=1)
    found.stdout.fnmatch_lines(
        [
            "10 of 40 runs failed",
            "it is busy",
            "in the fixture client",
            "  at test_it.py:7 in query: *",
            "30 other runs went well, and all threads share connection: *; make it of function scope, or *",
        ]
    )


@pytest.mark.parametrize(
    ("change", "threads", "why"),
    [
        (("%", "%"), "1", "a thread alone collides with nobody"),
        (("% 4", "is None"), "2", "it never goes well, so that it is no matter of chance"),
        (("session", "function"), "2", "nothing that may change is shared"),
    ],
)
def test_nothing_is_advised_where_threads_cannot_have_collided(
    project: pytest.Pytester, change: tuple[str, str], threads: str, why: str
):
    project.makepyfile(test_it=COLLISION.replace(*change))

    found = run(project, "--load-threads", threads, "--load-iterations", "40")

    found.assert_outcomes(failed=1)
    assert "threads share" not in found.stdout.str(), why


@pytest.mark.parametrize("threads", ["1", "3"])
def test_a_connection_that_belongs_to_the_main_thread_is_named_although_no_run_went_well(
    project: pytest.Pytester, threads: str
):
    project.makepyfile(
        test_it="""
        import pytest, sqlite3

        @pytest.fixture(scope="session")
        def connection():
            connection = sqlite3.connect(":memory:")
            yield connection
            connection.close()

        def test_it(connection): connection.execute("SELECT 1")
        """
    )

    found = run(project, "--load-threads", threads, "--load-iterations", "40")

    found.assert_outcomes(failed=1)
    found.stdout.fnmatch_lines(
        [
            "40 of 40 runs failed",
            "ProgrammingError: SQLite objects created in a thread can only be used in that same thread*",
            "all threads share connection: what is shared has to stand that; make it of function scope, or *",
        ]
    )


OPEN = """
import pytest, os, sqlite3
left = []

@pytest.fixture
def connection():
    {connect}
    left.append(connection)
    return connection

def test_it(connection):
    connection.execute("UPDATE stock SET number = number - 1")
"""


def test_a_transaction_that_a_test_leaves_open_is_the_error_of_all_others(project: pytest.Pytester):
    with closing(sqlite3.connect(project.path / "shop.sqlite3")) as database:
        database.executescript("CREATE TABLE stock (number INTEGER); INSERT INTO stock VALUES (9)")
    project.makepyfile(test_it=OPEN.format(connect='connection = sqlite3.connect("shop.sqlite3", timeout=0.01)'))

    found = run(project, "--load-threads", "2", "--load-iterations", "40")

    found.assert_outcomes(failed=1)
    found.stdout.fnmatch_lines(
        [
            "39 of 40 runs failed",
            "OperationalError: database is locked",
            '  at test_it.py:11 in test_it: connection.execute("UPDATE stock *',
        ]
    )


@pytest.mark.slow
def test_of_a_transaction_that_others_wait_for_without_end_the_line_is_named(project: pytest.Pytester, postgres: str):
    import psycopg

    with psycopg.connect(host=postgres, user="shop", dbname="postgres", autocommit=True) as database:
        database.execute("CREATE TABLE stock (number INTEGER)")
        database.execute("INSERT INTO stock VALUES (9)")
    connect = f"import psycopg; connection = psycopg.connect(host={postgres!r}, user='shop', dbname='postgres')"
    project.makepyfile(test_it=OPEN.format(connect=connect))

    found = project.runpytest_subprocess("--load-threads", "4", "--load-for", "2s")

    found.assert_outcomes(failed=1)
    found.stdout.fnmatch_lines(
        ["4 of 5 runs never returned", '  at test_it.py:11 in test_it: connection.execute("UPDATE stock *']
    )


def test_a_failed_tear_down_is_shown_with_its_fixture(project: pytest.Pytester):
    project.makepyfile(
        test_it="""
        import pytest

        @pytest.fixture
        def user(request):
            request.addfinalizer(lambda: None)
            yield
            raise RuntimeError("still there")

        def test_it(user): pass
        """
    )

    found = run(project, "--load-threads", "2", "--load-iterations", "20")

    found.assert_outcomes(failed=1)
    found.stdout.fnmatch_lines(["RuntimeError: still there", "in the tear-down of the fixture user"])


def test_failures_with_another_id_each_time_are_one_and_others_are_counted_beside_them(project: pytest.Pytester):
    project.makepyfile(
        test_it="""
        import itertools, uuid
        numbers = itertools.count()

        def test_it():
            number = next(numbers)
            assert number % 10, "the tea is cold"
            assert number % 10 != 1, f"no order {number}"
            assert False, f"no order {uuid.uuid4()}"
        """
    )

    found = run(project, "--load-threads", "2", "--load-iterations", "2000", "--load-json", "out")

    found.stdout.fnmatch_lines(
        [
            "2,000 of 2,000 runs failed",
            "1,600 of them: no order ????????-*",
            "  (others differ in ids or times)",
            "200 of them: the tea is cold",
            "200 of them: no order 1",
            "  (others differ in numbers or quoted text)",
        ]
    )
    (row,) = stored(project)["timings"]
    assert [one["count"] for one in row["examples"]] == [1600, 200, 200]


MORE = "give them more, or select fewer (-k)"

FIVE_HUNDRED = (
    "import pytest\n@pytest.mark.parametrize('k', range(500))\ndef test_it(k): pass\n\ndef test_last(): pass\n"
)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["--load-threads", "2", "--load-for", "1s"],
            "501 tests on 2 threads for 1s: each of them will run if they take 3.99 ms or less on average",
        ),
        (
            ["--load-threads", "2", "--load-iterations", "100"],
            "501 tests on 2 threads, 100 runs in all: at most 100 of them will run; " + MORE,
        ),
        (
            ["--load-rate", "50/s", "--load-for", "1s"],
            "501 tests at 50/s for 1s: at most 50 of them will run; " + MORE,
        ),
        (["-k", "last", "--load-threads", "2", "--load-iterations", "10"], "1 test on 2 threads, 10 runs in all"),
    ],
)
def test_how_many_tests_run_is_said_before_the_start(project: pytest.Pytester, arguments: list[str], line: str):
    project.makepyfile(test_it=FIVE_HUNDRED)

    found = run(project, *arguments)

    assert line in found.outlines


def test_each_of_very_many_tests_is_run_and_judged_by_itself(project: pytest.Pytester):
    code = "def test_0(): assert False, 'this one'\n" + "".join(f"def test_{k}(): pass\n" for k in range(1, 225))
    project.makepyfile(test_it=code)

    found = run(project, "--load-threads", "3", "--load-iterations", "225")

    found.assert_outcomes(passed=224, failed=1)
    found.stdout.fnmatch_lines(["1 of 1 runs failed", "this one"])


def test_a_test_that_was_not_reached_says_so(project: pytest.Pytester):
    project.makepyfile(test_it="def test_one(): pass\ndef test_two(): pass\n")

    found = run(project, "--load-threads", "1", "--load-iterations", "1")

    found.assert_outcomes(passed=1, failed=1)
    found.stdout.fnmatch_lines(["it was not reached; give it more time (--load-for), or select fewer tests (-k)"])
