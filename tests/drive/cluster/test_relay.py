"""What a Dask worker relays between a generator and its director: each piece once, whatever gets lost on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from loadkit import Endpoint, Scenario
from loadkit.drive.cluster.relay import (
    Piece,
    Place,
    answer,
    end_generator,
    read_generator,
    reserve_generator,
    start_generator,
    write_generator,
)
from loadkit.drive.processes.protocol import Assignment, Done, Failed, Go, Message, Ready, line, take_frames
from loadkit.plan.part import Part
from loadkit.server.demo import Demo
from loadkit.wire.encode import encode


def assignment(url: str) -> Assignment:
    """To send 20 requests."""
    endpoint = Endpoint("GET", url)
    request = encode(endpoint, Scenario(endpoints=[endpoint]))
    return Assignment(source=url, changes={"iterations": 20}, requests=[request], part=Part(), path=[], lease=5.0)


class Caller:
    """Calls as a director would, each as often as it is told to: as if answers were lost."""

    def __init__(self, folder: Path, run: str = "one", times: int = 1) -> None:
        self.worker = SimpleNamespace(id="worker-1", local_directory=str(folder))
        self.run, self.times, self.number, self.written = run, times, 0, 0

    async def call(self, function: Any, *words: Any, kind: type[Any] = Piece) -> Any:
        calls: list[Awaitable[bytes]] = [function(self.run, *words, dask_worker=self.worker) for _ in range(self.times)]
        answers = {await one for one in calls}
        assert len(answers) == 1, "a call that is repeated is answered as it was"
        return answer(answers.pop(), kind)

    async def write(self, command: Any) -> Piece:
        self.written += 1
        written: Piece = await self.call(write_generator, self.written, line(command))
        return written

    async def read(self, until: tuple[type[Message], ...], buffer: bytearray) -> Message:
        """The next message of these kinds."""
        while True:
            for message in take_frames(buffer):
                if isinstance(message, until):
                    return message
            self.number += 1
            piece: Piece = await self.call(read_generator, self.number, 5.0)
            assert not piece.is_gone
            assert piece.messages or piece.ended is None, f"it ended: {piece}"
            buffer += piece.messages


def names(folder: Path) -> list[str]:
    """What lies below the folders in a folder."""
    return sorted(path.name for path in folder.glob("*/**/*"))


async def relayed(demo: Demo, tmp_path: Path, times: int) -> tuple[Message, list[str]]:
    caller = Caller(tmp_path, times=times)
    buffer = bytearray()
    await caller.call(reserve_generator, kind=Place)
    await caller.call(start_generator, {"data/numbers.csv": b"1"}, "data")
    laid = names(tmp_path)
    early = await caller.call(read_generator, 1, 0.0)
    caller.number = 1
    buffer += early.messages
    await caller.write(assignment(f"{demo.url}/items"))
    ready = await caller.read((Ready, Failed), buffer)
    assert isinstance(ready, Ready), ready
    await caller.write(Go(at=0))
    done = await caller.read((Done,), buffer)
    await caller.call(end_generator)
    return done, laid


@pytest.mark.parametrize("times", [1, 2], ids=["each call once", "each call twice"])
def test_a_generator_is_spoken_to_through_its_worker(times: int, demo: Demo, tmp_path: Path):
    done, laid = asyncio.run(relayed(demo, tmp_path, times))

    assert isinstance(done, Done)
    assert laid == ["data", "numbers.csv"]
    assert list(tmp_path.iterdir()) == [], "what was laid there is gone"


async def told_apart(folder: Path) -> list[bool]:
    one, other = Caller(folder, "one"), Caller(folder, "other")
    first, second = await one.call(reserve_generator, kind=Place), await other.call(reserve_generator, kind=Place)
    gone = await other.call(read_generator, 1, 0.0)
    await one.call(end_generator)
    third = await other.call(reserve_generator, kind=Place)
    await other.call(end_generator)
    return [first.is_taken, second.is_taken, gone.is_gone, third.is_taken]


def test_a_worker_is_for_one_run_at_a_time(tmp_path: Path):
    assert asyncio.run(told_apart(tmp_path)) == [False, True, True, False]


@pytest.mark.parametrize("text", [None, "text", b"no piece", msgspec.msgpack.encode({"messages": 1})])
def test_what_is_no_answer_of_ours_is_refused(text: object):
    with pytest.raises(msgspec.DecodeError):
        answer(text, Piece)
