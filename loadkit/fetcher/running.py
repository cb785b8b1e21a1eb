"""The fetches that are under way in this process, which does not end before they do."""

from __future__ import annotations

import atexit
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loadkit.fetcher.job import FetchJob

_running: set[FetchJob] = set()


def started(fetching: FetchJob) -> None:
    """Have the program not end before it does."""
    if not _running:
        atexit.unregister(_end_all)
        atexit.register(_end_all)
    _running.add(fetching)


def ended(fetching: FetchJob) -> None:
    """It has come to its end."""
    _running.discard(fetching)


def wait_for_stopped(folder: Path) -> None:
    """Wait for fetches into this folder that were stopped and still hold it."""
    for fetching in list(_running):
        if fetching.is_stopping and _is_same(fetching.plan.into, folder):
            wait_to_the_end(fetching)


def wait_to_the_end(fetching: FetchJob) -> None:
    """Wait for a fetch that was stopped; a Ctrl-C meanwhile cuts what is under way."""
    try:
        fetching.wait()
    except KeyboardInterrupt:
        fetching.cut()
        fetching.wait()


def _end_all() -> None:
    """As the program ends: finish what nobody left, unless an exception ended the program."""
    has_failed = hasattr(sys, "last_value")
    for fetching in (unfinished := list(_running)):
        if has_failed:
            fetching.stop()
    for fetching in unfinished:
        _wait_or_stop(fetching)


def _wait_or_stop(fetching: FetchJob) -> None:
    """Wait for a fetch; a first Ctrl-C meanwhile stops it, a second one cuts what is under way."""
    try:
        fetching.wait()
    except KeyboardInterrupt:
        fetching.stop()
        wait_to_the_end(fetching)


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
