"""The server that a scenario names: started before its run, and stopped after it."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import cast

from loadkit.plan.endpoint import Endpoint
from loadkit.plan.errors import UsageError
from loadkit.plan.redact import redact
from loadkit.plan.scenario import Scenario
from loadkit.plan.scenario_fields import is_application
from loadkit.server.serving import application_command, application_environment, filled, free_port
from loadkit.server.start import Place, ServerProcess, check_free, place_of, running
from loadkit.wire.base import Request
from loadkit.wire.encode import encode, origin_of
from loadkit.wire.protocols import Wire


def server_of(scenario: Scenario, wire: Wire, stops: Callable[[], int]) -> AbstractContextManager[ServerProcess | None]:
    """The server of a scenario, run by a `with`; nothing where it names none.

    Entering it raises `Interrupted` where `stops` tells, while the server starts, that the user asked to stop.
    """
    if scenario.server is None:
        return nullcontext()
    probe = encode(Endpoint("GET", scenario.ready, timeout=1), scenario)
    wire.resolve(probe.origin)
    place = place_of(probe.origin)
    check_free(place)
    is_app = is_application(scenario.server)
    if is_app and (place.unix or not place.is_here):
        raise UsageError(f"an application is served by this machine on a port, and not at {place}")
    return running(
        application_command(scenario.server[0], f"{place.host}:{place.port}") if is_app else scenario.server,
        not_ready=lambda: _not_ready(wire, probe, place),
        within=cast(float, scenario.ready_timeout),
        place=place,
        environment=application_environment() if is_app else None,
        name=scenario.server[0] if is_app else None,
        stops=stops,
    )


def with_port(scenario: Scenario) -> Scenario:
    """The scenario with the port of its server filled in, a free one where it may choose."""
    if not scenario.server:
        return scenario
    base_url = scenario.base_url
    port = origin_of(base_url)[0].port if base_url else 0
    if base_url and not port:
        port = free_port()
        base_url = re.sub(r":0(?=/|$)", f":{port}", base_url, count=1)
    return scenario.replace(base_url=base_url, server=filled(scenario.server, port))


def _not_ready(wire: Wire, probe: Request, place: Place) -> str:
    """Why the server does not count as up; nothing where it is."""
    connection = wire.connect(probe.origin)
    status, *_, note = connection.sender(probe)(probe)
    connection.close()
    if 200 <= status < 500:
        return ""
    if status:
        return f"the last answer of {place} to {redact(probe.url)} was {status}"
    return note.failure.message if note and note.failure else f"no reply from {place}"
