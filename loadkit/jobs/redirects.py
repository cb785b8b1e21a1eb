"""Endpoints that answered with redirects, which are not followed: the figures are of those, not of what was meant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from loadkit.judge.result import Row
from loadkit.plan.endpoint import Endpoint
from loadkit.plan.redact import masked_url
from loadkit.plan.scenario import Scenario
from loadkit.wire.base import REDIRECTS, Wire
from loadkit.wire.encode import encode

NEARLY_ALL: Final = 0.95
"""The share of replies that must be redirects for a caveat: a few, such as of those not logged in, may be meant."""

PROBE: Final = 1.0
"""Seconds that are waited for where a redirect leads."""


def redirects(scenario: Scenario, rows: Sequence[Row], wire: Wire) -> Iterator[str]:
    """A sentence for each endpoint that was hardly anything else, with where it leads.

    An endpoint that says which statuses it expects is left alone. To learn where a redirect leads, it is asked for once
    more after the run, if that changes nothing at the server and needs no row of a feed.
    """
    plans = {row: one for row, one in zip(scenario.rows, scenario.plans, strict=True) if isinstance(one, Endpoint)}
    for row in rows:
        endpoint = plans.get(row.name)
        if endpoint is not None and endpoint.expect is None and (share := _share_of_redirects(row)):
            place = _leads_to(endpoint, scenario, wire)
            yield (
                f"{share} of {row.name} were redirects{f' to {masked_url(place)}' if place else ''}, "
                "which are not followed; request where they lead, or give the endpoint the status it expects"
            )


def _share_of_redirects(row: Row) -> str:
    """How many of the good replies were redirects, in words; nothing where they were not nearly all."""
    found = {status: count for status, count in row.statuses.items() if status in REDIRECTS}
    count, good = sum(found.values()), sum(row.statuses.values())
    if not count or count < NEARLY_ALL * good:
        return ""
    codes = ", ".join(map(str, found))
    return f"all {good:,} good replies ({codes})" if count == good else f"{count:,} of {good:,} good replies ({codes})"


def _leads_to(endpoint: Endpoint, scenario: Scenario, wire: Wire) -> str:
    if endpoint.method not in ("GET", "HEAD") or endpoint.feed is not None:
        return ""
    # a check is what keeps the reply
    probe = encode(endpoint.replace(check=bool, timeout=PROBE), scenario)
    connection = wire.connect(probe.origin)
    try:
        status, *_ = connection.sender(probe)(probe)
        return str(connection.reply().headers.get("Location", "")) if status in REDIRECTS else ""
    finally:
        connection.close()
