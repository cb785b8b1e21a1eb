"""What a worker process and its parent write to each other.

Commands go in on its stdin, a line of JSON each; messages come out on its stdout, each a MessagePack value after its
length. A worker needs nothing else of its parent: no memory in common, no code sent along.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import msgspec

from loadkit.drive.outstanding import Outstanding
from loadkit.drive.stats import RunStats
from loadkit.measure.encoding import to_msgpack
from loadkit.measure.packed import Parcel
from loadkit.measure.samples import Samples
from loadkit.plan.errors import UsageError
from loadkit.plan.part import Part
from loadkit.wire.base import Request

VERSION: Final = 2
"""Of the protocol: a worker refuses an assignment of another one."""

LARGEST: Final = 64 << 20
"""Bytes of a message; those with the most samples have 12 MB."""

_LENGTH: Final = 4


class Assignment(msgspec.Struct, frozen=True, kw_only=True, tag="assignment"):
    """The first line: load this scenario, connect, and say that you are ready."""

    version: int = VERSION
    source: str
    """`file.py::name`, or a URL; or what `runner` knows it by."""
    runner: str = ""
    """The module whose `run_part` makes the scenario, where no loader of files does."""
    record: str = ""
    """The file with what is sent in the place of the scenario's own requests, which `runner` reads."""
    changes: dict[str, Any]
    requests: list[Request | None]
    """Of its endpoints, in order; None for a journey. A worker that encoded them would have to import what does it."""
    part: Part
    path: list[str]
    """Where Python looks for modules; empty for where it does anyway."""
    has_samples: bool = False
    """It is to tell of each request that it measures."""
    logged: int = 0
    """How many exchanges it is to keep, from the first."""
    shared: Any = None
    """What the scenario's `setup` returned, for its journeys."""
    is_monitored: bool = False
    """Tell what is under way, too."""
    lease: float | None = None
    """Seconds without a command after which it is to end by itself: whoever relays them may be stopped, or cut off."""


class Go(msgspec.Struct, frozen=True, kw_only=True, tag="go"):
    """All are ready: begin at this instant, nanoseconds of the wall clock, which processes have in common."""

    at: int


class Stop(msgspec.Struct, frozen=True, tag="stop"):
    """Start no more requests, wait for what is under way, and be done."""


class Cut(msgspec.Struct, frozen=True, tag="cut"):
    """Be done at once."""


class KeepAlive(msgspec.Struct, frozen=True, tag="keep-alive"):
    """Whoever started you is still there; see `Assignment.lease`."""


Command: TypeAlias = Assignment | Go | Stop | Cut | KeepAlive


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag="ready"):
    """The scenario is loaded, all threads have connected or tried to."""

    addresses: list[str] = []
    """From which it sends."""


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True, tag="heartbeat"):
    """Once a second: what was counted since the last time, and how it goes."""

    parcels: list[Parcel]
    threads: int
    in_flight: int
    cpu_seconds: float
    samples: list[Samples] = []
    lost_samples: int = 0
    """Those that were too much to be told."""
    outstanding: Outstanding | None = None
    """What is under way, where that is asked for; instants are nanoseconds from the start of what is measured."""


class Done(msgspec.Struct, frozen=True, kw_only=True, tag="done"):
    """It is over; times are nanoseconds from the instant at which it began."""

    stats: RunStats
    """Interrupted if one of its journeys asked to stop, as Ctrl-C does."""


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    """It cannot go on: whose mistake it is, and which."""

    message: str
    is_usage: bool
    exit_code: int = 4
    """Of the user's mistake."""


Message: TypeAlias = Ready | Heartbeat | Done | Failed


def line(command: Command) -> bytes:
    """A command as it is written; `UsageError` for a name in it that no encoding has, which would be another there."""
    try:
        return msgspec.json.encode(command) + b"\n"
    except UnicodeEncodeError as error:
        shown = repr(error.object[:100])
        raise UsageError(f"{shown} is no text that other processes can be told; mend it, or use processes=1") from None


def frame(message: Message) -> bytes:
    """A message as it is written."""
    body = to_msgpack(message)
    return len(body).to_bytes(_LENGTH, "big") + body


def read_command(text: bytes) -> Command:
    """A command that was written on a line; `msgspec.DecodeError` if it is none."""
    command: Command = msgspec.json.decode(text, type=Command)
    return command


def take_frames(buffer: bytearray) -> list[Message]:
    """The whole messages in a buffer, which are taken out of it.

    Raises `msgspec.DecodeError` for what are none, and for one that is too long.
    """
    found: list[Message] = []
    while len(buffer) >= _LENGTH:
        length = int.from_bytes(buffer[:_LENGTH], "big")
        if length > LARGEST:
            raise msgspec.DecodeError(f"a message of {length:,} bytes")
        end = _LENGTH + length
        if len(buffer) < end:
            break
        found.append(msgspec.msgpack.decode(bytes(buffer[_LENGTH:end]), type=Message))
        del buffer[:end]
    return found
