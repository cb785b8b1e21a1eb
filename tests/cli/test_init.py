"""`loadkit init`: files to begin with, which run as they are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from loadkit.server.demo import Demo
from tests.conftest import Call

JOBS = {"github": ".github/workflows/load.yml", "gitlab": "load/gitlab-ci.yml"}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files(project: Path) -> set[str]:
    return {str(file.relative_to(project)) for file in project.rglob("*") if file.is_file() and file.suffix != ".pyc"}


def test_what_is_written_runs_as_it_is(call: Call, demo: Demo, project: Path):
    made = call("init", "--base-url", demo.url)

    assert made.returncode == 0, made.stderr
    assert files(project) == {"load/home.py", "load/test_load.py", JOBS["github"]}
    assert all(name in made.stderr for name in files(project))
    assert call("load/home.py", "--once").returncode == 0
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "load", "--load-only", "--load-duration", "300ms", "-p", "no:cacheprovider"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "1 passed" in done.stdout, done.stdout


def test_an_application_is_started_by_the_scenario(call: Call, project: Path):
    (project / "bakery.py").write_text(
        "def app(environ, start):\n    start('200 OK', [('Content-Length', '2')])\n    return [b'ok']\n"
    )

    assert call("init", "--app", "bakery:app", "--ci", "none").returncode == 0

    assert call("load/home.py", "-z", "200ms").returncode == 0
    assert files(project) - {"bakery.py"} == {"load/home.py", "load/test_load.py"}


@pytest.mark.parametrize("service", JOBS)
def test_the_job_is_yaml_that_runs_the_tests_of_the_folder(call: Call, project: Path, service: str):
    if service == "gitlab":
        (project / ".gitlab-ci.yml").touch()

    made = call("init")

    job = yaml.safe_load((project / JOBS[service]).read_text(encoding="utf-8"))
    assert "python -m pytest load --load-only" in str(job)
    assert ("include: load/gitlab-ci.yml" in made.stderr) == (service == "gitlab")


def test_what_is_written_has_the_form_that_ruff_gives_it(call: Call, project: Path):
    call("init", "--app", "shop:app")

    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--isolated", "--line-length=120", "load"], check=False
        )
        assert done.returncode == 0


def test_files_that_are_there_are_written_over_only_where_that_is_asked_for(call: Call, project: Path):
    (project / "load").mkdir()
    (project / "load" / "home.py").write_text("mine")

    refused = call("init")
    assert refused.returncode == 4
    assert refused.stderr == "loadkit: load/home.py is there already; --force writes over what is there\n"
    assert files(project) == {"load/home.py"}
    assert call("init", "--force").returncode == 0
    assert (project / "load" / "home.py").read_text() != "mine"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--ci", "jenkins"], "--ci is github, gitlab or none, not 'jenkins'"),
        (["--app", "shop"], "--app takes an application by its module and name, like shop.app:app, not 'shop'"),
        (
            ["--app", "shop:app", "--base-url", "http://h"],
            "--app is started by loadkit and --base-url runs already; write one of them",
        ),
        (["--base-url", "h:1"], "--base-url 'h:1' has no scheme; write it like 'http://h:1'"),
        (
            ["--base-url", "http://ann:secret@h"],
            "--base-url would put its password into a file; leave it out, and set LOADKIT_BASE_URL to it",
        ),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(call: Call, project: Path, words: list[str], message: str):
    done = call("init", *words)

    assert (done.returncode, done.stderr) == (4, f"loadkit: {message}\n")
    assert not files(project)


def test_a_file_in_the_place_of_the_folder_is_said(call: Call, project: Path):
    (project / "load").touch()

    done = call("init")

    assert done.returncode == 4
    assert done.stderr == "loadkit: cannot make the folder 'load': file exists\n"
