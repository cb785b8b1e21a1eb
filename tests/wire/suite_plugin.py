"""A pytest plugin for the suite of requests: puts our session in the place of theirs, and counts what goes where.

`SUITE_SESSION=loadkit` chooses ours; the counts go into the file that `SUITE_COUNTS` names.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import requests
import urllib3

import loadkit

counts = {"exchanges": 0, "urllib3": 0}
_open = urllib3.HTTPConnectionPool.urlopen


def _counted(*args: Any, **options: Any) -> Any:
    counts["urllib3"] += 1
    return _open(*args, **options)


def _observed(*_told: object) -> None:
    counts["exchanges"] += 1


class Session(loadkit.Session):
    """Ours, counting."""

    def __init__(self) -> None:
        super().__init__(observe=_observed)


def pytest_configure() -> None:
    # below requests: what is in the place of its own parts takes all exchanges of ours
    urllib3.HTTPConnectionPool.urlopen = _counted  # type: ignore[method-assign]
    if os.environ["SUITE_SESSION"] == "loadkit":
        requests.Session = requests.sessions.Session = Session  # type: ignore[misc]


def pytest_unconfigure() -> None:
    Path(os.environ["SUITE_COUNTS"]).write_text(json.dumps(counts))
