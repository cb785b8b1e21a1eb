"""Two versions compared in a test: `load.compare`, the mark, the options, and what is said of it."""

from __future__ import annotations

import re
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest

from loadkit.server.demo import Demo
from tests.app import app
from tests.plugin.conftest import Run, errors

pytest_plugins = "pytester"

LATER = "200 if is_first else 404"
"""Answers a load that was run, but not when it is started again to be compared."""

Versions = Callable[..., None]


@pytest.fixture
def versions(project: pytest.Pytester) -> Versions:
    """Makes the project a repository whose load_server answers so in main, and otherwise in the working tree."""

    def make(old: int | str, new: int | str) -> None:
        file = project.path / "app.py"
        project.makepyprojecttoml('[tool.pytest]\nload_server = ["python", "app.py", "{port}"]')
        file.write_text(app(delay=0, status=old))
        git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]
        for words in (["init", "-b", "main"], ["add", "app.py"], ["commit", "-m", "old"]):
            subprocess.run([*git, *words], cwd=project.path, check=True, capture_output=True)
        file.write_text(app(delay=0, status=new))

    return make


def left_behind(project: pytest.Pytester) -> list[Path]:
    return list((project.path / ".loadkit" / "worktrees").iterdir())


def test_a_revision_is_compared_with_the_server_of_the_session(run: Run, versions: Versions, project: pytest.Pytester):
    versions("200 if path in ('/', '/shop/') else 404", 404)

    done = run(
        """
        def test_worse(load, load_server):
            result = load.compare(Endpoint("GET", "/"), base_url=load_server + "/shop", threads=2, against="main")
            assert isinstance(result, loadkit.Comparison)
            assert not result.worse
        """,
        *("--junit-xml", "junit.xml"),
    )

    done.assert_outcomes(failed=1)
    done.stdout.re_match_lines(
        [
            r"-+ compared: the working tree against main \(\w{7}\) -+",
            r"WORSE: the new version failed all requests",
            r"=+ load comparisons =+",
            r"  test_it\.py::test_worse .* against main \(\w{7}\) +worse",
            r"  test_it\.py::test_worse: the new version failed all requests",
        ]
    )
    properties = {one.get("name"): one.get("value") for one in ET.parse(project.path / "junit.xml").iter("property")}
    assert properties["load.compare.verdict"] == "worse"
    assert re.fullmatch(r"main \(\w{7}\)", properties["load.compare.against"] or "")
    assert left_behind(project) == []


@pytest.mark.slow
def test_below_a_failed_assertion_stands_the_figure_with_its_interval(run: Run):
    done = run(
        """
        def test_ratio(load):
            old = Endpoint("GET", "/delay/0.005", name="wait")
            result = load.compare(Endpoint("GET", "/delay/0.1", name="wait"), against=old, base_url=URL, threads=20)
            assert result.worse
            assert result.p50.ratio < 1.1
        """
    )

    done.assert_outcomes(failed=1)
    assert any(
        re.fullmatch(r"p50 of test_ratio \(new\) against test_ratio \(old\): \+[\d,.]+ % \(.* to .*\)", line)
        for line in errors(done)
    ), errors(done)


@pytest.mark.parametrize(
    "said", ["mark", *(pytest.param(one, marks=pytest.mark.slow) for one in ("option", "keyword"))]
)
def test_a_load_is_compared_when_it_was_run(run: Run, versions: Versions, said: str):
    versions(200, LATER)
    mark = '@pytest.mark.load(against="main", tolerance="20%")' if said == "mark" else ""
    keyword = ', against="main"' if said == "keyword" else ""

    done = run(
        f"""
        {mark}
        def test(load, load_server):
            load(Endpoint("GET", "/"), base_url=load_server, iterations=10{keyword})

        @pytest.mark.load(against=None)
        def test_alone(load):
            assert load(URL, iterations=4).requests == 4
        """,
        *(["--load-against", "main"] * (said == "option")),
    )

    done.assert_outcomes(failed=1, passed=1)
    assert re.match(
        r"AssertionError: worse than main \(\w{7}\): the new version failed all requests: GET .*: status .* \(test\)",
        errors(done)[0],
    )
    done.stdout.re_match_lines(
        [
            r"-+ compared: the working tree against main \(\w{7}\) -+",
            r"-+ load: test -+",
            r"  test_it.py::test +[\d,.]+/s",
            r"  test_it.py::test .* against main \(\w{7}\) +worse",
        ]
    )


CHECKED_OUT = """
import pathlib

@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.load(iterations=4, budget="1s")
def test(load, load_server, k):
    load(Endpoint("GET", "/"), base_url=load_server)
    assert len(list(pathlib.Path(".loadkit/worktrees").iterdir())) == 1
"""


@pytest.mark.slow  # pip comes with a virtual environment, which takes seconds, and a minute on a busy machine
@pytest.mark.timeout(300)
def test_a_revision_is_prepared_once_for_all_tests_and_removed_at_the_end(
    run: Run, versions: Versions, project: pytest.Pytester
):
    versions(200, 200)

    done = run(
        CHECKED_OUT + "    assert pathlib.Path('made').read_text() == 'made\\n'",
        *("--load-against", "main", "--load-undecided", "pass"),
        *("-o", f"load_prepare=echo made >> {project.path}/made"),
    )

    done.assert_outcomes(passed=2)
    assert left_behind(project) == []


def test_a_revision_is_removed_after_a_ctrl_c_too(run: Run, versions: Versions, project: pytest.Pytester):
    versions(200, 200)

    done = run(
        CHECKED_OUT + "    raise KeyboardInterrupt",
        *("--load-against", "main", "--load-undecided", "pass"),
        no_reraise_ctrlc=True,
    )

    assert done.ret == pytest.ExitCode.INTERRUPTED
    done.stdout.re_match_lines([r"  test_it.py::test\[1\] .* against main"])
    assert left_behind(project) == []


def test_a_revision_that_there_is_not_is_told_at_the_start(run: Run, versions: Versions):
    versions(200, 200)

    done = run("def test(load, load_server):\n    load(load_server)", "--load-against", "mian")

    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["ERROR: there is no revision 'mian' in /*"])
    assert "test_it" not in done.stdout.str()


@pytest.mark.slow
def test_so_is_a_scenario_of_a_file(project: pytest.Pytester, versions: Versions):
    versions(200, LATER)
    (project.path / "scenario_shop.py").write_text(
        "from loadkit import Endpoint, Scenario\n"
        "server = ['python', 'app.py', '{port}']\n"
        "browse = Scenario(endpoints=[Endpoint('GET', '/')], iterations=10, server=server)\n"
    )

    done = project.runpytest_inprocess("-p", "no:cacheprovider", "--load-against", "main")

    done.assert_outcomes(failed=1)
    assert re.match(r"worse than main \(\w{7}\): the new version failed all requests", errors(done)[0])


@pytest.mark.parametrize(("undecided", "outcome"), [("fail", "failed"), ("pass", "passed")])
def test_what_cannot_be_told_fails_unless_it_may_pass(
    run: Run, versions: Versions, project: pytest.Pytester, undecided: str, outcome: str
):
    versions(404, 200)

    done = run(
        """
        def test(load, load_server):
            load(load_server, iterations=4, against="main")
        """,
        *("--load-undecided", undecided),
    )

    done.assert_outcomes(**{outcome: 1})
    if outcome == "failed":
        assert re.match(
            r"AssertionError: it cannot be told whether it is worse than main \(\w{7}\): the old version failed all "
            r"requests: GET http://\S+: status 404, expected 200-399; with --load-undecided pass this passes",
            errors(done)[0],
        )


MISTAKES = [
    ("load.compare(URL)", "UsageError: nothing says what was before; write it like load.compare"),
    ("load.compare(URL, against='main')", r"UsageError: main is a revision, and \S+ has no server= to start from it; "),
    ("load.compare(URL, against='nowhere.py::x')", "UsageError: there is no file or folder 'nowhere.py'"),
    ("load.compare(shop, against=shop, tolerance='p98=1%')", "UsageError: there is no figure 'p98' to compare; use "),
    ("load.compare(shop, against=shop, tolerance={'p99': 'x'})", "UsageError: cannot read the tolerance 'p99=x'; "),
    ("load.compare(shop, against=shop, budget='long')", "UsageError: cannot read the budget 'long'; "),
    ("load.compare(shop, against=shop, thread=1)", "UsageError: Scenario has no 'thread'; did you mean threads"),
]


@pytest.mark.parametrize(("call", "message"), MISTAKES, ids=[row[0] for row in MISTAKES])
def test_a_mistake_is_one_line_of_the_test(run: Run, call: str, message: str):
    done = run(f"def test(load):\n    {call}\n")

    done.assert_outcomes(failed=1)
    assert re.match(rf"loadkit\.plan\.errors\.{message}", errors(done)[0]), errors(done)
    assert f">       {call}" in done.outlines


@pytest.mark.slow
def test_workers_of_xdist_hand_comparisons_on(run: Run, demo: Demo, project: pytest.Pytester):
    project.makepyfile(
        test_it=f"""
        import pytest
        from loadkit import Endpoint

        @pytest.mark.parametrize("path", ["/a", "/b"])
        def test(load, path):
            assert load.compare(Endpoint("GET", path), against=Endpoint("GET", "/"), base_url="{demo.url}").worse
        """
    )

    done = project.runpytest_subprocess("-p", "xdist.plugin", "-n", "2")

    done.assert_outcomes(passed=2)
    found = [line for line in done.outlines if re.match(r"  test_it\.py::test\[/\w\] .* against .* worse", line)]
    assert len(found) == 2


def test_after_a_ctrl_c_what_is_known_is_shown(run: Run):
    done = run(
        """
        import os, signal

        def interrupt(reply):
            os.kill(os.getpid(), signal.SIGINT)

        def test_interrupted(load):
            load.compare(Endpoint("GET", URL + "/", check=interrupt), against=shop)

        def test_never(load):
            load(shop)
        """,
        no_reraise_ctrlc=True,
    )

    assert done.ret == pytest.ExitCode.INTERRUPTED
    done.stdout.re_match_lines(
        [r"  test_it\.py::test_interrupted .* against .* cannot tell", r"CANNOT TELL: interrupted"]
    )
    assert "test_never" not in done.stdout.str()


SAVED = """
import pytest
from loadkit import Endpoint, rows

# the rows are no part of what makes a load the same
shop = Endpoint("GET", "/delay/{{delay}}", feed=rows([{{"delay": {delay}}}]), name="shop")

@pytest.mark.load(base_url="{url}", threads=2, iterations={iterations}, tolerance="200%")
def test(load):
    load(shop)
"""


@pytest.mark.parametrize(
    ("delay", "iterations", "outcome", "verdict"),
    [
        (0.005, 20, "passed", "no worse"),
        (0.05, 20, "failed", "worse"),
        # of another load nothing is decided
        (0.05, 10, "passed", "cannot tell"),
    ],
)
def test_what_is_worse_than_the_saved_rounds_fails(
    project: pytest.Pytester, demo: Demo, delay: float, iterations: int, outcome: str, verdict: str
):
    def run(delay: float, iterations: int, *words: str) -> pytest.RunResult:
        project.makepyfile(test_it=SAVED.format(url=demo.url, delay=delay, iterations=iterations))
        judged = ("--load-repeat", "8", "--load-compare", "x", "--load-compare-fail")
        return project.runpytest_inprocess("-p", "no:cacheprovider", *judged, *words)

    first = run(0.005, 20, "--load-save", "x")
    first.assert_outcomes(passed=1)
    first.stdout.fnmatch_lines(["there is no baseline 'x' in *"])

    done = run(delay, iterations)

    done.assert_outcomes(**{outcome: 1})
    done.stdout.re_match_lines([rf"  test_it\.py::test .* against the baseline x +{verdict}"])


def test_a_baseline_that_has_none_of_the_tests_that_ran_fails_the_session(project: pytest.Pytester, demo: Demo):
    project.makepyfile(test_it=SAVED.format(url=demo.url, delay=0, iterations=2))
    project.runpytest_inprocess("-p", "no:cacheprovider", "--load-save", "x")
    project.makepyfile(test_it=SAVED.format(url=demo.url, delay=0, iterations=2).replace("def test(", "def test_new("))

    done = project.runpytest_inprocess("-p", "no:cacheprovider", "--load-compare", "x", "--load-compare-fail")

    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.assert_outcomes(passed=1)
    done.stdout.fnmatch_lines(
        ["loadkit: the baseline 'x' has none of the tests that ran, and judged nothing; it has test_it.py::test"]
    )
