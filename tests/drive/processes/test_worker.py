"""A worker, spoken to by hand: the same program on another machine would be told the same."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from loadkit import Endpoint, Scenario
from loadkit.drive.processes.child import MODULE
from loadkit.drive.processes.protocol import (
    Assignment,
    Command,
    Done,
    Failed,
    Go,
    Heartbeat,
    KeepAlive,
    Message,
    Ready,
    Stop,
    line,
    take_frames,
)
from loadkit.plan.part import Part
from loadkit.server.demo import Demo
from loadkit.wire.encode import encode


class Conversation:
    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._buffer = bytearray()
        self._heard: list[Message] = []

    def tell(self, word: Command) -> None:
        assert self.process.stdin
        self.process.stdin.write(line(word))
        self.process.stdin.flush()

    def hear(self) -> Message | None:
        """The next message; None when there are no more."""
        assert self.process.stdout
        while not self._heard:
            assert select.select([self.process.stdout], [], [], 20)[0], "nothing was said for 20 s"
            data = os.read(self.process.stdout.fileno(), 65536)
            if not data:
                return None
            self._buffer += data
            self._heard = take_frames(self._buffer)
        return self._heard.pop(0)

    def rest(self) -> list[Message]:
        return list(iter(self.hear, None))


@contextmanager
def conversation() -> Iterator[Conversation]:
    """A worker that has heard nothing yet."""
    command = [sys.executable, "-P", "-m", MODULE]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as process:
        try:
            yield Conversation(process)
        finally:
            process.kill()


def order(url: str, **changes: Any) -> Assignment:
    """To run the second half of a scenario."""
    endpoint = Endpoint("GET", url)
    request = encode(endpoint, Scenario(endpoints=[endpoint]))
    return Assignment(source=url, changes=changes, requests=[request], part=Part(process=1, processes=2), path=sys.path)


def test_a_worker_runs_its_part_and_tells_of_it(demo: Demo):
    with conversation() as worker:
        worker.tell(order(f"{demo.url}/items", threads=3, iterations=101))
        ready = worker.hear()
        worker.tell(Go(at=time.time_ns() + 10_000_000))
        *news, done = worker.rest()

    assert ready == Ready(addresses=["127.0.0.1"])
    counted = [parcel for one in news if isinstance(one, Heartbeat) for parcel in one.parcels]
    # of three threads it has the second one, of 101 iterations that one's 34
    assert sum(parcel.statuses.get(200, 0) for parcel in counted) == 34
    assert isinstance(done, Done)
    assert (done.stats.threads, done.stats.measured_from, done.stats.halted) == (1, 0, "")
    assert worker.process.returncode == 0


def test_a_worker_that_is_told_to_stop_drains(demo: Demo):
    with conversation() as worker:
        worker.tell(order(f"{demo.url}/delay/0.05", threads=2, duration=3600))
        worker.hear()
        worker.tell(Go(at=time.time_ns()))
        while not (isinstance(news := worker.hear(), Heartbeat) and news.parcels):
            pass
        worker.tell(Stop())
        *_, done = worker.rest()

    assert isinstance(done, Done)
    assert done.stats.stopped_at < 60e9


def test_a_worker_ends_when_nobody_is_left_to_tell(demo: Demo):
    with conversation() as worker:
        worker.tell(order(f"{demo.url}/delay/0.05", threads=2, duration=3600))
        worker.hear()
        worker.tell(Go(at=time.time_ns()))
        worker.hear()
        assert worker.process.stdin
        worker.process.stdin.close()

        assert worker.process.wait(2) == 1


def test_a_worker_with_a_lease_ends_when_nothing_is_heard_of_whoever_relays_its_commands(demo: Demo):
    with conversation() as worker:
        worker.tell(msgspec.structs.replace(order(f"{demo.url}/delay/0.05", threads=2, duration=3600), lease=2.0))
        worker.hear()
        worker.tell(Go(at=time.time_ns()))
        until = time.monotonic() + 3
        while time.monotonic() < until:
            worker.tell(KeepAlive())
            assert isinstance(worker.hear(), Heartbeat)

        assert worker.process.wait(10) == 1


def test_a_beginning_that_another_wall_clock_set_in_a_far_future_is_now(demo: Demo):
    with conversation() as worker:
        worker.tell(order(f"{demo.url}/items", threads=2, iterations=10))
        worker.hear()
        worker.tell(Go(at=time.time_ns() + 3600 * 10**9))
        assert isinstance(worker.rest()[-1], Done)


def test_a_worker_refuses_another_version_of_the_protocol(demo: Demo):
    with conversation() as worker:
        worker.tell(msgspec.structs.replace(order(demo.url), version=99))
        (failed,) = worker.rest()

    assert isinstance(failed, Failed)
    assert failed.is_usage
    assert failed.message == "a worker of this loadkit speaks version 2 of the protocol, not 99"
    assert worker.process.returncode == 4


@pytest.mark.parametrize("said", [b"", b'{"type":"stop"}\n'])
def test_a_worker_started_by_hand_says_what_it_is(said: bytes):
    done = subprocess.run(
        [sys.executable, "-m", MODULE],
        input=said,
        capture_output=True,
        check=False,
        timeout=30,
    )

    assert done.returncode == 4
    assert done.stderr == b"loadkit: a worker is started by loadkit run --processes N, not by hand\n"
    assert done.stdout == b""
