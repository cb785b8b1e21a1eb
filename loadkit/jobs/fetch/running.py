"""The fetches that are under way in this process; what is left of them when the program ends is stopped."""

from __future__ import annotations

import atexit
import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loadkit.jobs.fetch.run import Fetching

_running: set[Fetching] = set()


def started(fetching: Fetching) -> None:
    """Have it stopped when the program ends before it does."""
    if not _running:
        atexit.unregister(_end_all)
        atexit.register(_end_all)
    _running.add(fetching)


def ended(fetching: Fetching) -> None:
    """It has come to its end."""
    _running.discard(fetching)


def wait_for_stopped(folder: Path) -> None:
    """Wait for fetches into this folder that were stopped and still hold it."""
    for fetching in list(_running):
        if fetching.is_stopping and _is_same(fetching.plan.into, folder):
            wait_to_the_end(fetching)


def wait_to_the_end(fetching: Fetching) -> None:
    """Wait for a fetch that was stopped; a Ctrl-C meanwhile cuts what is under way."""
    try:
        fetching.wait()
    except KeyboardInterrupt:
        fetching.cut()
        fetching.wait()


def _end_all() -> None:
    for fetching in (unfinished := list(_running)):
        if not fetching.is_stopping:
            _say(
                f"loadkit: the program ended before its fetch into {fetching.plan.into} did; resume=True does the rest"
            )
        fetching.stop()
    for fetching in unfinished:
        wait_to_the_end(fetching)


def _say(line: str) -> None:
    from loadkit.report.escape import visible

    with contextlib.suppress(OSError, ValueError, AttributeError):  # it is closed, or there is none
        sys.stderr.write(f"{visible(line)}\n")
        sys.stderr.flush()


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
