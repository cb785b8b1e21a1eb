"""Functional tests under load: run by threads, with their fixtures, and judged as pytest does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from loadkit.server.demo import Demo

pytest_plugins = "pytester"

CONFTEST = """
import pytest
import requests

counted = {"session": 0, "module": 0, "users": 0, "removed": 0}

URL = "@URL@"


@pytest.fixture(scope="session")
def catalogue():
    counted["session"] += 1
    yield {"tea": 3}


@pytest.fixture(scope="module")
def shelf(catalogue, request):
    counted["module"] += 1
    request.addfinalizer(lambda: None)
    return [catalogue["tea"]]


@pytest.fixture
def client():
    with requests.Session() as session:
        yield session


@pytest.fixture
def user(client):
    order = client.post(f"{URL}/orders", json={"sku": "tea-1"}).json()["order"]
    counted["users"] += 1
    yield order
    counted["removed"] += 1


@pytest.fixture(autouse=True)
def noted(request):
    request.node.user_properties.append(("noted", 1))
    assert request.node.user_properties == [("noted", 1)]


@pytest.fixture
def name():
    return "conftest"


@pytest.fixture(params=["en", "de"])
def language(request):
    return request.param


@pytest.fixture(scope="session", params=["small", "large"])
def size(request):
    return request.param
"""

SUITE = """
import pytest

from conftest import URL


@pytest.fixture
def name(name):
    return f"{name}, overridden"


@pytest.fixture
def number(request):
    return request.param * 2


def test_get(client):
    assert client.get(f"{URL}/items/3").json()["id"] == 3


def test_user(user, client, shelf):
    assert client.get(f"{URL}/orders/{user}").status_code == 200
    assert shelf == [3]


def test_overridden(name):
    assert name == "conftest, overridden"


@pytest.mark.parametrize("item", [1, 2, 3])
def test_cases(client, item):
    assert client.get(f"{URL}/items/{item}").json()["id"] == item


@pytest.mark.parametrize("number", [1, 2], indirect=True)
def test_indirect(number):
    assert number in (2, 4)


def test_fixture_params(language):
    assert language in ("en", "de")


def test_params_of_the_session(size, language):
    assert size in ("small", "large")


def test_raises(client):
    with pytest.raises(Exception, match="404"):
        client.get(f"{URL}/nothing").raise_for_status()


def test_folder(tmp_path):
    (tmp_path / "once").mkdir()


def test_dynamic(request):
    assert request.getfixturevalue("name") == "conftest, overridden"
    with pytest.raises(pytest.FixtureLookupError):
        request.getfixturevalue("nobody")


class TestClass:
    seen = 0

    def setup_method(self):
        self.own = []

    @pytest.fixture
    def mine(self):
        self.own.append(1)
        return self

    def test_self(self, mine):
        assert mine is self
        assert self.own == [1]

    @pytest.mark.usefixtures("user")
    def test_used(self):
        assert self.own == []


@pytest.mark.xfail(reason="bug 7")
def test_expected_to_fail():
    assert 1 == 2


@pytest.mark.xfail(strict=True, reason="was bug 8")
def test_unexpectedly_passes():
    pass


@pytest.mark.skipif("True", reason="not on this system")
def test_skipped_by_a_condition():
    raise AssertionError("not to be run")


@pytest.mark.skip(reason="later")
def test_skipped():
    raise AssertionError("not to be run")


def test_skips_itself():
    pytest.skip("not here")


def test_fails():
    assert {"tea": 1} == {"tea": 2}


@pytest.fixture(scope="module")
def gone():
    raise RuntimeError("no such database")


def test_of_a_broken_module(gone):
    pass


@pytest.fixture(scope="session")
def of_a_wrong_scope(user):
    return user


def test_of_a_wrong_scope(of_a_wrong_scope):
    pass
"""


FOLDER = """
import pytest


@pytest.fixture
def name(name):
    return f"{name}, of the folder"


@pytest.fixture(scope="package", autouse=True)
def shop(catalogue):
    catalogue["cup"] = 5
    yield
    del catalogue["cup"]
"""

CHECKOUT = """
def test_of_the_folder(name, catalogue):
    assert (name, catalogue["cup"]) == ("conftest, of the folder", 5)


def test_its_stock(subtests, catalogue):
    for sku in ("tea", "saucer"):
        with subtests.test(sku):
            assert sku in catalogue
"""


@pytest.fixture
def suite(project: pytest.Pytester, demo: Demo) -> pytest.Pytester:
    """A project with a conftest that counts."""
    project.makepyprojecttoml('[tool.pytest]\npythonpath = ["."]')
    project.makeconftest(CONFTEST.replace("@URL@", demo.url))
    return project


def run(suite: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """Run its tests within this process."""
    return suite.runpytest_inprocess("-p", "no:cacheprovider", *arguments)


def verdicts(result: pytest.RunResult) -> dict[str, set[str]]:
    """What became of each test, by node id: there may be a pass and an error of one."""
    found: dict[str, set[str]] = {}
    for line in result.outlines:
        if match := re.match(r"(\S+::\S+) (PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)", line):
            found.setdefault(match[1], set()).add(match[2])
    return found


def stored(suite: pytest.Pytester) -> dict[str, Any]:
    (file,) = Path(suite.path, "out").glob("*.json")
    result: dict[str, Any]
    (result,) = json.loads(file.read_text(encoding="utf-8"))["results"]
    return result


@pytest.mark.parametrize(
    "length", [["--load-iterations", "800"], pytest.param(["--load-for", "30s"], marks=pytest.mark.slow)], ids=" ".join
)
def test_a_suite_has_the_verdicts_that_pytest_gives_it(suite: pytest.Pytester, length: list[str]):
    suite.makepyfile(test_shop=SUITE)
    suite.mkpydir("checkout")
    (suite.path / "checkout" / "conftest.py").write_text(FOLDER, encoding="utf-8")
    (suite.path / "checkout" / "test_checkout.py").write_text(CHECKOUT, encoding="utf-8")

    plain = verdicts(run(suite, "-v"))
    loaded = verdicts(run(suite, "-v", "--load-threads", "20", *length))

    assert len(plain) > 20
    assert set().union(*plain.values()) == {"PASSED", "FAILED", "ERROR", "SKIPPED", "XFAIL"}
    assert loaded == plain


def test_each_test_is_a_row_and_each_request_within_it(suite: pytest.Pytester):
    suite.makepyfile(test_shop=SUITE)

    run(suite, "--load-threads", "4", "--load-iterations", "400", "--load-json", "out", "-k", "get or use or cases")

    result = stored(suite)
    timed = {one["name"]: one for one in result["timings"]}
    assert set(timed) == {"test_get", "test_user", "test_cases", "TestClass::test_used"}
    assert sum(one["count"] for one in timed.values()) == 400
    # the orders that its fixture made are in no row, as its time is not
    requests = {re.sub(r"http://[^/]*", "", row["name"]): row["requests"] for row in result["endpoints"]}
    assert requests == {"GET /items/{id}": 200, "GET /orders/{id}": 100}


def test_fixtures_of_a_wider_scope_are_made_once_and_those_of_a_test_for_each_run(suite: pytest.Pytester):
    suite.makepyfile(
        test_shop="""
        import conftest, threading

        def test_one(user, shelf):
            conftest.threads = getattr(conftest, "threads", set()) | {threading.get_ident()}

        def test_two(catalogue, shelf):
            pass
        """,
    )
    with (suite.path / "conftest.py").open("a", encoding="utf-8") as file:
        file.write("\n\ndef pytest_sessionfinish():\n    print('counted', counted)\n")

    found = run(suite, "-s", "--load-threads", "4", "--load-iterations", "90")

    found.assert_outcomes(passed=2)
    (line,) = [line for line in found.outlines if "counted {" in line]
    assert "'session': 1, 'module': 1, 'users': 45, 'removed': 45}" in line


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("def test_it(capsys): pass", "test_it.py::test_it cannot be run by threads: capsys: it captures the output"),
        (
            "def test_it(monkeypatch): pass",
            "cannot be run by threads: monkeypatch: it changes objects",
        ),
        ("def test_it(load): pass", "cannot be run by threads: load: it is a load test already"),
        (
            "import unittest\nclass TestIt(unittest.IsolatedAsyncioTestCase):\n    async def test_it(self): pass",
            "test_it.py::TestIt::test_it is no function, or method of a plain class, that threads could run",
        ),
        (
            "import pytest\n@pytest.fixture(scope='module')\nasync def db(): yield [object()]\ndef test_it(db): pass",
            "db, of the scope module, is made on an event loop and is a list, and each thread has a loop of its own",
        ),
        (
            "import pytest\n@pytest.mark.load_user(wait=3)\ndef test_it(): pass",
            "the mark load_user takes weight= and pause=, not wait",
        ),
    ],
)
def test_what_threads_cannot_run_is_refused_by_name_before_anything_runs(
    suite: pytest.Pytester, code: str, message: str
):
    suite.makepyfile(test_it=code)

    found = run(suite, "--load-threads", "2", "--load-iterations", "2")

    assert found.ret == 4
    found.stderr.fnmatch_lines([f"ERROR: *{message}*".replace("[", "[[]")])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--load-for", "3s"], "--load-for belongs to --load-threads N or --load-rate R; give one of them"),
        (["--load-threads", "many"], "--load-threads takes a whole number, like --load-threads 20, not 'many'"),
        (["--load-threads", "0"], "threads takes a whole number of at least 1, not 0"),
        (["--load-rate", "fast"], "cannot read the rate 'fast'"),
        (
            ["--load-threads", "2", "--load-threshold", "test_ti: p99 < 1s"],
            "--load-threshold 'test_ti: p99 < 1s': there is no test test_ti; did you mean test_it?",
        ),
        (
            ["--load-threads", "2", "--load-threshold", "test_in: p99 < 1s"],
            "--load-threshold 'test_in: p99 < 1s': there is no test test_in; did you mean TestShop::test_in?",
        ),
    ],
)
def test_what_is_wrong_with_the_options_is_said_in_a_line(suite: pytest.Pytester, arguments: list[str], message: str):
    suite.makepyfile(test_it="def test_it(): pass\n\nclass TestShop:\n    def test_in(self): pass")

    found = run(suite, *arguments)

    assert found.ret == 4
    assert message in found.stderr.str()


def test_a_test_whose_fixture_is_not_found_is_an_error_and_the_others_run(suite: pytest.Pytester):
    suite.makepyfile(test_it="def test_it(usr): pass\n\ndef test_user(user): pass")

    found = run(suite, "--load-threads", "2", "--load-iterations", "20")

    found.assert_outcomes(passed=1, errors=1)
    found.stdout.fnmatch_lines(["*fixture 'usr' not found", "*available fixtures: *"])


def test_a_run_fails_with_the_first_of_its_subtests_that_did_and_goes_through_all(suite: pytest.Pytester):
    suite.makepyfile(
        test_it="""
        import pytest
        seen = []

        def test_it(subtests):
            for number in range(4):
                with subtests.test("stock", number=number):
                    seen.append(number)
                    if number == 0: pytest.skip("none")
                    assert number < 2

        def test_well(subtests):
            with subtests.test(): pass
        """
    )
    with (suite.path / "conftest.py").open("a", encoding="utf-8") as file:
        file.write("\n\ndef pytest_sessionfinish():\n    import test_it\n    print('seen', len(test_it.seen))\n")

    found = run(suite, "-s", "--load-threads", "2", "--load-iterations", "20")

    found.assert_outcomes(passed=1, failed=1)
    found.stdout.fnmatch_lines(["*seen 40*"])
    found.stdout.fnmatch_lines(["10 of 10 runs failed", "assert 2 < 2", "in the subtest [[]stock] (number=2)"])
    assert found.stdout.str().count("SUBFAILED") == 0


def test_what_is_cut_off_at_the_end_is_no_run(suite: pytest.Pytester):
    suite.makepyfile(
        test_it="""
        def test_it(client):
            from conftest import URL
            for _ in range(10):
                client.get(f"{URL}/delay/0.02")
            assert False
        """
    )

    found = run(suite, "--load-threads", "3", "--load-for", "1s")

    found.assert_outcomes(failed=1)
    # those that were begun and cut off would make the second number larger
    assert re.search(r"^(\d+) of \1 runs failed$", found.stdout.str(), re.MULTILINE)


def test_a_fixture_that_fails_sometimes_is_counted_and_the_run_goes_on(suite: pytest.Pytester):
    suite.makepyfile(
        test_it="""
        import itertools, pytest
        numbers = itertools.count()

        @pytest.fixture
        def shaky():
            assert next(numbers) % 4, "no connection"

        def test_it(shaky): pass
        """
    )

    found = run(suite, "--load-threads", "1", "--load-iterations", "40", "--load-json", "out")

    found.assert_outcomes(failed=1)
    found.stdout.fnmatch_lines(["10 of 40 runs failed", "no connection"])
    (row,) = stored(suite)["timings"]
    assert (row["count"], row["failures"]) == (40, {"setup": 10})


def test_fixtures_that_always_fail_end_the_run(suite: pytest.Pytester):
    suite.makepyfile(
        test_it="""
        import pytest

        @pytest.fixture
        def broken(): raise RuntimeError("no database")

        def test_it(broken): pass
        """
    )

    found = run(suite, "--load-threads", "2", "--load-for", "50s")

    found.assert_outcomes(failed=1)
    found.stdout.fnmatch_lines(["*RuntimeError: no database*"])


def test_an_allowed_share_of_errors_is_allowed(suite: pytest.Pytester):
    suite.makepyfile(
        test_it="""
        import itertools
        numbers = itertools.count()

        def test_shaky():
            assert next(numbers) % 50

        def test_slow():
            pass
        """
    )
    limits = ["--load-threshold", "test_shaky: error_rate < 5%", "--load-threshold", "test_slow: p99 < 1ns"]

    found = verdicts(run(suite, "-v", "--load-threads", "1", "--load-iterations", "400", *limits))

    assert found == {"test_it.py::test_shaky": {"PASSED"}, "test_it.py::test_slow": {"FAILED"}}


def test_weights_share_out_the_runs(suite: pytest.Pytester):
    suite.makepyfile(
        test_it="""
        import pytest

        @pytest.mark.load_user(weight=3)
        def test_often(): pass

        def test_seldom(): pass
        """
    )

    run(suite, "--load-threads", "1", "--load-iterations", "80", "--load-json", "out").assert_outcomes(passed=2)

    assert {one["name"]: one["count"] for one in stored(suite)["timings"]} == {"test_often": 60, "test_seldom": 20}


def test_a_rest_is_in_no_figure(suite: pytest.Pytester):
    suite.makepyfile(
        test_it="""
        import pytest

        @pytest.mark.load_user(pause="200ms")
        def test_it(): pass
        """
    )

    run(suite, "--load-threads", "1", "--load-for", "1s", "--load-json", "out").assert_outcomes(passed=1)

    (row,) = stored(suite)["timings"]
    assert row["count"] <= 5
    assert row["response_time"]["max"] < 0.2


def test_async_tests_run_on_the_event_loop_of_their_thread(suite: pytest.Pytester):
    suite.makepyfile(
        test_it="""
        import asyncio, pytest

        @pytest.fixture
        async def opened():
            await asyncio.sleep(0)
            yield asyncio.get_running_loop()

        async def test_it(opened):
            await asyncio.sleep(0.001)
            assert asyncio.get_running_loop() is opened

        def test_plain(opened):
            assert opened
        """
    )

    run(suite, "--load-threads", "3", "--load-iterations", "30").assert_outcomes(passed=2)


def test_an_async_fixture_of_a_wider_scope_is_made_once_where_it_belongs_to_no_event_loop(suite: pytest.Pytester):
    suite.makepyfile(
        test_it="""
        import asyncio, pytest, requests, socket
        made = []

        @pytest.fixture(scope="session")
        async def client():
            made.append("client")
            yield object()
            await asyncio.sleep(0)
            made.append("closed")

        @pytest.fixture(scope="session")
        async def token(client):
            await asyncio.sleep(0)
            return {"token": "abc"}

        @pytest.fixture(scope="module")
        async def server(token):
            async def answer(reader, writer):
                await reader.readuntil(b"\\r\\n\\r\\n")
                writer.write(b"HTTP/1.1 204 Empty\\r\\nConnection: close\\r\\n\\r\\n")
                writer.close()

            serving = await asyncio.start_server(answer, "127.0.0.1", 0)
            yield serving.sockets[0].getsockname()[1]
            serving.close()

        @pytest.fixture
        async def headers(token): return token

        async def test_async(headers, server): assert headers == {"token": "abc"}

        def test_plain(token, server): assert requests.get(f"http://127.0.0.1:{server}").status_code == 204
        """
    )
    with (suite.path / "conftest.py").open("a", encoding="utf-8") as file:
        file.write("\n\ndef pytest_sessionfinish():\n    import test_it\n    print(test_it.made)\n")

    found = run(suite, "-s", "--load-threads", "3", "--load-iterations", "40")

    found.assert_outcomes(passed=2)
    found.stdout.fnmatch_lines(["*['client', 'closed']*"])


def test_an_async_fixture_that_asks_for_another_while_it_is_made_says_what_to_do(suite: pytest.Pytester):
    suite.makepyfile(
        test_it="""
        import pytest

        @pytest.fixture(scope="session")
        async def token(request): return request.getfixturevalue("catalogue")

        def test_it(token): pass
        """
    )

    found = run(suite, "--load-threads", "2", "--load-iterations", "4")

    found.assert_outcomes(errors=1)
    found.stdout.fnmatch_lines(["*token asks for catalogue on an event loop; take it as an argument*"])


def test_pytest_exit_ends_the_run(suite: pytest.Pytester):
    suite.makepyfile(test_it="import pytest\ndef test_it(): pytest.exit('enough')")

    found = run(suite, "--load-threads", "2", "--load-for", "50s")

    assert found.ret == 2


def test_loadkits_own_session_goes_to_the_server_of_a_fixture_of_that_name(suite: pytest.Pytester):
    suite.makepyfile(
        test_it="""
        import conftest, pytest

        @pytest.fixture(scope="session")
        def load_server(): return conftest.URL

        def test_it(http): assert http.get('/items/3').json()['id'] == 3
        """
    )

    run(suite).assert_outcomes(passed=1)
    run(suite, "--load-threads", "2", "--load-iterations", "20", "--load-json", "out").assert_outcomes(passed=1)

    assert {row["name"]: row["requests"] for row in stored(suite)["endpoints"]} == {"GET /items/{id}": 20}


def test_loadkits_own_session_goes_to_the_server_of_the_settings(suite: pytest.Pytester):
    suite.makepyprojecttoml('[tool.pytest]\nload_server = ["python", "-m", "loadkit", "demo", "--port", "{port}"]')
    suite.makepyfile(test_it="def test_it(http):\n    assert http.get('/items/3').json()['id'] == 3\n")

    run(suite).assert_outcomes(passed=1)
    run(suite, "--load-threads", "2", "--load-iterations", "20", "--load-json", "out").assert_outcomes(passed=1)

    assert {row["name"]: row["requests"] for row in stored(suite)["endpoints"]} == {"GET /items/{id}": 20}
