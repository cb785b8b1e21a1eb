"""A project whose tests are run within this process, where each run costs a fraction of a process of its own.

Imports beforehand what a run within this process would import anew, and pytester takes out of `sys.modules` again.
Then a later test would have two of each: the package `http` keeps its `cookiejar`, so that `requests` gets the first
one and `loadkit` a new one, and neither knows the cookies of the other.
"""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from loadkit.server.demo import Demo

for name in (
    "hdrh.histogram",
    "jinja2",
    "loadkit.drive.journeys.runner",
    "loadkit.jobs.functional.refused",
    # has Python tell of each connection from then on, once for each time that it is imported
    "loadkit.jobs.functional.run",
    "loadkit.jobs.functional.scale",
    "loadkit.jobs.functional.table",
    "loadkit.jobs.partial",
    "loadkit.jobs.printing",
    "loadkit.jobs.testing.collect",
    "loadkit.jobs.testing.reporting",
    "loadkit.jobs.testing.server",
    "loadkit.plan.loader",
    "loadkit.plan.once",
    "loadkit.report.html",
    "loadkit.report.markdown",
    "loadkit.report.progress",
    "rich.cells",
):
    importlib.import_module(name)

OTHERS = ("anyio", "hypothesispytest", "requests_mock", "time_machine", "timeout", "xdist", "xdist.looponfail")
"""Plugins whose loading takes a third of a run's time."""

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = [
    "anyio",
    "pytest-asyncio",
    "pytest-cov",
    "pytest-django",
    "pytest-randomly",
    "pytest-rerunfailures",
    "pytest-timeout",
    "pytest-xdist",
]

HEAD = """
import pytest
import loadkit
from loadkit import Endpoint, Journey, Scenario, timer

URL = "{url}"
shop = Scenario(
    base_url=URL,
    endpoints=[Endpoint("GET", "/"), Endpoint("GET", "/items/3", name="item")],
    threads=2,
    iterations=40,
)


def browse(http):
    assert http.get("/items/3").json()["id"] == 3


def fails(http):
    assert http.get("/items/3").status_code == 201


def plain(http):
    sum(range(1000))
"""


@pytest.fixture(scope="session", params=["pytest==9.0.*", "pytest"])
def python(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment into which loadkit, this pytest and the plugins were installed."""
    folder = tmp_path_factory.mktemp("environment")
    # this one may be without pip, the one it was made with is not
    base = [str(Path(sys.base_prefix) / "bin" / "python3"), "-m"]
    subprocess.run([*base, "venv", "--without-pip", str(folder)], check=True, timeout=60)
    made = folder / "bin" / "python"
    install = [*base, "pip", "--python", str(made), "install", "--quiet", "--disable-pip-version-check"]
    wanted = [str(ROOT), request.param, *PLUGINS, "django", "psycopg[binary]", "uvicorn"]
    subprocess.run([*install, *wanted], check=True, timeout=300)
    return made


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The folder with the socket of a PostgreSQL server for these tests alone, in which everybody is let in."""
    if shutil.which("initdb") is None or shutil.which("pg_ctl") is None:
        pytest.skip("PostgreSQL is not installed: there is no initdb, or no pg_ctl, on the PATH")
    # it refuses to be run by root
    user = "nobody" if os.geteuid() == 0 else None
    # not in the folder of the tests, for the path of a socket has 107 bytes at most
    with tempfile.TemporaryDirectory(prefix="loadkit-") as folder:
        shutil.chown(folder, user or os.geteuid())
        data, options = f"{folder}/data", f"-k {folder} -c listen_addresses='' -c fsync=off"
        make = ["initdb", "-D", data, "--auth", "trust", "--username", "shop", "--no-sync"]
        control = ["pg_ctl", "-D", data, "-w", "-l", f"{folder}/log"]
        subprocess.run(make, user=user, cwd=folder, check=True, timeout=60, stdout=subprocess.DEVNULL)
        subprocess.run([*control, "-o", options, "start"], user=user, cwd=folder, check=True, timeout=60)
        try:
            yield folder
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], user=user, cwd=folder, check=True, timeout=60)


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database that the environment names to applications, as `DATABASE_URL` and by PostgreSQL's own variables."""
    if request.param == "postgres":
        import psycopg

        folder, name = request.getfixturevalue("postgres"), f"shop_{uuid.uuid4().hex}"
        with psycopg.connect(host=folder, user="shop", dbname="postgres", autocommit=True) as server:
            server.execute(f"CREATE DATABASE {name}")
        monkeypatch.setenv("DATABASE_URL", f"postgresql://shop@/{name}?host={folder}")
        for variable, value in {"PGHOST": folder, "PGUSER": "shop", "PGDATABASE": name}.items():
            monkeypatch.setenv(variable, value)
    return str(request.param)


Run: TypeAlias = Callable[..., pytest.RunResult]


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """An empty project whose pytest is strict, on a terminal of 100 columns, without the plugins of others."""
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    monkeypatch.setenv("PYTEST_ADDOPTS", " ".join(f"-p no:{name}" for name in OTHERS))
    pytester.makepyprojecttoml('[tool.pytest]\nstrict = true\nfilterwarnings = ["error"]')
    return pytester


@pytest.fixture
def run(project: pytest.Pytester, demo: Demo) -> Run:
    """Run a test file, whose code follows a small scenario and journeys, and return what pytest printed."""

    def run_it(code: str, *arguments: str, **options: bool) -> pytest.RunResult:
        project.makepyfile(test_it=HEAD.format(url=demo.url) + textwrap.dedent(code))
        return project.runpytest_inprocess("-p", "no:cacheprovider", *arguments, **options)

    return run_it


def errors(result: pytest.RunResult) -> list[str]:
    """The lines that say why a test failed."""
    return [line.removeprefix("E").strip() for line in result.outlines if line.startswith("E ")]
