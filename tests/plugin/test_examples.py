"""The examples of tests and CI jobs, run as they are."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

from loadkit.report.json import load

ROOT = Path(__file__).resolve().parents[2]
CI = ROOT / "scenarios" / "ci"


def commands(file: Path) -> list[str]:
    """The shell commands in a CI's file: of a `run: |` block, or a `script:` list."""
    lines = file.read_text().splitlines()
    found = []
    for k, line in enumerate(lines):
        if re.fullmatch(r"\s*(run: \||(before_)?script:)", line):
            indent = len(line) - len(line.lstrip())
            for below in lines[k + 1 :]:
                if len(below) - len(below.lstrip()) <= indent:
                    break
                found.append(below.strip().removeprefix("- "))
    return found


def test_the_commands_of_a_file_are_found():
    assert commands(CI / "github.yml") == commands(CI / "gitlab.yml")
    assert [line.split()[0] for line in commands(CI / "github.yml")] == ["python", "sh"]


def test_a_ci_job_runs_and_leaves_its_results(tmp_path: Path):
    folder = tmp_path / "load-results"
    # GitLab's are the same; what is installed here is the project itself
    script = "\n".join(line for line in commands(CI / "github.yml") if "pip install" not in line).replace(
        "load-results", str(folder)
    )
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "LOAD_DURATION": "200ms",
    }

    done = subprocess.run(
        ["sh", "-eu", "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=50
    )

    assert done.returncode == 0, done.stdout + done.stderr
    results = [load(path)[0] for path in sorted(folder.glob("*.json"))]
    assert [result.outcome for result in results] == ["passed"] * 3
    assert all(result.server and result.server.cpu_seconds > 0 for result in results)
    cases = list(ET.parse(folder / "junit.xml").iter("testcase"))
    assert len(cases) == 3
    assert all(case.find("properties") is not None for case in cases)


def test_a_ci_job_fails_when_a_limit_is_missed(tmp_path: Path):
    slow = tmp_path / "test_slow.py"
    slow.write_text((ROOT / "scenarios" / "test_shop.py").read_text().replace("p99 < 500ms", "p99 < 1ns"))
    script = (CI / "load.sh").read_text().replace("scenarios/test_shop.py", str(slow))
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}

    done = subprocess.run(
        ["sh", "-c", script, "load.sh", str(tmp_path / "out"), "-k", "order"],
        cwd=ROOT,
        env=environment | {"LOAD_DURATION": "100ms"},
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )

    assert done.returncode == 1, done.stdout + done.stderr
    assert "MISSED  p99 < 1ns" in done.stdout
