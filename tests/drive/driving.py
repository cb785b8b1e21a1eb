"""Runs of a scenario by the threads of this process: requests encoded, then driven on a fake network or on sockets."""

from __future__ import annotations

from typing import Any

from loadkit import Endpoint, Scenario
from loadkit.clock import ManualClock, SystemClock
from loadkit.drive.director import drive
from loadkit.drive.stats import Driven
from loadkit.wire.base import Clock
from loadkit.wire.encode import encode
from loadkit.wire.fake import Answer, FakeReply, FakeWire
from loadkit.wire.protocols import Wire
from loadkit.wire.sockets import SocketWire


def on_wire(scenario: Scenario, wire: Wire, clock: Clock, **options: Any) -> Driven:
    """Run a scenario on this network and by this clock."""
    requests = [encode(one, scenario) for one in scenario.endpoints if isinstance(one, Endpoint)]
    for request in requests:
        wire.resolve(request.origin)
    return drive(scenario, requests, wire, clock, **options)


def on_sockets(scenario: Scenario, **options: Any) -> Driven:
    clock = SystemClock()
    return on_wire(scenario, SocketWire(clock, scenario), clock, **options)


def on_fake(scenario: Scenario, answer: Answer | FakeReply | None = None) -> Driven:
    """Run a scenario on the fake network, by a clock moved by hand."""
    clock = ManualClock()
    return on_wire(scenario, FakeWire(clock, answer), clock)
