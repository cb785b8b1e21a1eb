"""`loadkit report` of what `loadkit run` stored: what several files have of one load is one, the rest stays apart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from loadkit.server.demo import Demo
from tests.conftest import Call

SHOP = """
from loadkit import Endpoint, Scenario
browse = Scenario(base_url="{url}", endpoints=[Endpoint("GET", "{path}")], threads=2, iterations=30)
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the root of a project, in which the command runs."""
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shop(demo: Demo, name: str, path: str = "/") -> str:
    """A file with a scenario called browse."""
    Path(name).write_text(SHOP.format(url=demo.url, path=path))
    return name


def heads(report: str) -> list[str]:
    """What the reports in a text are headed."""
    return [line.split(" ")[1] for line in report.splitlines() if line.startswith("━━")]


@pytest.mark.usefixtures("project")
def test_scenarios_of_one_name_in_two_files_are_two_results(call: Call, demo: Demo):
    call("run", shop(demo, "a.py"), shop(demo, "b.py", "/items"), "-q", "-o", "all.json")

    done = call("report", "all.json")

    assert heads(done.stdout) == ["a.py::browse", "b.py::browse"]
    assert "merged from" not in done.stdout


@pytest.mark.usefixtures("project")
def test_the_same_load_of_two_hosts_is_one_and_says_of_how_many_runs(call: Call, demo: Demo):
    """As parts of one load against two addresses of one server."""
    file = shop(demo, "a.py")
    call("run", file, "-q", "-o", "first.json")
    call("run", file, "-q", "-o", "second.json", "--base-url", demo.url.replace("127.0.0.1", "localhost"))

    done = call("report", "first.json", "second.json", "-o", "both.json")

    assert heads(done.stdout) == ["a.py::browse"]
    text = " ".join(done.stdout.split())
    assert "; merged from 2 runs http://127.0.0.1:" in text
    assert "[200] 60 " in text
    [both] = json.loads(Path("both.json").read_text())["results"]
    assert (both["total"]["requests"], len(both["spans"])) == (60, 2)


@pytest.mark.usefixtures("project")
def test_another_load_of_the_same_scenario_is_another_result(call: Call, demo: Demo):
    file = shop(demo, "a.py")
    call("run", file, "-q", "-o", "first.json")
    call("run", file, "-q", "-o", "second.json", "-c", "3")

    done = call("report", "first.json", "second.json")

    assert heads(done.stdout) == ["a.py::browse", "a.py::browse"]
    assert "merged from" not in done.stdout


@pytest.mark.usefixtures("project")
def test_what_one_file_has_twice_stays_apart(call: Call, demo: Demo):
    file = shop(demo, "a.py")
    call("run", file, file, "-q", "-o", "twice.json")

    assert heads(call("report", "twice.json").stdout) == ["a.py::browse", "a.py::browse"]


@pytest.mark.usefixtures("project")
def test_bare_urls_are_one_load_where_only_the_host_differs(call: Call, demo: Demo):
    other = demo.url.replace("127.0.0.1", "localhost")
    for target, name in ((demo.url, "a"), (other, "b"), (f"{demo.url}/items", "c")):
        call("run", f"{target}", "-n", "20", "-q", "-o", f"{name}.json")

    done = call("report", "a.json", "b.json", "c.json", "-o", "all.json")

    assert [one["total"]["requests"] for one in json.loads(Path("all.json").read_text())["results"]] == [40, 20]
    assert "merged from 2 runs" in " ".join(done.stdout.split())


@pytest.mark.usefixtures("project")
def test_two_scenarios_of_one_name_in_one_file_are_refused_with_both_lines(call: Call, demo: Demo):
    Path("same.py").write_text(
        "from loadkit import Endpoint, Scenario\n"
        f"one = Scenario(base_url={demo.url!r}, endpoints=[Endpoint('GET', '/')], name='x')\n"
        "two = one.replace(endpoints=[Endpoint('GET', '/items')])\n"
        "again = one\n"
    )

    done = call("run", "same.py", "-n", "10")

    assert done.returncode == 4
    assert done.stderr == (
        "loadkit: same.py:3: there is a scenario called 'x' on line 2, too; give one of them another name\n"
    )


@pytest.mark.usefixtures("project")
def test_quiet_prints_nothing_and_the_exit_code_tells(call: Call, demo: Demo):
    call("run", shop(demo, "a.py", "/no-such"), "-q", "-o", "a.json")

    done = call("report", "a.json", "-q", "-o", "again.json")

    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")
    assert Path("again.json").exists()
