"""A real installation in a fresh environment, beside the plugins that teams have: the oldest pytest and the newest."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest

from loadkit.report.json import load
from loadkit.server.demo import Demo
from tests.conftest import served

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

SETTINGS = """
[tool.pytest]
strict = true
filterwarnings = ["error"]
DJANGO_SETTINGS_MODULE = "settings_of_django"
asyncio_default_fixture_loop_scope = "function"
load_server = ["served:app"]
junit_family = "xunit1"
"""
DJANGO = """
SECRET_KEY = "x"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
INSTALLED_APPS = []
"""
SERVED = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
"""
TESTS = '''
"""
>>> getfixture("load")(getfixture("load_server"), iterations=20).statuses
{200: 20}
"""
import asyncio, threading
import pytest
from loadkit import serving

class TestClass:
    def test_in_class(self, load, load_server):
        result = load(load_server, iterations=50)
        assert result.server.cpu_seconds > 0

@pytest.mark.asyncio
async def test_async(load, load_server):
    assert load(load_server, iterations=50).requests == 50
    await asyncio.sleep(0)

@pytest.mark.django_db
def test_django(load, load_server):
    from django.db import connection
    assert load(load_server, iterations=50).requests == 50
    with connection.cursor() as cursor:
        assert cursor.execute("select 1").fetchone() == (1,)

@pytest.mark.parametrize("k", range(4))
def test_side_by_side(load, load_server, k, record_property):
    result = load(load_server, duration="300ms")
    record_property("p99", result.p99)

def wsgi(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]

@pytest.fixture(scope="module")
def own():
    with serving(wsgi) as url:
        yield url

def test_own(load, own):
    assert load(own, iterations=30).p50 > 0

def test_plain():
    assert [one.name for one in threading.enumerate() if one.name.startswith("loadkit")] == []
'''
TIMEOUT = """
import pytest

@pytest.mark.timeout(1, func_only=True)
def test_timeout(load, load_server):
    load(load_server, duration="300s")
"""
SCENARIOS = """
from loadkit import Endpoint, Scenario
down = Scenario(endpoints=[Endpoint("GET", "http://127.0.0.1:1/")], duration=0.1, timeout=1)
"""
FOREVER = """
def test_forever(load):
    load("{url}/items", duration="300s")
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with tests of every kind."""
    files = {
        "pyproject.toml": SETTINGS,
        "settings_of_django.py": DJANGO,
        "served.py": SERVED,
        "test_all.py": TESTS,
        "scenario_down.py": SCENARIOS,
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "tmp").mkdir()
    return tmp_path


def run(python: Path, project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest there; its temporary files have a folder of their own."""
    return subprocess.run(
        [str(python), "-m", "pytest", "--doctest-modules", "--ignore", "settings_of_django.py", *arguments],
        cwd=project,
        env=environment(project),
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def environment(project: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(project / "tmp"), "COLUMNS": "120"}


def test_everything_works_beside_everything(python: Path, project: Path):
    (project / "test_timeout.py").write_text(TIMEOUT)

    done = run(python, project, "--junit-xml", "junit.xml")

    assert re.search(r"2 failed, 10 passed in", done.stdout), done.stdout
    down = r"^(?:E +)?connection refused 127\.0\.0\.1:1 \(\d+ of \d+ requests\); is the server up\? \(down\)$"
    assert re.search(down, done.stdout, re.MULTILINE), done.stdout
    assert "Failed: Timeout" in done.stdout
    # what was measured until the timeout is shown
    assert re.search(r"^INTERRUPTED after ", done.stdout, re.MULTILINE), done.stdout
    assert re.search(r"^  test_timeout.py::test_timeout .* interrupted$", done.stdout, re.MULTILINE)
    assert "traced" not in done.stdout, "pytest-cov is there and does not run"


@pytest.mark.parametrize("mode", ["load", "loadgroup", "worksteal"])
def test_under_xdist_one_load_test_runs_at_a_time_and_the_controller_has_all_results(
    python: Path, project: Path, mode: str
):
    page = project / "load.html"
    done = run(
        *(python, project, "-n", "2", "--dist", mode),
        *("--load-json", "out", "--load-html", page.name, "--load-save", "x", "-v"),
    )

    assert re.search(r"1 failed, 10 passed in", done.stdout), done.stdout
    results = [load(path)[0] for path in (project / "out").iterdir()]
    assert len(results) == 10
    rows = re.findall(r"^  (?:test_all|scenario_down)\.py::.* (?:clean|doubtful|none)$", done.stdout, re.MULTILINE)
    assert len(rows) == 10
    starts = sorted((datetime.fromisoformat(one.started_at).timestamp(), one.duration) for one in results)
    gaps = [later - (start + length) for (start, length), (later, _) in pairwise(starts)]
    # the start is stored to the millisecond, and is a little before the first request
    assert min(gaps) > -0.05, "no two at the same time"
    assert all("neighbours" in [caveat.code for caveat in one.caveats] for one in results)
    assert not any(one.validity == "clean" for one in results)
    assert "saved as the baseline x" in done.stdout
    assert page.read_text(encoding="utf-8").count("<article ") == 10
    assert "@load" not in (project / ".loadkit" / "baselines" / "x.json").read_text()
    assert not list((project / "tmp").glob("loadkit-*")), "nothing is left behind"


def test_where_only_the_number_of_workers_is_said_one_has_all_load_tests(python: Path, project: Path):
    command = [str(python), "-c", "import pytest; print(*pytest.version_tuple[:2])"]
    version = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.split()
    if [*map(int, version)] >= [9, 2]:
        pytest.skip("pytest-xdist 3.8 groups nothing there (its issue 1386)")

    done = run(python, project, "-n", "2", "-v", "--load-duration", "100ms")

    workers = re.findall(r"^\[(gw\d)\] .* (?:PASSED|FAILED) .*@load", done.stdout, re.MULTILINE)
    assert len(workers) == 10, done.stdout
    assert len(set(workers)) == 1


def test_coverage_is_a_reason_to_doubt(python: Path, project: Path):
    done = run(python, project, "--cov=test_all", "-k", "in_class", "-v")

    assert re.search(r"1 passed", done.stdout), done.stdout
    assert "! traced: a debugger, profiler or coverage was active (coverage" in done.stdout


def test_ctrl_c_under_xdist_shows_what_a_worker_has_measured(python: Path, project: Path, demo: Demo):
    (project / "test_forever.py").write_text(FOREVER.format(url=demo.url))
    command = [str(python), "-m", "pytest", "test_forever.py", "-n", "2", "--load-html", "load.html"]
    before = served(demo, "/items")
    with subprocess.Popen(
        command,
        cwd=project,
        env=environment(project),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as child:
        deadline = time.monotonic() + 60
        while served(demo, "/items") < before + 100 and time.monotonic() < deadline:
            time.sleep(0.1)
        os.killpg(child.pid, signal.SIGINT)
        output, _ = child.communicate(timeout=60)

    assert child.returncode == pytest.ExitCode.INTERRUPTED, output
    assert re.search(r"^INTERRUPTED after ", output, re.MULTILINE), output
    assert ">INTERRUPTED</strong>" in (project / "load.html").read_text(encoding="utf-8")
    assert not list((project / "tmp").glob("loadkit-*"))
