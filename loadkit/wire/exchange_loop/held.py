"""What the exchange loop in Python knows of requests, users and their connections."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from loadkit.wire.channel import looker
from loadkit.wire.exchange_loop.contract import Spell
from loadkit.wire.head_pattern import match_head

NEVER: Final = 1 << 62
HEADS: Final = 16
"""Heads of good replies that are known of each request; those of one server differ in their dates."""


class HeldRequest:
    """A request, the replies to it that are known, and the samples of those that came."""

    __slots__ = (
        "few",
        "head",
        "heads",
        "number",
        "numbers",
        "patterns",
        "payload",
        "ready",
        "repeatable",
        "samples",
        "size",
        "status",
        "supplied",
        "taken_numbers",
        "timeout",
    )

    def __init__(self, number: int, payload: bytes | None, timeout: int, *, repeatable: bool) -> None:
        self.number = number
        self.payload = payload
        self.ready: deque[tuple[int, bytes]] = deque()
        """Payloads with their numbers, where they are supplied."""
        self.supplied = self.few = 0
        """How many were, and how few that are ready are told."""
        self.numbers: list[int] = []
        """Those of the payloads of the samples."""
        self.taken_numbers: list[int] = []
        """And of the samples that were taken last."""
        self.timeout = timeout
        self.repeatable = repeatable
        self.samples: list[int] = []
        # of the reply that came last
        self.head, self.size, self.status = b"\0", -1, 0
        self.heads: dict[bytes, tuple[int, int]] = {}
        self.patterns: dict[bytes, int] = {}
        """Statuses of replies by what their heads have in common."""

    def supply(self, payloads: Sequence[bytes]) -> int:
        self.ready.extend(enumerate(payloads, self.supplied))
        self.supplied += len(payloads)
        self.few = len(self.ready) // 2
        return len(self.ready)

    def learn(self, head: bytes, size: int, status: int, pattern: bytes) -> None:
        for known in (self.heads, self.patterns):
            if len(known) >= HEADS:
                del known[next(iter(known))]
        self.heads[head] = size, status
        self.patterns[pattern] = status
        self.head, self.size, self.status = head, size, status

    def take(self) -> list[int]:
        """The samples since the last time."""
        samples, self.samples = self.samples, []
        self.numbers, self.taken_numbers = [], self.numbers
        return samples

    def knows(self, data: bytes) -> bool:
        """True if it is a whole reply whose head is known, if not that of the last one, or of a known pattern."""
        head = data[: data.find(b"\r\n\r\n") + 4]
        known = self.heads.get(head)
        if known is None or known[0] != len(data):
            status = next((status for pattern, status in self.patterns.items() if match_head(pattern, data)), None)
            if status is None:
                return False
            known = len(data), status
        self.head, (self.size, self.status) = head, known
        return True


class HeldConnection:
    """One connection of a user; `step` is what is done when it can be read and nobody asked for anything."""

    __slots__ = ("fd", "is_usable", "is_watched", "look", "sock", "step")

    def __init__(self) -> None:
        self.sock: socket.socket | None = None
        self.fd = -1
        self.is_watched = False
        """Epoll looks at it."""
        self.is_usable = False
        """It is open, and nothing has come that nobody asked for."""
        self.step: Callable[[], object]
        self.look: Callable[[int], object] | None = None

    def is_quiet(self) -> bool:
        """True if nothing has come on it."""
        assert self.sock
        self.look = self.look or looker(self.sock)
        return not self.look(0)


class HeldUser:
    """A user: its connections, and where it stands."""

    __slots__ = (
        "connections",
        "deadline",
        "due",
        "first_sent",
        "go_on",
        "is_resting",
        "left",
        "number",
        "pacing",
        "pauses",
        "serves",
        "taken",
        "throw",
        "until",
        "watched",
    )

    def __init__(self, number: int, connections: list[HeldConnection]) -> None:
        self.number = number
        self.connections = connections
        self.due = self.until = self.left = 0
        self.first_sent = self.taken = 0
        self.pauses: Iterator[int] | None = None
        self.pacing = 0
        self.deadline = NEVER
        """Of what it waits for; the far future if it waits for nothing."""
        self.watched: HeldConnection | None = None
        """The connection whose next bytes the caller receives."""
        self.is_resting = False
        self.serves = False
        """It sends arrivals."""
        self.go_on: Callable[[], object]
        self.throw: Callable[[Exception], object]

    def take_spell(self) -> Spell:
        """When it has sent first, and taken last; it begins anew."""
        spell = Spell(self.first_sent, self.taken if self.first_sent else 0)
        self.first_sent = 0
        return spell
