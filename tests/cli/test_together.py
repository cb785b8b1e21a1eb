"""`loadkit run --together`: several scenarios at the same time, in one report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from loadkit.server.demo import Demo
from tests.conftest import Call

SHOP = """
from loadkit import Endpoint, Scenario
browse = Scenario(endpoints=[Endpoint("GET", "/")], threads=2, iterations=30)
"""
ORDERS = """
from loadkit import Endpoint, Scenario

def buy(http):
    http.post("/orders", json={"sku": "tea"})

order = Scenario(endpoints=[buy], rate="50/s", iterations=20, thresholds=["p99 < 1ns"])
"""


@pytest.fixture
def files(demo: Demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """Two files with a scenario each, and what aims them."""
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path)
    Path("shop.py").write_text(SHOP)
    Path("orders.py").write_text(ORDERS)
    return "shop.py", "orders.py", "--together", "--base-url", demo.url


def test_both_are_in_one_report_and_one_file_and_the_gravest_decides(files: tuple[str, ...], call: Call):
    done = call("run", *files, "-o", "all.json", "--html", "all.html", "--markdown", "all.md", "--history", "kept")

    assert done.returncode == 1
    results = json.loads(Path("all.json").read_text())["results"]
    assert [one["outcome"] for one in results] == ["passed", "failed"]
    assert [one["total"]["requests"] for one in results] == [30, 20]
    assert done.stdout.endswith("FAILED orders.py::order: p99 < 1ns: " + done.stdout.rpartition("1ns: ")[2])
    assert done.stdout.splitlines()[-1] == "1 failed, 1 passed"
    assert "ran together with order in one process" in " ".join(done.stdout.split())
    for written in ("all.html", "all.md"):
        assert all(name in Path(written).read_text() for name in ("shop.py::browse", "orders.py::order"))
    assert len([line for file in Path("kept").glob("*.jsonl") for line in file.read_text().splitlines()]) == 2
    assert not list(Path().glob("*.partial"))

    again = call("report", "all.json")
    assert again.returncode == 1
    assert again.stdout == done.stdout


def test_samples_and_the_first_exchanges_are_of_each(files: tuple[str, ...], call: Call):
    done = call("run", *files, "--samples", "all.csv", "--debug", "1", "-q")

    lines = Path("all.csv").read_text().splitlines()
    assert len(lines) == 1 + 30 + 20
    assert done.stderr.count("GET / HTTP/1.1") == 1
    assert done.stderr.count("POST /orders HTTP/1.1") == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--once"], "--once is for scenarios one after the other; leave it or --together out"),
        (["--repeat", "2"], "--repeat is for scenarios one after the other; leave it or --together out"),
        (["--fail-fast"], "--fail-fast is for scenarios one after the other; leave it or --together out"),
        (["--processes", "2"], "browse has processes=2, and those that run together share one process; "),
        (["-s", "browse"], "to run together takes two scenarios at least, and there is 1"),
    ],
)
def test_what_has_no_meaning_together_is_refused(options: list[str], message: str, files: tuple[str, ...], call: Call):
    done = call("run", *files, *options)

    assert done.returncode == 4
    assert done.stderr.splitlines()[-1].startswith(f"loadkit: {message}")
