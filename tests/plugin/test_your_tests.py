"""The examples of functional suites: each passes as it is, and under load, with a row for each kind of request."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

pytest_plugins = "pytester"

EXAMPLES = Path(__file__).resolve().parents[2] / "scenarios" / "your_tests"
# anyio comes with httpx, and is a plugin of pytest
WITHOUT = [word for name in ("cacheprovider", "xdist", "anyio") for word in ("-p", f"no:{name}")]


@pytest.mark.slow
@pytest.mark.usefixtures("database")
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("example", "tests", "requests"),
    [
        ("fastapi", 5, {"GET /items/tea", "GET /items/cup", "GET /items/saucer", "GET /orders/{id}", "POST /orders"}),
        ("flask", 3, {"POST /orders", "GET /orders/{id}"}),
        ("django", 4, {"POST /orders", "GET /orders/{id}"}),
    ],
)
def test_a_functional_suite_runs_under_load_as_it_is(
    pytester: pytest.Pytester, example: str, tests: int, requests: set[str]
):
    shutil.copytree(EXAMPLES / example, pytester.path, dirs_exist_ok=True)

    pytester.runpytest_subprocess(*WITHOUT).assert_outcomes(passed=tests)
    load = ["--load-threads", "4", "--load-iterations", "60", "--load-json", "out"]
    pytester.runpytest_subprocess(*WITHOUT, *load).assert_outcomes(passed=tests)

    (file,) = (pytester.path / "out").glob("*.json")
    (result,) = json.loads(file.read_text(encoding="utf-8"))["results"]
    assert {row["name"] for row in result["endpoints"]} == requests
    assert sum(one["count"] for one in result["timings"]) == 60
