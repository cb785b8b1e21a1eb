"""The clients that are compared, in the order of the table, and what is asked of ours."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.cost import peers
from benchmarks.cost.client import Client, Load
from benchmarks.cost.probe import number_after, python_package

USERS = Path(__file__).with_name("users.py")
KINDS = ("status", "json", "post", "cookies")


def program(library: str, kind: str, package: str) -> Client:
    def command(load: Load) -> Sequence[str | Path]:
        return [sys.executable, USERS, library, kind, load.url, str(load.seconds)]

    return Client(
        name=f"{library}-{kind}",
        command=command,
        claimed=number_after(r"^(\d+)$"),
        missing=peers.requests_missing,
        version=python_package(package),
    )


PEERS = [
    peers.wrk,
    # a declared endpoint, for comparison
    peers.loadkit,
    *(program("loadkit", kind, "pytest-loadkit") for kind in KINDS),
    *(program("requests", kind, "requests") for kind in KINDS),
    peers.locust_http,
    peers.locust_fast,
    peers.k6,
]
LIMITS = [
    ("loadkit-status", "wrk", 2.2),
    ("loadkit-json", "wrk", 2.8),
    ("loadkit-status", "requests-status", 1 / 20),
    ("loadkit-json", "requests-json", 1 / 20),
    ("loadkit-post", "requests-post", 1 / 20),
    ("loadkit-cookies", "requests-cookies", 1 / 20),
    ("loadkit-status", "locust-http", 1 / 20),
    ("loadkit-status", "locust-fast", 1 / 5),
    ("loadkit-status", "k6", 1 / 2.5),
]
