"""What is beside the code: jobs of CI, templates, hooks."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FORMS = ".github/ISSUE_TEMPLATE"


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("vendor.github-workflows", [".github/workflows/*.yml", "scenarios/ci/github.yml"]),
        ("custom.github-workflows-require-timeout", [".github/workflows/*.yml"]),
        ("vendor.github-issue-forms", [f"{FORMS}/bug.yml", f"{FORMS}/wish.yml"]),
        ("vendor.github-issue-config", [f"{FORMS}/config.yml"]),
        ("vendor.gitlab-ci", ["scenarios/ci/gitlab.yml"]),
    ],
)
def test_who_reads_a_file_understands_it(schema: str, files: list[str]):
    found = [str(file) for pattern in files for file in ROOT.glob(pattern)]
    assert len(found) >= len(files)

    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *found],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_jobs_and_hooks_call_what_there_is():
    jobs = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text(encoding="utf-8"))["jobs"]
    steps = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    for script in [one for one in steps if one.startswith(("scripts/", ".ci/"))]:
        assert (ROOT / script.split()[0]).is_file(), script
    (hooks,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    tools = [hook["entry"].split()[0].removeprefix(".venv/bin/") for hook in hooks["hooks"]]
    checks = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]["checks"]
    assert all(any(check.startswith(tool) for check in checks) for tool in tools)


def test_every_python_that_is_said_to_be_supported_is_tested():
    jobs = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text(encoding="utf-8"))["jobs"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    said = [one.rpartition(" :: ")[2] for one in project["classifiers"] if ":: Python :: 3." in one]

    assert jobs["suite"]["strategy"]["matrix"]["python"] == said


def test_no_file_is_what_a_trial_has_left():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("this is no clone")

    sizes = {name: (ROOT / name).stat().st_size for name in listed.stdout.split("\0") if (ROOT / name).is_file()}

    assert sizes
    assert {name for name, size in sizes.items() if size > 100_000} == set()
