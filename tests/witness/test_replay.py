"""A replayed log is what the server is sent: each request, at its instant."""

from __future__ import annotations

from datetime import datetime
from fractions import Fraction
from pathlib import Path

from loadkit import Scenario, run
from loadkit.importer.access_log import log_parser
from loadkit.importer.replay import replay
from loadkit.plan.units import SECOND
from tests.witness.witness import Witness

SECONDS = (40, 0, 3, 90, 1, 0, 60)
"""How many lines the log has of each second."""


def test_a_server_that_counts_sees_the_requests_of_a_log_at_their_instants(witness: Witness, tmp_path: Path):
    log = tmp_path / "access.log"
    log.write_text(
        "".join(
            f'- - - [28/Nov/2026:13:00:{second:02} +0100] "GET /{second}/{k}?ms=5 HTTP/1.1" 200 1\n'
            for second, many in enumerate(SECONDS)
            for k in range(many)
        )
    )
    found = replay([log], log_parser(), speed=Fraction(2))
    span = found.arrivals.duration / SECOND
    witness.clear()

    result = run(Scenario(base_url=witness.url, endpoints=found.endpoints, arrivals=found.arrivals, duration=span))

    seen = witness.log()
    assert len(seen) == result.requests + result.total.cut == sum(SECONDS)
    began = datetime.fromisoformat(result.spans[0].start).timestamp()
    late = {one.path: one.received - began - due(one.path) for one in seen.requests}
    assert len(late) == sum(SECONDS), "each once"
    # the clock of the wall is read to the millisecond; what is later than due is what loadkit says of itself
    assert min(late.values()) > -0.005
    assert max(late.values()) < result.total.response_time.max + 0.005
    assert result.outcome == "passed"
    assert not any("not that of the plan" in one.message for one in result.caveats)


def due(path: str) -> float:
    """The instant of a request at twice the speed: the lines of a second are spread over it."""
    second, k = map(int, path[1:].split("/"))
    return (second + k / SECONDS[second]) / 2
