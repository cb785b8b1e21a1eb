"""A run that ends because a threshold is missed sends nothing more, as an independent server sees it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from loadkit import run
from loadkit.plan.loader import load
from tests.witness.witness import Witness

PLANS = Path(__file__).with_name("plans.py")


@pytest.mark.parametrize(
    ("kind", "processes"),
    [
        ("endpoint", 1),
        pytest.param("endpoint", 2, marks=pytest.mark.witness),
        pytest.param("journey", 1, marks=pytest.mark.witness),
        ("journey", 2),
    ],
)
def test_nothing_is_sent_after_a_threshold_has_ended_the_run(kind: str, processes: int, witness: Witness):
    (scenario,) = load(f"{PLANS}::slowing_{kind}")
    witness.clear()

    result = run(scenario.replace(base_url=witness.url, processes=processes))

    (limit, *_) = result.thresholds
    assert (result.outcome, limit.aborted, limit.passed) == ("failed", True, False)
    # the slow replies begin with the third second, and the run was to last 20
    assert limit.at is not None
    assert 3 <= limit.at < result.duration < 15
    log = witness.log()
    assert len(log) == result.requests + result.total.cut
    stopped = datetime.fromisoformat(result.spans[0].start).timestamp() + result.duration
    # a request that was due before the end may be sent 50 ms after it
    assert not log.since(stopped + 0.1).requests
