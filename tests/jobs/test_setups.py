"""Set-ups that fail or are interrupted in several processes: nothing is sent, and what was set up is torn down."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import Call
from tests.interrupts import interrupted
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

def waits_for_long(http):
    if threading.current_thread().name == "loadkit-0":
        yield from works(http)
    else:
        threading.Event().wait(20)

def buy(http):
    http.get("/")

def one(setup):
    return Scenario(
        base_url={url!r}, endpoints=[Journey(buy, setup=setup)], threads=4, duration="3s", setup=prepare
    )

fails, held, stuck = one(works_or_not), one(waits), one(waits_for_long)
"""


@pytest.fixture
def witness() -> Iterator[Peer]:
    """A server that knows what it was asked for."""
    with closing(Peer(replies(OK))) as peer:
        yield peer


@pytest.fixture
def command(call: Call, witness: Peer, tmp_path: Path) -> Call:
    """`loadkit run` of one of the scenarios on two processes."""
    (tmp_path / "shop.py").write_text(FILE.format(folder=str(tmp_path), url=witness.url))
    return lambda name: call("run", f"{tmp_path}/shop.py::{name}", "--processes", "2")


def words(folder: Path) -> list[str]:
    """What set-ups and tear-downs wrote down so far."""
    log = folder / "log"
    return log.read_text().split() if log.exists() else []


def test_a_set_up_that_fails_in_one_thread_sends_nothing_and_the_others_are_torn_down(
    command: Call, witness: Peer, tmp_path: Path
) -> None:
    done = command("fails")

    assert (done.returncode, done.stdout, witness.heard) == (6, "", [])
    assert "the setup of buy failed: ValueError: no such user" in done.stderr
    assert "Traceback" not in done.stderr
    found = words(tmp_path)
    assert (found[0], found[-1]) == ("open", "closed")
    # the others may not have begun when the first one failed
    assert found.count("out") == found.count("in")


@pytest.mark.parametrize(
    ("name", "signals"),
    [
        ("held", [signal.SIGINT]),
        # the second one does not wait for a set-up that never returns
        pytest.param("stuck", [signal.SIGINT] * 2, marks=pytest.mark.slow),
    ],
)
def test_an_interrupt_while_threads_are_set_up_tears_down_what_was_set_up(
    command: Call, witness: Peer, tmp_path: Path, name: str, signals: list[signal.Signals]
) -> None:
    with interrupted(lambda: len(words(tmp_path)) > 2, *signals):
        done = command(name)

    assert (done.returncode, witness.heard) == (2, []), done.stderr
    assert "INTERRUPTED" in done.stdout
    assert words(tmp_path) == ["open", "in", "in", "out", "out", "closed"]
