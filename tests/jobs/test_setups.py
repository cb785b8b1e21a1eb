"""Set-ups that fail or are interrupted: nothing is sent, and what was set up is torn down."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.wire.peer import OK, Peer, replies

FILE = """
import os
import threading
from loadkit import Journey, Scenario

folder = {folder!r} + "/"

def note(word):
    with open(folder + "log", "a") as log:
        print(word, file=log)

def is_first():
    try:
        os.close(os.open(folder + "first", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True

def prepare(http):
    note("open")
    yield
    note("closed")

def works(http):
    note("in")
    yield
    note("out")

def works_or_not(http):
    if is_first():
        http.pause("300ms")
        raise ValueError("no such user")
    yield from works(http)

def waits(http):
    if threading.current_thread().name == "loadkit-0":
        yield from works(http)
    else:
        http.pause("1h")
        yield

def waits_for_good(http):
    if threading.current_thread().name == "loadkit-0":
        yield from works(http)
    else:
        threading.Event().wait()

def buy(http):
    http.get("/")

def one(setup):
    return Scenario(
        base_url={url!r}, endpoints=[Journey(buy, setup=setup)], threads=4, duration="3s", setup=prepare
    )

fails, held, stuck = one(works_or_not), one(waits), one(waits_for_good)
"""


@pytest.fixture
def witness() -> Iterator[Peer]:
    """A server that knows what it was asked for."""
    with closing(Peer(replies(OK))) as peer:
        yield peer


def command(folder: Path, url: str, name: str, processes: int) -> subprocess.Popen[str]:
    """`loadkit run` in a group of processes of its own, as a terminal would have it."""
    (folder / "shop.py").write_text(FILE.format(folder=str(folder), url=url))
    return subprocess.Popen(
        [sys.executable, "-m", "loadkit", "run", f"{folder}/shop.py::{name}", "--processes", str(processes)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def words(folder: Path) -> list[str]:
    """What set-ups and tear-downs wrote down so far."""
    log = folder / "log"
    return log.read_text().split() if log.exists() else []


def await_words(folder: Path, many: int) -> None:
    """Wait until so many were written down."""
    until = time.monotonic() + 30
    while len(words(folder)) < many:
        assert time.monotonic() < until, f"only {words(folder)}"
        time.sleep(0.02)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_set_up_that_fails_in_one_thread_sends_nothing_and_the_others_are_torn_down(
    witness: Peer, tmp_path: Path, processes: int
) -> None:
    with command(tmp_path, witness.url, "fails", processes) as run:
        stdout, stderr = run.communicate(timeout=60)

    assert (run.returncode, stdout, witness.heard) == (6, "", [])
    assert "the setup of buy failed: ValueError: no such user" in stderr
    assert "Traceback" not in stderr
    found = words(tmp_path)
    assert (found[0], found[-1]) == ("open", "closed")
    assert found.count("out") == found.count("in")
    assert found.count("in") == 3 or processes > 1, "the others may not have begun when the first one failed"


@pytest.mark.parametrize(("processes", "number"), [(1, signal.SIGTERM), (2, signal.SIGINT)])
def test_an_interrupt_while_threads_are_set_up_tears_down_what_was_set_up(
    witness: Peer, tmp_path: Path, processes: int, number: signal.Signals
) -> None:
    with command(tmp_path, witness.url, "held", processes) as run:
        await_words(tmp_path, 1 + processes)
        os.killpg(run.pid, number)
        stdout, stderr = run.communicate(timeout=60)

    assert (run.returncode, witness.heard) == (2, []), stderr
    assert "INTERRUPTED" in stdout
    assert words(tmp_path) == ["open", *["in"] * processes, *["out"] * processes, "closed"]


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_a_second_interrupt_does_not_wait_for_a_set_up_that_never_returns(
    witness: Peer, tmp_path: Path, processes: int
) -> None:
    with command(tmp_path, witness.url, "stuck", processes) as run:
        await_words(tmp_path, 1 + processes)
        os.killpg(run.pid, signal.SIGINT)
        time.sleep(0.3)  # two signals at once are one signal
        os.killpg(run.pid, signal.SIGINT)
        run.communicate(timeout=60)

    assert (run.returncode, witness.heard) == (2, [])
    assert words(tmp_path) == ["open", *["in"] * processes, *["out"] * processes, "closed"]
