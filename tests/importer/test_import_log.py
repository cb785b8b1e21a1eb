"""Access logs become scenarios: endpoints with the weights, the values and the mean rate of the log."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadkit.importer.access_log import log_parser
from loadkit.importer.log_scenario import MOST_WRITTEN, log_scenario
from loadkit.plan.loader import load
from loadkit.server.demo import Demo
from tests.conftest import Call
from tests.importer.test_replay import line

LOG = "".join(
    [
        *[line(1, "/")] * 60,
        *[line(2, f"/items/{number}") for number in (3, 3, 3, 7, 7, 8)] * 4,
        *[line(9, "/search?q=tea&page=1"), line(9, "/search?q=coffee%20mill&page=1")] * 5,
        *[line(9, "/me?token=s3cret-1234"), line(9, "/me?token=s3cret-9999")] * 2,
        line(3, "/orders", "POST") * 3,
        line(3, "/wp-login.php", status=404) * 2,
        "broken\n",
        line(5, "/users/7/orders/{id}/x"),
        line(0, "/last"),
    ]
)

WRITTEN = '''\
"""6 kinds of requests, with the share of each in percent.

- access.log: 100 of 106 lines
- left out: 3 of other methods (POST 3)
- left out: 2 answered with 400 or more
- 1 broken line, the first is access.log:104
- secrets are taken from the environment: TOKEN
"""

import os

from loadkit import Endpoint, Scenario, rows


def credentials():
    return {"token": os.environ["TOKEN"]}


access = Scenario(
    setup=credentials,
    endpoints=[
        Endpoint("GET", "/", weight=60),
        Endpoint(
            "GET",
            "/items/{item_id}",
            feed=rows([{"item_id": "3"}, {"item_id": "7"}, {"item_id": "8"}]),
            weight=24,
        ),
        Endpoint(
            "GET",
            "/search",
            params={"q": "{q}", "page": "1"},
            feed=rows([{"q": "tea"}, {"q": "coffee mill"}]),
            weight=10,
        ),
        Endpoint("GET", "/me", params={"token": "{token}"}, weight=4),
        Endpoint("GET", "/users/7/orders/{{id}}/x", weight=1),
        Endpoint("GET", "/last", weight=1),
    ],
    rate="10/s",
    duration="1m",
    thresholds=["error_rate < 1%"],
)
'''


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_log_becomes_what_a_person_would_have_written(call: Call):
    Path("access.log").write_text(LOG)

    done = call("import", "log", "access.log")

    assert done.returncode == 0, done.stderr
    assert Path("access.py").read_text() == WRITTEN
    assert done.stderr.splitlines()[-1] == "  next: loadkit access.py --once --base-url URL"
    assert done.stderr.splitlines()[:2] == ["loadkit: wrote access.py", "  access.log: 100 of 106 lines"]


def test_the_file_of_a_log_runs(call: Call, demo: Demo):
    Path("a.log").write_text(
        line(1, "/items/3") * 2 + line(1, "/items/4") + line(2, "/search?q=tea") + line(2, "/health")
    )

    assert call("import", "log", "a.log", "-o", "shop.py", "--base-url", demo.url).returncode == 0
    done = call("run", "shop.py", "--once")

    assert done.returncode == 0, done.stdout
    (scenario,) = load("shop.py")
    assert [(one.label, one.weight) for one in scenario.plans] == [
        ("GET /items/{item_id}", 60),
        ("GET /search", 20),
        ("GET /health", 20),
    ]


def test_a_log_in_another_format_is_told_what_says_which(call: Call):
    Path("a.log").write_text("GET / 200\n" * 3)

    done = call("import", "log", "a.log")

    assert done.returncode == 5
    assert done.stderr.endswith("; none is in the format that was looked for: --log-format says how they are written\n")


def test_rare_kinds_are_left_out_and_counted():
    Path("a.log").write_text("".join(line(1, f"/page-{chr(97 + k % 26)}{k // 26}x") for k in range(100)))

    found = log_scenario("a", [Path("a.log")], log_parser())

    assert found.text.count("Endpoint(") == MOST_WRITTEN
    assert found.notes[-1] == "left out: 50 of rarer kinds, 50 % of all"


def test_whatever_a_log_has_the_file_can_be_read():
    targets = [
        "/%zz/17",
        "//x/{a}",
        "/a?{b}={c}&d",
        "/\"');import os#",
        "/x" * 3000,
        "/a;b=1?q=%00%0d",
        "/é?ü=ß",
        "/7/8/9?id=1&id=2",
    ]
    Path("a.log").write_text("".join(line(1, target) for target in targets))

    Path("a.py").write_text(log_scenario("a", [Path("a.log")], log_parser(), base_url="http://a").text)

    assert len(load("a.py")[0].plans) >= len(targets) - 1
