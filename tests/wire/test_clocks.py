"""When a reply arrived: by the kernel's clock, and what is done when that cannot be believed."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from loadkit.clock import SystemClock
from loadkit.plan.units import MILLISECOND, SECOND
from tests.wire.conftest import Basin, Call, Serve
from tests.wire.peer import OK, Line, replies, reply

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux stamps what arrives")


class Kernel:
    """System calls that keep the interpreter's lock, so that no other thread of this process runs meanwhile."""

    def __init__(self) -> None:
        self._calls = ctypes.PyDLL(None)

    def make(self, path: Path) -> None:
        self._calls.close(self._calls.creat(bytes(path), 0o600))

    def has(self, path: Path) -> bool:
        return self._calls.access(bytes(path), os.F_OK) == 0


@linux
@pytest.mark.skipif(not getattr(sys, "_is_gil_enabled", lambda: True)(), reason="no lock to hold without a GIL")
@pytest.mark.parametrize("turn", [0, 4], ids=["first", "repeated"])
def test_a_reply_that_waits_for_a_busy_interpreter_arrived_when_it_came(
    serve: Serve, call: Call, turn: int, tmp_path: Path
):
    """Another process replies as soon as nothing but this thread can run here, and says when it has."""

    def answered_by_another_process(line: Line) -> None:
        wait_and_say = 'while [ ! -e "$0" ]; do sleep 0.01; done; cat; : > "$1"'
        command = ["sh", "-c", wait_and_say, str(held), str(said)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=cast(Any, line.sock)) as process:
            process.stdin.write(line.sealed(OK))
            process.stdin.close()
            asked.set()

    held, said = tmp_path / "held", tmp_path / "said"
    kernel, asked, outcomes = Kernel(), threading.Event(), []
    caller = call(serve(replies(*[OK] * turn, answered_by_another_process)), timeout=20)
    caller.sends(turn)
    thread = threading.Thread(target=lambda: outcomes.append(caller.send()))
    thread.start()
    assert asked.wait(5)

    with held_interpreter():
        kernel.make(held)
        late = caller.clock.now() + 10 * SECOND
        while not kernel.has(said) and caller.clock.now() < late:
            pass
        end = caller.clock.now() + 50 * MILLISECOND
        while caller.clock.now() < end:
            pass
    thread.join()

    [outcome] = outcomes
    assert outcome.status == 200
    assert outcome.taken - outcome.arrived >= 50 * MILLISECOND
    assert caller.connection.unstamped == 0


@contextmanager
def held_interpreter() -> Iterator[None]:
    """No other thread runs unless this one lets it."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(100)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


@linux
def test_arrivals_are_stamped_and_lie_between_sending_and_taking(serve: Serve, call: Call):
    caller = call(serve(replies(OK)))

    outcomes = caller.sends(200)

    # Caller.send has held sent <= arrived <= taken; that they differ shows that a clock of its own was read
    assert sum(outcome.arrived < outcome.taken for outcome in outcomes) > 150
    assert caller.connection.unstamped == 0


@linux
@pytest.mark.parametrize("hours", [1, -1])
@pytest.mark.parametrize("body", [b"ok", b"x" * 20_000], ids=["the fast way", "the long way"])
def test_a_step_of_the_wall_clock_gives_no_absurd_times(serve: Serve, call: Call, hours: int, body: bytes):
    caller = call(serve(replies(reply(body))))
    caller.sends(5)
    right = caller.clock.wall_offset

    for _ in range(3):
        caller.clock.wall_offset = right + hours * 3600 * SECOND
        outcome = caller.send()

        assert (outcome.status, outcome.message) == (200, "")
        assert outcome.taken - outcome.sent < SECOND
        assert abs(caller.clock.wall_offset - right) < MILLISECOND
    assert len(caller.clock.steps) == 3


class StoppedClock(SystemClock):
    """A clock for a process that was stopped until now: it says that an hour passed."""

    __slots__ = ("passed",)

    def __init__(self) -> None:
        super().__init__()
        self.passed, real = 0, self.now
        self.now = lambda: real() + self.passed


@linux
@pytest.mark.parametrize("turn", [0, 4], ids=["first", "repeated"])
def test_a_body_that_came_while_this_process_was_stopped_came_in_time(serve: Serve, call: Call, turn: int):
    class Stopping(Basin):
        def begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
            super().begin(status, headers)
            peer_sent.wait(5)
            clock.passed = 3600 * SECOND

    def in_two(line: Line) -> None:
        line.send(OK[:-2], OK[-2:])
        peer_sent.set()

    clock, basin, peer_sent = StoppedClock(), Stopping(), threading.Event()
    caller = call(serve(replies(*[OK] * turn, in_two)), clock=clock, timeout=60)
    caller.sends(turn)
    caller.use(replace(caller.request, keep=None, sink=basin))

    outcome = caller.send()

    assert (outcome.status, outcome.message, basin.bodies) == (200, "", [b"ok"])
    assert outcome.arrived - outcome.sent < 60 * SECOND < outcome.taken - outcome.sent


class SteppedClock(SystemClock):
    """A clock of which another thread has just noticed that the wall clock was set: there is nothing left to move."""

    def reanchor(self) -> int:
        """The other thread was faster."""
        return 0


@linux
@pytest.mark.parametrize("span", [3600 * SECOND, -3600 * SECOND, 5 * MILLISECOND], ids=["an hour", "back", "5 ms"])
@pytest.mark.parametrize("turn", [0, 4], ids=["first", "repeated"])
def test_a_step_that_another_thread_noticed_first_fails_no_request(serve: Serve, call: Call, span: int, turn: int):
    def stepped(line: Line) -> None:
        # it is stamped by the wall clock as it was before
        clock.wall_offset += span
        line.send(OK)

    clock = SteppedClock()
    caller = call(serve(replies(*[OK] * turn, stepped)), clock=clock)
    caller.sends(turn)

    outcome = caller.send()

    assert (outcome.status, outcome.message) == (200, "")
    if abs(span) > outcome.taken - outcome.sent + MILLISECOND:
        # a shorter step cannot be told from the way of the reply, on a machine that held a thread up for so long
        # the extension goes by where the clock stood before it sent, as the stamp does
        assert outcome.sent < outcome.arrived <= outcome.taken
        assert caller.connection.unstamped == (outcome.arrived == outcome.taken)


@linux
@pytest.mark.parametrize("error", [90_000, -90_000], ids=["early", "late"])
def test_an_offset_that_is_a_little_wrong_fails_no_request_and_is_mended(serve: Serve, call: Call, error: int):
    clock = SystemClock()
    right = clock.wall_offset
    clock.wall_offset += error
    caller = call(serve(replies(OK)), clock=clock)

    assert {outcome.message for outcome in caller.sends(50)} == {""}
    # read as exactly as a thread can that is interrupted now and then
    assert abs(clock.wall_offset - right) < abs(error) or error < 0
    assert clock.steps == []


@linux
def test_what_the_kernel_did_not_stamp_is_counted_once(serve_as: Serve, call: Call, tmp_path):
    answers = [OK, OK, reply(b"other"), reply(b"x" * 20_000), OK, OK]
    caller = call(serve_as(replies(*answers), unix=tmp_path / "a.sock"))

    caller.sends(len(answers))

    assert caller.connection.unstamped == len(answers)
