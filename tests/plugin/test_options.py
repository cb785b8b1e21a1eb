"""Options and settings: how long, which tests, what is stored, and what is shown beside a baseline."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from loadkit.report.json import load
from loadkit.server.demo import Demo
from tests.conftest import Call
from tests.plugin.conftest import Run

pytest_plugins = "pytester"

TESTS = """
import pytest
from loadkit import Endpoint, Scenario

shop = Scenario(base_url="{url}", endpoints=[Endpoint("GET", "/")], threads=2, iterations=20)

def test_load(load):
    load(shop)

def test_plain():
    pass
"""


@pytest.fixture
def run(project: pytest.Pytester, demo: Demo) -> Run:
    """Run a test that loads, and one that does not, with these arguments."""
    project.makepyfile(test_it=TESTS.replace("{url}", demo.url))

    def run_it(*arguments: str) -> pytest.RunResult:
        return project.runpytest_inprocess("-p", "no:cacheprovider", *arguments)

    return run_it


def add(pytester: pytest.Pytester, text: str) -> None:
    path = pytester.path / "test_it.py"
    path.write_text(path.read_text() + text)


# -- which tests


def test_a_test_that_loads_has_the_mark_by_itself(run: Run):
    run("-m", "not load").assert_outcomes(passed=1, deselected=1)
    run("-m", "load").assert_outcomes(passed=1, deselected=1)


def test_so_has_a_doctest(run: Run, pytester: pytest.Pytester):
    add(
        pytester,
        '\n"""\n>>> 1\n1\n"""\ndef f():\n    """\n    >>> getfixture("load")(shop).requests\n    20\n    """\n',
    )

    run("--doctest-modules", "-m", "load").assert_outcomes(passed=2, deselected=1)
    run("--doctest-modules", "--no-load").assert_outcomes(passed=1, skipped=2)


def test_load_only_leaves_the_others_out_and_no_load_skips(run: Run):
    run("--load-only").assert_outcomes(passed=1, deselected=1)
    skipped = run("--no-load", "-rs")
    skipped.assert_outcomes(passed=1, skipped=1)
    skipped.stdout.fnmatch_lines(["SKIPPED * --no-load"])


def test_no_load_skips_what_asks_for_the_fixture_when_it_runs(run: Run, pytester: pytest.Pytester):
    add(pytester, "\ndef test_late(request):\n    request.getfixturevalue('load')(shop)\n")

    run("--no-load").assert_outcomes(passed=1, skipped=2)


def test_the_mark_is_explained(run: Run):
    run("--markers").stdout.fnmatch_lines(
        ["@pytest.mark.load(threads=, duration=, thresholds=[[]...], [*][*]fields):*"]
    )


# -- how long


def test_load_duration_shortens_everything(run: Run, pytester: pytest.Pytester, demo: Demo):
    add(
        pytester,
        """
@pytest.mark.load(duration="1h", warmup="1h")
def test_long(load):
    result = load(shop, iterations=None)
    assert result.scenario.duration == result.scenario.warmup == 0.25
""",
    )
    scenario = f'long = Scenario(endpoints=[Endpoint("GET", "{demo.url}/")], duration="1h")\n'
    (pytester.path / "scenario_long.py").write_text(f"from loadkit import Endpoint, Scenario\n{scenario}")

    run("--load-duration", "250ms").assert_outcomes(passed=4)


def test_each_option_may_be_a_setting(run: Run, pytester: pytest.Pytester):
    pytester.makepyprojecttoml('[tool.pytest]\nload_duration = "250ms"\nload_json = "out"\nload_html = "out/load.html"')

    run().assert_outcomes(passed=2)

    assert load(pytester.path / "out" / "test_it.py-test_load.json")[0].scenario.duration == 0.25
    assert (pytester.path / "out" / "load.html").is_file()


# -- mistakes, before anything runs


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--load-duration", "soon"], "cannot read the --load-duration 'soon'; write it like"),
        (["--load-duration", "0"], "--load-duration must be more than 0, not '0'"),
        (["--load-only", "--no-load"], "--load-only and --no-load leave nothing to run; give one of them"),
        (["--load-compare", "../x"], "a baseline has a name like 'main' or 'v1.2', not '../x'"),
        (["--load-save", "/etc/x"], "a baseline has a name like 'main' or 'v1.2', not '/etc/x'"),
        (["--load-json", "/proc/nowhere"], "cannot make the folder /proc/nowhere: "),
        (["--load-json", "test_it.py"], "cannot make the folder "),
        (["--load-html", "."], "cannot write "),
        (["--load-save", "x", "-o", "load_baselines=test_it.py"], "cannot make the folder "),
        (["--load-html", "test_it.py/page.html"], "cannot make the folder "),
        (["--load-markdown", "."], "cannot write "),
        (["--load-csv", "."], "cannot write "),
        (["--load-csv", "-"], "--load-csv takes the name of a file or folder, not '-': stdout is pytest's"),
        (["--load-history", "-"], "--load-history takes the name of a file or folder, not '-'"),
        (["--load-repeat", "0"], "--load-repeat must be at least 1, not 0"),
        (["--load-compare-fail"], "--load-compare-fail needs the name of a baseline: --load-compare main"),
        (
            ["--load-compare", "mian", "--load-compare-fail"],
            "there is no baseline 'mian' in *baselines (there is none)",
        ),
        (["--load-against", "mian"], "compare against a revision in a git repository: "),
        (["--load-against", "old.py::browse"], "--load-against: there is no file or folder 'old.py'"),
        (["--load-against", "before.json"], "--load-against: there is no file or folder 'before.json'"),
        (["--load-against", "http://"], "--load-against 'http://' names no host; write it like"),
        (
            ["--load-against", " "],
            "--load-against takes a revision like main, a URL, or a scenario like old.py::browse",
        ),
        (["--load-base-url", "shop:8000"], "--load-base-url 'shop:8000' has no scheme; write it like"),
        (["--load-report", "long"], "--load-report takes short, full or no, not 'long'"),
        (["-o", "load_server_within=soon"], "cannot read the load_server_within 'soon'; write it like"),
        (["-o", "load_server_env=DEBUG"], "load_server_env takes variables like \"DEBUG=0\", not 'DEBUG'"),
        (["--load-tolerance", "p99"], "cannot read the tolerance 'p99'; write it like p99=10%"),
        (["--load-undecided", "green"], "--load-undecided takes pass or fail, not 'green'"),
        (["--load-budget", "long"], "cannot read the --load-budget 'long'; write it like"),
        (["-o", "load_duration=soon"], "cannot read the load_duration 'soon'; write it like"),
        ('load_server = "good:app"', 'load_server takes a list, like load_server = ["shop.app:app"]'),
        ('load_files = "x.py"', 'load_files takes a list, like load_files = ["scenario_*.py"]'),
    ],
)
def test_an_option_or_setting_that_cannot_be_followed_is_told_before_anything_runs(
    run: Run, pytester: pytest.Pytester, arguments: list[str] | str, message: str
):
    if isinstance(arguments, str):
        pytester.makepyprojecttoml(f"[tool.pytest]\n{arguments}\n")
        arguments = []

    done = run(*arguments)

    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines([f"ERROR: {message.replace('[', '[[]')}*"])
    assert "passed" not in done.stdout.str()


# -- stored results


def test_load_json_stores_each_run_where_loadkit_report_reads_it(run: Run, pytester: pytest.Pytester):
    add(
        pytester,
        "\n@pytest.mark.parametrize('k', [1])\ndef test_two(load, k):\n    load(shop)\n    load(shop, iterations=7)\n",
    )

    run("--load-json", "out").assert_outcomes(passed=3)

    found = {path.name: load(path)[0].requests for path in (pytester.path / "out").iterdir()}
    assert sorted(found.values()) == [7, 20, 20]
    assert found["test_it.py-test_load.json"] == 20
    # [1] is no part of a file name: its hash tells the parameters apart
    assert [name[:22] for name in found if found[name] == 7] == ["test_it.py-test_two-1-"]


def test_what_other_tests_measured_of_one_endpoint_is_reported_apart(run: Run, pytester: pytest.Pytester, call: Call):
    add(
        pytester,
        "\n@pytest.mark.parametrize('k', [1, 4])\ndef test_more(load, k):\n    load(shop, threads=k)\n    load(shop)\n",
    )
    run("--load-json", "out").assert_outcomes(passed=4)

    files = sorted(map(str, (pytester.path / "out").iterdir()))
    report = call("report", *files).stdout

    heads = sorted(line.split(" ━")[0].removeprefix("━━ ") for line in report.splitlines() if line.startswith("━━"))
    tests = [f"test_it.py::test_more[{k}]{number}" for k in (1, 4) for number in ("", " #2")]
    assert heads == ["test_it.py::test_load", *tests]
    assert "merged from" not in report


# -- the page


def test_load_html_is_one_page_of_all_load_tests(run: Run, pytester: pytest.Pytester):
    add(pytester, "\n@pytest.mark.parametrize('k', ['<b>'])\ndef test_two(load, k):\n    load(shop)\n    load(shop)\n")

    done = run("--load-html", "out/load.html")

    done.assert_outcomes(passed=3)
    done.stdout.fnmatch_lines([f"one page of all: {pytester.path / 'out' / 'load.html'}"])
    page = (pytester.path / "out" / "load.html").read_text(encoding="utf-8")
    for title in ("test_it.py::test_load", "test_it.py::test_two[&lt;b&gt;]", "test_it.py::test_two[&lt;b&gt;] #2"):
        assert f"<bdi>{title}</bdi></h2>" in page


@pytest.mark.parametrize("said", ["option", "setting"])
def test_formats_for_other_programs_have_all_load_tests(run: Run, pytester: pytest.Pytester, said: str):
    add(pytester, "\ndef test_two(load):\n    load(shop)\n")
    files = {"csv": "out/a.csv", "hlog": "out/a.hlog", "prometheus": "out/a.prom"}
    if said == "setting":
        lines = "\n".join(f'load_{name} = "{file}"' for name, file in files.items())
        pytester.makepyprojecttoml(f"[tool.pytest]\n{lines}")

    run(*(f"--load-{name}={file}" for name, file in files.items() if said == "option")).assert_outcomes(passed=3)

    tests = {"test_it.py::test_load", "test_it.py::test_two"}
    with (pytester.path / "out" / "a.csv").open(newline="") as file:
        assert {row["scenario"] for row in csv.DictReader(file)} == tests
    text = (pytester.path / "out" / "a.prom").read_text()
    assert set(re.findall(r'^loadkit_passed\{scenario="(.*)"\} 1$', text, re.MULTILINE)) == tests
    tags = re.findall("^Tag=([^,]*),", (pytester.path / "out" / "a.hlog").read_text(), re.MULTILINE)
    assert {tag.partition(":GET")[0] for tag in tags} == tests
    assert (pytester.path / "out" / "a-intervals.csv").exists()


@pytest.mark.parametrize("said", ["option", "setting"])
def test_load_markdown_is_a_document_of_all_load_tests_and_so_is_the_summary_of_a_job(
    run: Run, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, said: str
):
    add(pytester, "\ndef test_two(load):\n    load(shop)\n    load.compare(shop, against=shop.base_url + '/nothing')\n")
    if said == "setting":
        pytester.makepyprojecttoml('[tool.pytest]\nload_markdown = "out/load.md"')
    summary = pytester.path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))

    run(*["--load-markdown", "out/load.md"] * (said == "option")).assert_outcomes(passed=3)

    text = (pytester.path / "out" / "load.md").read_text(encoding="utf-8")
    assert "test_it.py::test_load" in text
    assert "the old version failed all requests" in text
    assert summary.read_text(encoding="utf-8").strip() == f"before\n{text}".strip()


def test_a_summary_that_cannot_be_written_is_a_warning(
    run: Run, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(pytester.path))

    done = run()

    assert done.ret == pytest.ExitCode.OK
    done.stdout.fnmatch_lines(["loadkit: the summary of the job was not written: *"])


def test_without_a_terminal_there_is_a_page_all_the_same(run: Run, pytester: pytest.Pytester):
    assert run("-p", "no:terminal", "--load-html", "load.html").ret == pytest.ExitCode.OK

    assert "<bdi>test_it.py::test_load</bdi></h1>" in (pytester.path / "load.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("arguments", [["--no-load"], ["-k", "plain"], ["--collect-only"]], ids=" ".join)
def test_a_session_that_measured_nothing_leaves_the_last_page(
    run: Run, pytester: pytest.Pytester, arguments: list[str]
):
    (pytester.path / "load.html").write_text("of yesterday")

    run("--load-html", "load.html", *arguments)

    assert (pytester.path / "load.html").read_text() == "of yesterday"


@pytest.mark.parametrize(
    ("option", "vandalism", "fault"),
    [
        ("--load-json", "shutil.rmtree('out'); open('out', 'w').close()", "cannot write *out*"),
        ("--load-html", "os.mkdir('out')", "cannot write *out: is a directory"),
    ],
)
def test_what_cannot_be_written_is_told_and_fails_the_session(
    run: Run, pytester: pytest.Pytester, option: str, vandalism: str, fault: str
):
    add(pytester, f"\ndef test_vandal():\n    import os, shutil; {vandalism}\n\ndef test_z(load):\n    load(shop)\n")

    done = run(option, "out")

    done.assert_outcomes(passed=4)
    assert int(done.ret) == 3
    done.stdout.fnmatch_lines(["  test_it.py::test_z *", f"loadkit: {fault}"])


# -- baselines


def test_a_baseline_is_saved_and_shown_beside_later_results(run: Run, pytester: pytest.Pytester):
    saved = run("--load-save", "main")
    saved.stdout.fnmatch_lines(["saved as the baseline main"])
    add(pytester, "\ndef test_new(load):\n    load(shop)\n")

    done = run("--load-compare", "main")

    done.assert_outcomes(passed=3)
    done.stdout.re_match_lines(
        [
            r"beside the baseline main:",
            r"test +then +now +change",
            r"  test_it\.py::test_load",
            r"    throughput +[\d,.]+/s +[\d,.]+/s +[+-][\d.]+ %",
            r"    p99 +[\d.]+ [mu]?s +[\d.]+ [mu]?s +[+-][\d.]+ %",
            r"    errors +0 % +0 %",
            r"  not in the baseline: test_it\.py::test_new",
        ]
    )
    assert "another machine" not in done.stdout.str()


def test_a_baseline_keeps_what_did_not_run_this_time(run: Run, pytester: pytest.Pytester):
    add(pytester, "\ndef test_other(load):\n    load(shop)\n")
    file = pytester.path / ".loadkit" / "baselines" / "main.json"
    run("--load-save", "main", "-k", "test_other")
    [before] = json.loads(file.read_text())["results"]

    run("--load-save", "main", "-k", "test_load")

    results = json.loads(file.read_text())["results"]
    assert [one["identity"]["name"] for one in results] == ["test_it.py::test_load", "test_it.py::test_other"]
    assert results[1] == before
    assert all(before["environment"][name] for name in ("host", "processor", "allowed_cpus", "memory"))


@pytest.mark.parametrize(("field", "value", "is_told"), [("allowed_cpus", 999, True), ("host", "runner-7f3c", False)])
def test_a_baseline_of_another_machine_says_so_which_another_host_name_is_not(
    run: Run, pytester: pytest.Pytester, field: str, value: object, is_told: bool
):
    run("--load-save", "main")
    file = pytester.path / ".loadkit" / "baselines" / "main.json"
    content = json.loads(file.read_text())
    content["results"][0]["environment"][field] = value
    file.write_text(json.dumps(content))

    done = run("--load-compare", "main")

    done.stdout.fnmatch_lines(["beside the baseline main:", "    p99 *"])
    machine = "  ! measured on another machine, so hardly comparable: allowed cpus 999 then, "
    assert any(line.startswith(machine) for line in done.outlines) == is_told
    assert ("another machine" in done.stdout.str()) == is_told


def test_the_first_comparison_of_all_has_no_baseline_and_passes(run: Run, pytester: pytest.Pytester):
    done = run("--load-compare", "main", "--load-save", "main")

    done.assert_outcomes(passed=2)
    assert done.ret == 0
    done.stdout.fnmatch_lines(["there is no baseline 'main' in *; save one with --load-save main"])
    assert (pytester.path / ".loadkit" / "baselines" / "main.json").is_file()
    assert (pytester.path / ".loadkit" / ".gitignore").read_text() == "*\n"


def test_another_load_is_not_compared(run: Run, pytester: pytest.Pytester):
    run("--load-save", "main")
    path = pytester.path / "test_it.py"
    path.write_text(path.read_text().replace("threads=2, iterations=20", "threads=3, think_time=0.001, iterations=20"))

    done = run("--load-compare", "main")

    text = " ".join(done.stdout.str().split())
    assert (
        "test_it.py::test_load is not compared, for its load is another: threads 2 -> 3, think time none -> 1ms" in text
    )
    assert not [line for line in done.outlines if line.split()[:1] == ["p99"]]


def test_a_baseline_keeps_only_what_passed(run: Run, pytester: pytest.Pytester):
    add(
        pytester,
        """
def test_missed(load):
    assert load(shop).p99 < 0

def test_all_missing(load):
    load("{url}/nothing", iterations=3, judge=False)

def test_too_much(load):
    load("{url}/delay/0.2", rate="100/s", max_threads=1, duration="400ms", judge=False)

@pytest.mark.xfail(strict=True)
def test_expected(load):
    load(shop)
    assert False
""".replace("{url}", re.search(r'base_url="(.*?)"', (pytester.path / "test_it.py").read_text())[1]),  # type: ignore[index]
    )

    done = run("--load-save", "main")

    kept = load(pytester.path / ".loadkit" / "baselines" / "main.json")
    assert [result.identity.name for result in kept] == ["test_it.py::test_load"]
    assert (
        "not saved in the baseline main: test_it.py::test_missed (failed), "
        "test_it.py::test_all_missing (nothing came through), test_it.py::test_too_much (not applied), "
        "test_it.py::test_expected (failed)"
    ) in " ".join(done.stdout.str().split())


def test_of_a_test_that_ran_again_the_last_attempt_counts(run: Run, pytester: pytest.Pytester):
    pytester.makeconftest(
        """
        from _pytest.runner import runtestprotocol

        def pytest_runtest_protocol(item, nextitem):
            for again in (True, False):
                item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
                for report in runtestprotocol(item, nextitem=nextitem, log=False):
                    report.outcome = "rerun" if again and report.failed else report.outcome
                    item.ihook.pytest_runtest_logreport(report=report)
                item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
                item._initrequest()
            return True
        """
    )
    add(
        pytester,
        "\nattempts = []\ndef test_flaky(load):\n    attempts.append(load(shop))\n    assert len(attempts) > 1\n",
    )

    done = run("-k", "flaky", "--load-save", "main", "--load-json", "out", "--junit-xml", "junit.xml")

    assert [file.name for file in (pytester.path / "out").iterdir()] == ["test_it.py-test_flaky.json"]
    assert "test_flaky #2" not in done.stdout.str()
    assert [one.identity.name for one in load(pytester.path / ".loadkit" / "baselines" / "main.json")] == [
        "test_it.py::test_flaky"
    ]
    assert "load.2." not in (pytester.path / "junit.xml").read_text()


@pytest.mark.parametrize("content", ["", "{}x", '{"version": 2}', '{"version": 1, "tests": 5}', '{"version": 3}'])
def test_a_file_that_is_no_baseline_is_told_and_not_overwritten(run: Run, pytester: pytest.Pytester, content: str):
    folder = pytester.path / ".loadkit" / "baselines"
    folder.mkdir(parents=True)
    (folder / "main.json").write_text(content)

    compared, saved = run("--load-compare", "main"), run("--load-save", "main")

    assert compared.ret == pytest.ExitCode.USAGE_ERROR
    compared.stderr.fnmatch_lines([f"ERROR: {folder}/main.json is * of version *"])
    assert int(saved.ret) == 3
    saved.stdout.fnmatch_lines(["loadkit: *main.json is * of version *; nothing was saved"])
    assert (folder / "main.json").read_text() == content


def test_the_folder_of_baselines_is_a_setting(run: Run, pytester: pytest.Pytester):
    pytester.makepyprojecttoml('[tool.pytest]\nload_baselines = "perf/kept"')

    run("--load-save", "main")

    assert Path(pytester.path / "perf" / "kept" / "main.json").is_file()


# -- how it is shown


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_the_table_fits_the_terminal(run: Run, monkeypatch: pytest.MonkeyPatch, columns: int):
    monkeypatch.setenv("COLUMNS", str(columns))

    lines = run("-v").outlines

    start = next(k for k, line in enumerate(lines) if " load tests " in line)
    assert lines[start + 1].split()[0] == "test"
    assert lines[start + 1].split()[-1] == "figures", "what can be spared goes first"
    assert max(map(len, lines[start : start + 4])) <= columns
    assert re.match(r"  test_it\.py(::|…)test_load ", lines[start + 2]), "the name gives way to the figures"
    assert any(line.startswith("  - few-samples") for line in lines[start:]), "-v tells the caveats, a note as one"


@pytest.mark.parametrize(
    ("columns", "titles"),
    [
        # CI; the throughput stays while 24 cells are left for names
        ("80", ["throughput", "errors", "p50", "p99", "figures"]),
        ("60", ["errors", "p50", "p99", "figures"]),
    ],
)
def test_how_far_to_believe_a_run_is_the_last_thing_to_go(
    run: Run, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, demo: Demo, columns: str, titles: list[str]
):
    monkeypatch.setenv("COLUMNS", columns)
    pytester.makepyfile(
        test_long=f"""
        def test_with_a_name_that_says_all_that_there_is_to_say(load):
            load("{demo.url}/delay/0.2", rate="100/s", max_threads=1, duration="400ms", judge=False)
        """
    )

    done = run()

    done.assert_outcomes(passed=3)
    head, row = (line for line in done.outlines if line.startswith(("test  ", "  test_long")))
    assert head.split() == ["test", *titles]
    assert row.endswith("  not applied")
    assert len(row) <= int(columns)


@pytest.mark.parametrize("arguments", [["-q"], ["--durations=3"], ["-s"], ["--tb=no"], ["-p", "no:terminalreporter-x"]])
def test_the_table_is_there_whatever_else_is_shown(run: Run, arguments: list[str]):
    run(*arguments).stdout.fnmatch_lines(["*= load tests =*", "  test_it.py::test_load *"])


def test_without_a_summary_load_tests_or_a_terminal_there_is_no_table(run: Run):
    assert "load tests" not in run("--no-summary").stdout.str()
    assert "load tests" not in run("-k", "plain").stdout.str()
    without = run("-p", "no:terminal")
    assert (without.ret, without.stdout.str()) == (0, "")
