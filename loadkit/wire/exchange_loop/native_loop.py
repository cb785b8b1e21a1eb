"""The exchange loop of the extension: a thread in C, which goes on while Python is held up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from loadkit.wire.exchange_loop.contract import Arrivals, Event, Spell, What

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from loadkit.wire.base import Clock

_WHATS: Final = {what.value: what for what in What}


class NativeLoop:
    """See `ExchangeLoop`. It goes by the system's clock, of which only the wall offset is asked for."""

    name = "exchange loop in C"

    def __init__(self, clock: Clock) -> None:
        from loadkit.wire._exchange import Loop

        self._clock = clock
        self._loop = loop = Loop(clock.wall_offset)
        # the methods themselves, for a call more each time is for nothing
        self.supply = loop.supply
        self.learn = loop.learn
        self.add_user = loop.add_user
        self.resume = loop.resume
        self.serve = loop.serve
        self.pace = loop.pace
        self.take_pause = loop.take_pause
        self.watch = loop.watch
        self.left = loop.left
        self.is_resting = loop.is_resting
        self.stop = loop.stop
        self.wake = loop.wake
        self.close = loop.close

    @property
    def arrivals(self) -> Arrivals:
        return self._loop

    def add_request(self, payload: bytes | None, timeout: int, *, repeatable: bool) -> int:
        return self._loop.add_request(payload, timeout, repeatable)

    def connect(self, user: int, connection: int, sock: socket.socket | None) -> None:
        self._loop.connect(user, connection, -1 if sock is None else sock.fileno())

    def wait(self, until: int) -> list[Event]:
        return [Event(_WHATS[what], *rest) for what, *rest in self._loop.wait(until, self._clock.wall_offset)]

    def take(self) -> list[Sequence[int]]:
        return [cast(Any, memoryview(samples)).cast("q") for samples in self._loop.take()]

    def payloads(self, request: int) -> Sequence[int]:
        return cast("Sequence[int]", memoryview(self._loop.payloads(request)).cast("q"))

    def spell(self, user: int) -> Spell:
        return Spell(*self._loop.spell(user))

    @property
    def resting(self) -> int:
        return self._loop.resting
