"""What goes over a worker's pipes comes out as it went in, however the pipe cuts it."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadkit.drive.processes.protocol import (
    Assignment,
    Command,
    Cut,
    Done,
    Failed,
    Go,
    Heartbeat,
    KeepAlive,
    Message,
    Ready,
    Stop,
    frame,
    line,
    read_command,
    take_frames,
)
from loadkit.drive.stats import RunStats
from loadkit.measure.counts import Counts
from loadkit.measure.packed import packed
from loadkit.measure.recording import Batch
from loadkit.plan.part import Part
from loadkit.wire.base import Origin, Request

REQUEST = Request(
    origin=Origin("http", "::1", 80), method="PUT", url="http://[::1]/", payload=b"PUT\0\xff", timeout=5, keep=None
)
PARCEL = packed(Batch(1, 0, "GET /", [], 0, Counts(cut=3, bytes_sent=2**40)), start=0)

messages: st.SearchStrategy[list[Message]] = st.lists(
    st.one_of(
        st.just(Ready()),
        st.just(Done(stats=RunStats(measured_from=2**40, stopped_at=2**41, faults=("é", "line\nbreak")))),
        st.builds(Failed, message=st.text(max_size=300), is_usage=st.booleans()),
        st.builds(
            Heartbeat,
            parcels=st.lists(st.just(PARCEL), max_size=3),
            threads=st.integers(0, 2**31),
            in_flight=st.integers(0, 2**31),
            cpu_seconds=st.floats(0, 1e9),
        ),
    ),
    max_size=6,
)


@given(sent=messages, cuts=st.lists(st.integers(1, 400), min_size=1, max_size=40))
def test_news_arrive_whole_and_in_order_however_they_are_cut(sent: list[Message], cuts: list[int]) -> None:
    data = b"".join(map(frame, sent))
    buffer, arrived = bytearray(), []

    while data:
        cut = cuts.pop() if cuts else len(data)
        buffer += data[:cut]
        data = data[cut:]
        arrived += take_frames(buffer)

    assert arrived == sent
    assert not buffer


@pytest.mark.parametrize("sent", [b"\x00\x00\x00\x05hello and more", b"\xff\xff\xff\xff"], ids=["none", "too long"])
def test_what_are_no_news_are_refused(sent: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        take_frames(bytearray(sent))


@pytest.mark.parametrize(
    "word",
    [
        Assignment(
            source="shop.py::a",
            changes={"rate": 1 / 3, "name": "line\nbreak"},
            requests=[REQUEST, None],
            part=Part(number=1, count=2, process=1, processes=3, at=1_800_000_000_000_000_000),
            path=["/x", ""],
        ),
        Go(at=1_800_000_000_123_456_789),
        Stop(),
        Cut(),
        KeepAlive(),
    ],
    ids=lambda word: type(word).__name__,
)
def test_an_order_is_a_line(word: Command) -> None:
    written = line(word)

    assert written.count(b"\n") == 1
    assert read_command(written.rstrip(b"\n")) == word
