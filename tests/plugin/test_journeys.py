"""Journeys in tests: with the fixture `load`, with fixtures of the user's own, and scenario files as tests."""

from __future__ import annotations

import pytest

from loadkit.server.demo import Demo
from tests.plugin.conftest import Run

pytest_plugins = "pytester"


def test_a_journey_within_a_test_has_the_fixtures_of_that_test(run: Run):
    done = run(
        """
        @pytest.fixture
        def order():
            return loadkit.Session(base_url=URL).post("/orders", json={"sku": "tea-1"}).json()["order"]


        def test_orders(load, order):
            def read(http):
                with http.step("read"):
                    assert http.get(f"/orders/{order}").json()["sku"] == "tea-1"

            result = load(read, base_url=URL, threads=2, iterations=10)

            assert result.requests == result.timing("read").count == 10
            result.check("read: p99 < 5s", "GET /orders/{id}: failures == 0")
        """,
    )

    done.assert_outcomes(passed=1)


def test_a_decorated_function_is_a_target(run: Run):
    done = run(
        """
        @loadkit.scenario(base_url=URL, threads=2, iterations=8)
        def buy(http):
            http.get("/items/3")


        def test_it(load):
            assert load(buy).timing("buy").count == 8
            assert load(buy, iterations=3).timing("buy").count == 3
        """,
    )

    done.assert_outcomes(passed=1)


def test_a_journey_that_fails_shows_the_values_in_the_report(run: Run):
    done = run(
        """
        @pytest.mark.load(threads=1, iterations=3)
        def test_it(load):
            def buy(http):
                found = http.get("/items/7").json()["id"]
                assert found == 8, "another item"

            result = load(buy, base_url=URL)
            assert result.passed
        """,
    )

    done.assert_outcomes(failed=1)
    done.stdout.re_match_lines(
        [
            r"FAILED: journeys failed",
            r"journey +times .*",
            r"  buy +3 .*",
            r"  3  check  another item",
            r" +assert 7 == 8",
            r' +at test_it.py:\d+ in buy: assert found == 8, "another item"',
        ]
    )


def test_a_scenario_file_with_journeys_is_a_file_of_tests(project: pytest.Pytester, demo: Demo):
    project.makepyfile(
        scenario_shop=f"""
        from loadkit import scenario
        URL = {demo.url!r}


        @scenario(base_url=URL, threads=1, iterations=3)
        def good(http):
            http.get("/items/7")


        @scenario(base_url=URL, threads=1, iterations=3)
        def bad(http):
            assert http.get("/items/7").status_code == 201
        """
    )

    done = project.runpytest_inprocess("-p", "no:cacheprovider", "-v", "scenario_shop.py")

    done.assert_outcomes(passed=1, failed=1)
    done.stdout.fnmatch_lines(["*scenario_shop.py::good PASSED*", "*scenario_shop.py::bad FAILED*"])


def test_pytest_s_own_ways_out_of_a_test_fail_a_journey_and_not_the_run(run: Run):
    done = run(
        """
        def test_it(load):
            def stop(http):
                http.get("/")
                pytest.fail("enough")

            result = load(stop, base_url=URL, threads=1, iterations=3, judge=False)
            assert result.timing("stop").failures == {"Failed": 3}
            assert result.requests == 3
        """,
    )

    done.assert_outcomes(passed=1)
