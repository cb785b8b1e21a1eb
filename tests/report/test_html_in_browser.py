"""The page in a real browser: hostile names do nothing, nothing is asked for, and the tables sort."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from loadkit.report.html import html_report
from tests.report.comparisons import WORSE, hostile_comparison
from tests.report.limits import FOUND, hostile_limit
from tests.report.pages import HOSTILE, ODD, SHOP, hostile
from tests.report.shop import HOME
from tests.results import replace, result, row, skewed

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="needs Chromium"),
    pytest.mark.timeout(120),
]

QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-dev-shm-usage",
    # nothing but loopback, whatever the browser itself would like to have
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--enable-logging=stderr",
    "--virtual-time-budget=3000",
)


def browse(url: str, folder: Path, *options: str) -> tuple[str, list[str]]:
    """What the browser makes of a page: its elements as they are in the end, and what its console says."""
    command = [str(BROWSER), *QUIET, f"--user-data-dir={folder}/user", *options, "--dump-dom", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, encoding="utf-8")
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@contextmanager
def served(page: str, frame: str = "") -> Iterator[tuple[str, list[str]]]:
    """A server with a page, and one that may frame it; and the paths that it was asked for."""
    asked: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            body = (frame if self.path == "/frame.html" else page).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/report.html", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_hostile_names_do_nothing_and_nothing_is_asked_for(tmp_path: Path):
    everything = [hostile(text) for text in [*HOSTILE, ODD]]
    with served(html_report([*everything, SHOP])) as (url, asked):
        shown, said = browse(url, tmp_path)

    assert asked == ["/report.html"]
    assert said == [], "nothing was refused, for nothing was tried"
    assert f"<title>{len(everything) + 1} results - loadkit</title>" in shown
    assert "&lt;/script&gt;&lt;script&gt;document.title='owned'&lt;/script&gt;" in shown
    assert len(re.findall("<script", shown)) == 1
    assert "<img" not in shown


FINDINGS = {
    "comparison": lambda text: html_report([hostile_comparison(text)]),
    "limit": lambda text: html_report([hostile_limit(text)]),
}


@pytest.mark.parametrize("page_of", FINDINGS.values(), ids=FINDINGS)
def test_the_page_of_a_finding_does_nothing_with_hostile_names_and_asks_for_nothing(
    tmp_path: Path, page_of: Callable[[str], str]
):
    with served(page_of(" ".join([*HOSTILE, ODD]))) as (url, asked):
        shown, said = browse(url, tmp_path)

    assert asked == ["/report.html"]
    assert said == []
    assert "&lt;/script&gt;&lt;script&gt;document.title='owned'&lt;/script&gt;" in shown
    assert len(re.findall("<script", shown)) == 1
    assert "<img" not in shown


def test_the_policy_stops_what_the_template_might_let_through(tmp_path: Path):
    """The second line of defence, alone: a page into which markup did get."""
    planted = (
        "<script>document.title='owned'</script><img src=/leak onerror=\"document.title='owned'\">"
        "<style>@import '/leak.css'</style><iframe src=/leak></iframe><form action=/leak id=f></form>"
        "<base href=/elsewhere/><link rel=stylesheet href=/leak.css>"
    )
    page = html_report([SHOP]).replace("</h1>", f"</h1>{planted}", 1)
    with served(page) as (url, asked):
        shown, said = browse(url, tmp_path)

    assert asked == ["/report.html"]
    assert "<title>FAILED browse - loadkit</title>" in shown
    assert planted[:40] in shown, "it was there"
    assert len(said) >= 4, "and it was refused"


def test_a_table_is_sorted_by_the_column_that_is_clicked(tmp_path: Path):
    rows = [row(f"GET /{name}", skewed(median, 400)) for name, median in (("b", 90), ("c", 1_500), ("a", 700))]
    page = html_report([result(rows)])
    clicks = {"p50": ["c", "a", "b"], "endpoint": ["a", "b", "c"]}

    for title, order in clicks.items():
        click = f"<script>[...document.querySelectorAll('th button')].find(b => b.textContent === '{title}').click()"
        # a script of the test's own, which the policy would not let in
        changed = re.sub("<meta http-equiv[^>]*>", "", page).replace("</body>", f"{click}</script></body>")
        with served(changed) as (url, _):
            shown, said = browse(url, tmp_path)

        assert re.findall(r"<bdi>GET /(\w)</bdi></th>", shown) == order, title
        assert 'aria-sort="' in shown
        assert said == []


def test_the_trials_of_a_level_are_shown_when_its_mark_or_its_row_is_clicked(tmp_path: Path):
    page = html_report([FOUND])
    for link in ("svg a", "th a"):
        click = (
            f"<script>document.querySelectorAll('{link}')[2].dispatchEvent(new MouseEvent('click', {{bubbles: true}}))"
        )
        changed = re.sub("<meta http-equiv[^>]*>", "", page).replace("</body>", f"{click}</script></body>")
        with served(changed) as (url, _):
            shown, _ = browse(url, tmp_path)

        assert re.findall('<details class="level" id="(r[0-9-]+)" open', shown) == ["r1-3"], link


def test_without_a_script_the_page_says_the_same(tmp_path: Path):
    page = html_report([SHOP])
    with served(page) as (url, _):
        with_script, _ = browse(url, tmp_path)
    with served(re.sub("script-src .*?; base", "script-src 'none'; base", page)) as (url, _):
        without, refused = browse(url, tmp_path)

    assert '<th scope="col"><button' in with_script
    assert len(refused) == 1
    assert "<button" not in without
    plain = [
        re.sub(r"<script>.*?</script>|<[^>]+>|\s+", " ", text, flags=re.DOTALL).split()
        for text in (with_script, without)
    ]
    assert plain[0] == plain[1]


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("made", ["results", "a comparison", "a limit"])
def test_a_page_is_as_wide_as_its_window(tmp_path: Path, made: str, width: int):
    """Only tables scroll sideways, each in its own frame."""
    ask = "<script>parent.document.title = document.documentElement.scrollWidth + ' of ' + innerWidth</script>"
    pages = {"results": lambda: html_report([hostile("x" * 10_000), SHOP])}
    pages["a comparison"] = lambda: html_report([hostile_comparison("x" * 10_000)])
    pages["a limit"] = lambda: html_report([hostile_limit("x" * 1_900)])
    page = pages[made]()
    changed = re.sub("<meta http-equiv[^>]*>", "", page).replace("</body>", f"{ask}</body>")
    # a window has a least width, a frame has none
    frame = f"<!doctype html><iframe src=/report.html width={width} height=900>"
    with served(changed, frame) as (url, _):
        shown, _ = browse(url.replace("report", "frame"), tmp_path)

    found = re.search(r"<title>(\d+) of (\d+)</title>", shown)
    assert found
    assert int(found[1]) <= int(found[2])
    assert width - 20 <= int(found[2]) <= width


@pytest.mark.parametrize(
    ("found", "caption", "width"),
    [
        (SHOP, "Thresholds", 390),
        (WORSE, "What decides", 390),
        (result([HOME, replace(HOME, name="POST /orders")], replace(HOME, name="total")), "Endpoints", 1180),
    ],
)
def test_the_tables_that_are_looked_at_first_need_no_scrolling(tmp_path: Path, found: Any, caption: str, width: int):
    ask = (
        f"<script>one = document.querySelector('[aria-label=\"{caption}\"]');"
        "parent.document.title = one.scrollWidth + ' of ' + one.clientWidth</script>"
    )
    changed = re.sub("<meta http-equiv[^>]*>", "", html_report([found])).replace("</body>", f"{ask}</body>")
    with served(changed, f"<!doctype html><iframe src=/report.html width={width} height=900>") as (url, _):
        shown, _ = browse(url.replace("report", "frame"), tmp_path)

    needed = re.search(r"<title>(\d+) of (\d+)</title>", shown)
    assert needed
    assert int(needed[1]) <= int(needed[2])
