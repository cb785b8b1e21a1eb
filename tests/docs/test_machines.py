"""The manifests and scripts of docs/machines.md: valid for who reads them, and run with stand-ins for a cluster."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from loadkit.server.demo import Demo

PAGE = Path(__file__).resolve().parents[2] / "docs" / "machines.md"
SHOP = """
from loadkit import Endpoint, Scenario
shop = Scenario(base_url="{url}", endpoints=[Endpoint("GET", "/items")], rate="90/s", iterations=90)
"""
KUBERNETES = "1.34"

ON_PATH = {
    "loadkit": 'exec "$PYTHON" -m loadkit "$@"',
    # as soon as this machine can be ready, whatever the page leaves time for
    "date": 'shift $(($# - 1)); exec /bin/date -u -d "+$LEAD seconds" "$1"',
    # a host is a folder of its own
    "ssh": 'mkdir -p "hosts/$1"; cd "hosts/$1"; shift; exec "$@"',
    "scp": """
from=$2 to=$3
case $from in *:*) from=hosts/${from%%:*}/${from#*:};; esac
case $to in *:*) mkdir -p "hosts/${to%%:*}"; to=hosts/${to%%:*}/${to#*:};; esac
exec cp "$from" "$to"
""",
    "srun": """
shift
for task in 0 1 2; do SLURM_PROCID=$task SLURM_NTASKS=3 "$@" & done
wait
""",
    # the array runs at once, and what is to run after it waits for it
    "sbatch": """
case $1 in
--parsable)
    for task in 1 2 3; do
        SLURM_ARRAY_TASK_ID=$task SLURM_ARRAY_TASK_COUNT=3 sh "$3" >/dev/null & echo $! >>array.pids
    done
    echo 4711;;
--dependency=afterany:4711)
    while read -r pid; do while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done; done <array.pids
    exec sh -c "$4";;
*) echo "sbatch does not know $*" >&2; exit 2;;
esac
""",
    "kubectl": 'exec "$PYTHON" "$KUBECTL" "$@"',
}


def blocks() -> dict[str, str]:
    """The files of the page, by the names that their comments give them."""
    found = re.findall(r"^```(?:sh|yaml)\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return {re.findall(r"^# ([\w.]+)", text, re.MULTILINE)[0]: text for text in found}


def test_the_page_has_these_files() -> None:
    assert sorted(blocks()) == [
        "all.sh",
        "array.sbatch",
        "array.sh",
        "job.yaml",
        "nodes.sbatch",
        "report.yaml",
        "run.sh",
    ]


@pytest.mark.parametrize("name", ["job.yaml", "report.yaml"])
def test_a_manifest_is_valid_by_the_schema_of_kubernetes(name: str) -> None:
    validator = pytest.importorskip("kubernetes_validate", reason="the schema of Kubernetes is not installed")
    manifest = yaml.safe_load(blocks()[name])

    validator.validate(manifest, KUBERNETES, strict=True)

    broken = {**manifest, "spec": {**manifest["spec"], "completionsMode": "Indexed"}}
    with pytest.raises(validator.ValidationError):
        validator.validate(broken, KUBERNETES, strict=True)


def test_the_job_has_a_part_for_each_of_its_pods() -> None:
    spec = yaml.safe_load(blocks()["job.yaml"])["spec"]

    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 3, 3)
    (container,) = spec["template"]["spec"]["containers"]
    assert '--part "$part/3"' in container["args"][0]


@pytest.mark.parametrize("name", ["all.sh", "array.sbatch", "array.sh", "nodes.sbatch", "run.sh"])
def test_a_script_is_read_by_a_shell_of_posix(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(blocks()[name])

    subprocess.run(["sh", "-n", name], cwd=tmp_path, check=True)


@pytest.fixture
def place(tmp_path: Path, demo: Demo, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files of the page and a scenario, in which stand-ins come first on the PATH."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in ON_PATH.items():
        (programs / name).write_text(f"#!/bin/sh\n{text.strip()}\n")
        (programs / name).chmod(0o755)
    for name, text in blocks().items():
        (tmp_path / name).write_text(text.replace("http://shop.default.svc", demo.url))
    (tmp_path / "shop.py").write_text(SHOP.format(url=demo.url))
    (tmp_path / "cluster").mkdir()
    began = time.monotonic()
    words = ("run", "shop.py", "--iterations", "1", "--quiet")
    subprocess.run([sys.executable, "-m", "loadkit", *words], cwd=tmp_path, check=True)
    # three of them start at once, and one that is not there by then is refused
    monkeypatch.setenv("LEAD", f"{10 + 5 * (time.monotonic() - began):.0f}")
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHON", sys.executable)
    monkeypatch.setenv("KUBECTL", str(Path(__file__).with_name("kubectl.py")))
    monkeypatch.setenv("CLUSTER", str(tmp_path / "cluster"))
    return tmp_path


def parts(folder: Path) -> list[tuple[int, int, int]]:
    """Of the results in a folder: which part it is, of how many, and its requests."""
    found = [json.loads(file.read_text())["results"][0] for file in sorted(folder.glob("part*.json"))]
    machines: list[dict[str, Any]] = [one["machines"][0] for one in found]
    return [(one["part"], one["parts"], one["requests"]) for one in machines]


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("script", "results"),
    [("run.sh", "."), ("nodes.sbatch", "."), ("array.sh", "."), ("all.sh", "cluster/results")],
)
def test_a_script_sends_all_parts_and_ends_with_the_report_of_all(script: str, results: str, place: Path) -> None:
    done = subprocess.run(["sh", script], cwd=place, capture_output=True, text=True, timeout=200, check=False)

    assert parts(place / results) == [(1, 3, 30), (2, 3, 30), (3, 3, 30)], done.stderr
    text = " ".join(done.stdout.split())
    assert "; 3 parts on 3 machines" in text
    assert "[200] 90 " in text
    if "parts-apart" not in text:  # which they are where the machine is very busy
        assert (done.returncode, "PASSED" in text) == (0, True), done.stdout


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("script", ["run.sh", "all.sh"])
def test_a_report_that_is_red_is_the_outcome_of_the_script(script: str, place: Path) -> None:
    shop = place / "shop.py"
    shop.write_text(shop.read_text().replace("iterations=90", "iterations=90, thresholds=['p99 < 1ns']"))

    done = subprocess.run(["sh", script], cwd=place, capture_output=True, text=True, timeout=200, check=False)

    assert done.returncode
    assert "p99 < 1ns" in done.stdout
