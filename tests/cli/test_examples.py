"""The examples of docs/ and of scenarios/, run as they are against a demo server."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from loadkit import run
from loadkit.plan.loader import load
from loadkit.plan.once import once
from loadkit.server.demo import Demo
from tests.conftest import Call

ROOT = Path(__file__).resolve().parents[2]


def blocks(page: str) -> dict[str, str]:
    """The Python of a page, by the file name in its first line."""
    text = (ROOT / page).read_text(encoding="utf-8")
    code = re.findall(r"^```python\n(# (\S+\.py)\n.*?)^```", text, re.DOTALL | re.MULTILINE)
    return {name: text for text, name in code}


def anchors(page: Path) -> list[str]:
    """Of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return [re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings]


def test_the_examples_of_journeys_are_found():
    assert list(blocks("docs/journeys.md")) == ["journeys.py", "more.py", "tasks.py"]


@pytest.mark.parametrize(
    ("name", "timed"),
    [
        ("journeys.py", [{"buy", "checkout"}]),
        ("more.py", [{"read", "read its own order", "warehouse", "same"}, {"browse"}]),
        ("tasks.py", [{"knock", "connect"}]),
    ],
)
def test_an_example_of_journeys_in_the_docs_does_what_it_says(
    name: str, timed: list[set[str]], demo: Demo, tmp_path: Path
):
    file = tmp_path / name
    file.write_text(blocks("docs/journeys.md")[name], encoding="utf-8")

    results = [run(one.replace(base_url=demo.url, duration=None, iterations=40)) for one in load(str(file))]

    assert [{one.name for one in result.timings} for result in results] == timed
    for result in results:
        assert result.failures == {}
        assert all(one.failures == {} and one.count for one in result.timings)


def test_the_first_example_of_the_readme_is_sound(demo: Demo, tmp_path: Path):
    file = tmp_path / "shop.py"
    file.write_text(blocks("README.md")["shop.py"], encoding="utf-8")
    (scenario,) = load(str(file))

    assert run(once(scenario.replace(base_url=demo.url))).outcome == "passed"


def test_the_example_of_logging_in_is_tried_on_the_demo_server(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "account.py").write_text(blocks("docs/scenarios.md")["account.py"], encoding="utf-8")
    page = (ROOT / "docs/scenarios.md").read_text(encoding="utf-8")
    (users,) = re.findall(r"printf '(.*)' > users.csv", page)
    (tmp_path / "users.csv").write_text(users.replace("\\n", "\n"), encoding="utf-8")

    done = call("run", "account.py", "--demo", "-n", "20", "--full")

    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"GET /me +\d+ .* 200 ", done.stdout)


@pytest.mark.parametrize("page", [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")], ids=lambda page: page.name)
def test_the_links_of_a_page_lead_somewhere(page: Path):
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", page.read_text(encoding="utf-8")):
        linked = page.parent / target if target else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), f"{target}#{anchor}"


def test_the_scenarios_of_the_repository_are_sound(demo: Demo):
    scenarios = load(str(ROOT / "scenarios"))

    assert {one.name for one in scenarios} == {"browse", "shopping", "browse_items", "visit"}
    for one in scenarios:
        assert run(once(one.replace(base_url=demo.url, server=None))).outcome == "passed"


def test_the_example_of_journeys_runs_with_nothing_failed(call: Call, demo: Demo):
    done = call("run", f"{ROOT / 'scenarios' / 'journeys.py'}::shopping", "--base-url", demo.url, "-n", "80")

    missed = re.findall(r"✗ (.+?)  ", done.stdout)
    # nobody promises how fast this machine is
    assert all(re.fullmatch(r".+: p\d+ < \w+", one) for one in missed)
    assert done.returncode == (1 if missed else 0), done.stderr
    assert re.search(r"✓ error_rate < 1% +0 %", done.stdout), done.stdout
