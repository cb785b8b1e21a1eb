"""A replayed log is what the server is sent: each request once, at its instant, whoever shares it."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from fractions import Fraction
from pathlib import Path

import pytest

from loadkit import Endpoint, Scenario, run
from loadkit.importer.access_log import log_parser
from loadkit.importer.replay import replay
from loadkit.judge.result import Result
from loadkit.plan.part import Part
from tests.witness.witness import Witness

SECONDS = (40, 0, 3, 90)
"""How many lines the log has of each second."""
ALL = [f"/{second}/{k}" for second, many in enumerate(SECONDS) for k in range(many)]
"""The paths, in the order of the lines."""


@pytest.mark.parametrize(("parts", "processes"), [(1, 1), (1, 3), (2, 2)])
def test_a_server_that_counts_sees_the_requests_of_a_log_at_their_instants(
    witness: Witness, tmp_path: Path, parts: int, processes: int
):
    log = tmp_path / "access.log"
    log.write_text("".join(map(line, ALL)))
    seen: Counter[str] = Counter()
    scenario = Scenario(base_url=witness.url, endpoints=[Endpoint("GET", "/")], processes=processes)

    for number in range(parts):
        found = replay([log], log_parser(), speed=Fraction(2))
        witness.clear()
        part = Part(number=number, count=parts)
        result = run(found.of(scenario), part=part)
        paths = check_sent_in_time(witness, result)
        assert set(paths) == set(ALL[number::parts]), "the k-th is for part k mod n"
        seen.update(paths)

    assert seen == dict.fromkeys(ALL, 1), "each once"


def check_sent_in_time(witness: Witness, result: Result) -> list[str]:
    """All is sent, and at its instant; the paths that were seen."""
    seen = witness.log()
    assert len(seen) == result.requests + result.total.cut
    began = datetime.fromisoformat(result.spans[0].start).timestamp()
    late = [one.received - began - due(one.path) for one in seen.requests]
    # the clock of the wall is read to the millisecond; what is later than due is what loadkit says of itself
    assert min(late) > -0.005
    assert max(late) < result.total.response_time.max + 0.005
    assert result.outcome == "passed"
    assert not any("not that of the plan" in one.message for one in result.caveats)
    return [one.path for one in seen.requests]


def line(path: str) -> str:
    return f'- - - [28/Nov/2026:13:00:{path.split("/")[1]:0>2} +0100] "GET {path}?ms=5 HTTP/1.1" 200 1\n'


def due(path: str) -> float:
    """The instant of a request at twice the speed: the lines of a second are spread over it."""
    second, k = map(int, path[1:].split("/"))
    return (second + k / SECONDS[second]) / 2
