"""Opens the client that a scenario asks for."""

from __future__ import annotations

from loadkit.plan.scenario import Scenario
from loadkit.wire.base import Clock, Wire
from loadkit.wire.sockets import SocketWire


def open_wire(scenario: Scenario, clock: Clock) -> Wire:
    """The client a scenario asks for."""
    if scenario.transport == "requests":
        from loadkit.wire.requests import RequestsWire

        return RequestsWire(clock, scenario)
    return SocketWire(clock, scenario)
