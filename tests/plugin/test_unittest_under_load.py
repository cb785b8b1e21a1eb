"""Methods of `unittest.TestCase` under load: the verdicts that pytest gives them, and an object for each run."""

from __future__ import annotations

import re

import pytest

pytest_plugins = "pytester"

SUITE = """
import threading, unittest
import pytest

counted = {"class": 0, "setUp": 0, "tearDown": 0, "cleanups": 0, "called": 0}
lock = threading.Lock()


def count(name):
    with lock:
        counted[name] += 1


class TestShop(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        count("class")
        cls.catalogue = ["tea"]

    def setUp(self):
        assert not hasattr(self, "own"), "each run has an object of its own"
        self.own = [1]
        count("setUp")
        self.addCleanup(self.clean, "first")
        self.addCleanup(self.clean, "second")

    def tearDown(self):
        assert self.own[0] == 1
        self.own.append("torn down")
        count("tearDown")

    def clean(self, name):
        assert self.own[-1] == ("torn down" if name == "second" else "second")
        self.own.append(name)
        count("cleanups")

    def test_well(self):
        count("called")
        self.assertEqual(self.catalogue, ["tea"])

    def test_fails(self):
        self.assertEqual(1, 2)

    def test_parts(self):
        for k in range(3):
            with self.subTest(k=k):
                self.assertLess(k, 3)

    @unittest.skip("later")
    def test_skipped(self):
        raise AssertionError

    def test_skips_itself(self):
        self.skipTest("not here")

    @unittest.expectedFailure
    def test_expected(self):
        self.fail("as ever")

    @unittest.expectedFailure
    def test_unexpected(self):
        pass


class TestSetUp(unittest.TestCase):
    def setUp(self):
        self.addCleanup(count, "cleanups")
        raise RuntimeError("no database")

    def tearDown(self):
        raise AssertionError("it was never set up")

    def test_it(self):
        raise AssertionError("not to be called")


class TestCleanup(unittest.TestCase):
    def test_it(self):
        self.addCleanup(self.fail, "still there")


@unittest.skip("all of it")
class TestNothing(unittest.TestCase):
    def test_it(self):
        raise AssertionError


@pytest.mark.usefixtures("tmp_path")
class TestFixture(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def made(self):
        self.value = 3

    def test_it(self):
        self.assertEqual(self.value, 3)
"""


def run(project: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """Run its tests within this process."""
    return project.runpytest_inprocess("-p", "no:cacheprovider", *arguments)


def verdicts(result: pytest.RunResult) -> set[tuple[str, str]]:
    """What became of each test."""
    found = [re.match(r"(\S+::\S+) (PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)", line) for line in result.outlines]
    return {(one[1], one[2]) for one in found if one}


def test_methods_of_a_test_case_have_the_verdicts_that_pytest_gives_them(project: pytest.Pytester):
    project.makepyfile(test_it=SUITE)

    plain = verdicts(run(project, "-v"))
    loaded = verdicts(run(project, "-v", "--load-threads", "4", "--load-iterations", "200"))

    assert len(plain) == 11
    assert loaded == plain


def test_each_run_has_an_object_of_its_own_and_is_set_up_and_torn_down(project: pytest.Pytester):
    project.makepyfile(test_it=SUITE)
    project.makeconftest("def pytest_sessionfinish():\n    import test_it\n    print('counted', test_it.counted)\n")

    found = run(project, "-s", "--load-threads", "4", "--load-iterations", "60", "-k", "TestShop and well")

    found.assert_outcomes(passed=1, deselected=10)
    (line,) = [line for line in found.outlines if "counted {" in line]
    assert "{'class': 1, 'setUp': 60, 'tearDown': 60, 'cleanups': 120, 'called': 60}" in line


def test_a_set_up_that_fails_and_a_cleanup_that_fails_are_told_as_they_are(project: pytest.Pytester):
    project.makepyfile(test_it=SUITE)

    found = run(project, "--load-threads", "2", "--load-iterations", "20", "-k", "TestSetUp or TestCleanup")

    found.assert_outcomes(failed=2, deselected=9)
    found.stdout.fnmatch_lines_random(["RuntimeError: no database", "still there"])
    assert "never set up" not in found.stdout.str()
