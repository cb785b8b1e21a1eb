"""The pages by the judgement of others: the validator of the Nu project, and axe, which tells who could not use them.

Both come from npm, into a folder of the tests' own.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from loadkit.report.html import html_report
from loadkit.report.render import render
from tests.browser import Browser, browser
from tests.report.comparisons import WORSE
from tests.report.limits import FOUND
from tests.report.pages import DOWN, NOTHING, SHOP

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

__all__ = ["browser"]  # a fixture

PAGES = {
    "one": html_report([SHOP]),
    "several": html_report([SHOP, DOWN, NOTHING, WORSE, FOUND], errors={"other": "it cannot be reached"}),
    "comparison": html_report([WORSE]),
    "limit": html_report([FOUND]),
    "live": html_report([SHOP], version=3),
    "waiting": render("waiting.html", live=1, is_over=False),
    "nothing found": render("waiting.html", live=2, is_over=True),
}


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where npm has put them."""
    if not shutil.which("npm"):
        pytest.skip("needs npm")
    folder = tmp_path_factory.mktemp("npm")
    command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "vnu-jar@26", "axe-core@4"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"npm could not install vnu-jar and axe-core: {done.stderr[-200:]}")
    return folder / "node_modules"


def test_the_pages_are_html(tools: Path, tmp_path: Path):
    if not shutil.which("java"):
        pytest.skip("needs java")
    for name, page in PAGES.items():
        (tmp_path / f"{name}.html").write_text(page, encoding="utf-8")
    validator = tools / "vnu-jar" / "build" / "dist" / "vnu.jar"

    done = subprocess.run(
        ["java", "-jar", str(validator), "--stdout", *map(str, tmp_path.glob("*.html"))],
        capture_output=True,
        text=True,
        check=False,
    )

    # it does not know hashes, by which the policy allows our style and script
    said = [line for line in done.stdout.splitlines() if "violates Content Security Policy" not in line]
    assert said == []
    assert done.returncode == 0


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", PAGES)
def test_everybody_can_use_the_pages(tools: Path, browser: Browser, tmp_path: Path, name: str, width: int):
    page = tmp_path / "page.html"
    page.write_text(PAGES[name], encoding="utf-8")
    browser.post("window/rect", width=width, height=900)
    browser.post("url", url=page.as_uri())
    browser.post("execute/sync", script=(tools / "axe-core" / "axe.min.js").read_text("utf-8"), args=[])

    found = browser.post(
        "execute/async", script="const done = arguments[0]; axe.run().then((found) => done(found.violations))", args=[]
    )

    assert "\n".join(f"{one['id']}: {node['html'][:200]}" for one in found for node in one["nodes"]) == ""
    assert browser.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
