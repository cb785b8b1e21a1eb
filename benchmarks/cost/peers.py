"""The clients that are compared, one entry each, in the order of the table."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import sys
from collections.abc import Callable
from importlib import util
from pathlib import Path

from benchmarks.cost.client import CONNECTIONS, Client, Load
from benchmarks.cost.probe import complaint, found_on_path, number_after, python_package, says
from benchmarks.process import LOADKIT, ROOT

HERE = Path(__file__).parent
# its release is on PyPI as a wheel with nothing but the binary in it
K6 = shutil.which("k6") or str(ROOT / "benchmarks" / ".venv-k6" / "bin" / "k6")
LOCUST = ROOT / "benchmarks" / ".venv-locust" / "bin" / "locust"
C = str(CONNECTIONS)

LOCUSTFILE = """
from locust import FastHttpUser, HttpUser, task

class Http(HttpUser):
    @task
    def home(self):
        self.client.get("/")

class Fast(FastHttpUser):
    @task
    def home(self):
        self.client.get("/")
"""
K6_SCRIPT = """
import http from 'k6/http';
export default function () {{ http.get('{url}'); }}
"""


def loadkit_command(load: Load) -> list[str | Path]:
    result = load.folder / "loadkit.json"
    result.unlink(missing_ok=True)
    asked: list[str | Path] = ["--threads", C, "--duration", f"{load.seconds}s"]
    result_only: list[str | Path] = ["--quiet", "--output", result]
    trust: list[str | Path] = ["--ca", load.ca] if load.url.startswith("https") else []
    return [*LOADKIT, "run", load.url, *asked, *result_only, *trust]


def loadkit_claimed(load: Load, _output: str) -> int:
    return int(json.loads((load.folder / "loadkit.json").read_text())["results"][0]["total"]["requests"])


def loadkit_missing(folder: Path) -> str:
    return complaint([*LOADKIT, "run", "--help"], folder)


def k6_command(load: Load) -> list[str | Path]:
    script = load.folder / "script.js"
    script.write_text(K6_SCRIPT.format(url=load.url))
    # --no-usage-report: nothing here talks to anything but loopback
    return [K6, "run", "--no-usage-report", "--quiet", "--vus", C, "--duration", f"{load.seconds}s", script]


def locust_command(kind: str) -> Callable[[Load], list[str | Path]]:
    def command(load: Load) -> list[str | Path]:
        locustfile = load.folder / "locustfile.py"
        locustfile.write_text(LOCUSTFILE)
        users = ["--users", C, "--spawn-rate", C, "--run-time", f"{load.seconds}s"]
        quiet = ["--headless", "--only-summary", "--skip-log", "--json"]
        return [LOCUST, "--locustfile", locustfile, "--host", load.url.rstrip("/"), *quiet, *users, kind]

    return command


def locust_claimed(_load: Load, output: str) -> int:
    return sum(map(int, re.findall(r'"num_requests": (\d+)', output)))


def locust_missing(_folder: Path) -> str:
    return "" if LOCUST.exists() else f"no {LOCUST.relative_to(ROOT)}; scripts/bench installs it"


def requests_missing(_folder: Path) -> str:
    return "" if util.find_spec("requests") else "requests is not installed"


def reference_command(mode: str) -> Callable[[Load], list[str | Path]]:
    def command(load: Load) -> list[str | Path]:
        port = load.url.rstrip("/").rpartition(":")[2]
        return [load.folder / "reference", port, str(load.seconds), mode]

    return command


def reference_missing(folder: Path) -> str:
    """Compiles it, too: without the compiler there is no reference."""
    program = folder / "reference"
    return complaint(["gcc", "-O2", "-pthread", "-o", program, HERE / "reference.c"], folder)


def over_tls(client: Client) -> Client:
    return dataclasses.replace(client, name=f"{client.name}-https", scheme="https")


wrk = Client(
    name="wrk",
    command=lambda load: ["wrk", "-t1", f"-c{C}", f"-d{load.seconds}s", load.url],
    claimed=number_after(r"(\d+) requests in"),
    missing=found_on_path("wrk"),
    version=says(["wrk", "-v"], r"wrk (\S+)"),
)
loadkit = Client(
    name="loadkit",
    command=loadkit_command,
    claimed=loadkit_claimed,
    missing=loadkit_missing,
    version=python_package("pytest-loadkit"),
)
hey = Client(
    name="hey",
    command=lambda load: ["hey", "-c", C, "-z", f"{load.seconds}s", load.url],
    claimed=number_after(r"\[200\]\s+(\d+) responses"),
    missing=found_on_path("hey"),
    # hey does not know its own version; Debian does
    version=says(["sh", "-c", "dpkg-query --show hey || echo hey ?"], r"hey\s+(\S+)"),
)
ab = Client(
    name="ab",
    # -t alone means 50,000 requests at most; -n after it lifts that, and only reserves memory for each
    command=lambda load: ["ab", "-q", "-k", "-c", C, "-t", str(load.seconds), "-n", "10000000", load.url],
    claimed=number_after(r"Complete requests:\s+(\d+)"),
    missing=found_on_path("ab"),
    version=says(["ab", "-V"], r"Version (\S+)"),
)
h2load = Client(
    name="h2load",
    command=lambda load: ["h2load", "--h1", "-t1", "-c", C, "-D", str(load.seconds), load.url],
    claimed=number_after(r"(\d+) succeeded"),
    missing=found_on_path("h2load"),
    version=says(["h2load", "--version"], r"nghttp2/(\S+)"),
)
k6 = Client(
    name="k6",
    command=k6_command,
    claimed=number_after(r"http_reqs\W+(\d+)"),
    missing=found_on_path(K6),
    version=says([K6, "version"], r"k6\S* (v\S+)"),
)
locust_http = Client(
    name="locust-http",
    command=locust_command("Http"),
    claimed=locust_claimed,
    missing=locust_missing,
    version=says([str(LOCUST), "--version"], r"locust (\S+)"),
)
locust_fast = dataclasses.replace(locust_http, name="locust-fast", command=locust_command("Fast"))
requests = Client(
    name="requests",
    command=lambda load: [sys.executable, HERE / "sessions.py", load.url, str(load.seconds)],
    claimed=number_after(r"^(\d+)$"),
    missing=requests_missing,
    version=python_package("requests"),
)
c = Client(
    name="c",
    command=reference_command("recv"),
    claimed=number_after(r"^(\d+)$"),
    missing=reference_missing,
    version=says(["gcc", "--version"], r"(gcc .*)"),
)
c_timestamps = dataclasses.replace(c, name="c-timestamps", command=reference_command("recvmsg"))

# wrk comes first: every other client is compared with it in the same round.
PEERS = [
    *(wrk, c, c_timestamps, loadkit, ab, h2load, hey, k6, locust_fast, locust_http, requests),
    *(over_tls(wrk), over_tls(loadkit)),
]
