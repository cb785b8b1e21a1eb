"""The laws a result keeps, looked for in one that comes from a file: who knows who wrote it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from loadkit.judge.summary import histogram
from loadkit.plan.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadkit.judge.result import Result, Row, Times, Timing


def broken(result: Result) -> Iterator[str]:
    """What does not add up, a sentence each; nothing for what loadkit wrote."""
    try:
        datetime.fromisoformat(result.started_at)
    except ValueError:
        yield f"started_at {result.started_at!r} is no time"
    if result.verdict == "invalid" and result.outcome in ("passed", "failed"):
        yield f"its figures are invalid, and yet it {result.outcome}"
    for row in (result.total, *result.endpoints):
        yield from _row(row)
    for one in result.timings:
        yield from _timing(one)
    rows = sum(row.requests for row in result.endpoints)
    if rows != result.total.requests:
        yield f"the total has {result.total.requests:,} requests and its endpoints have {rows:,}"


def _row(row: Row) -> Iterator[str]:
    good, failed = sum(row.statuses.values()), sum(row.failures.values())
    if row.requests != good + failed:
        yield f"{row.name!r} has {row.requests:,} requests, but {good:,} statuses and {failed:,} failures"
    for what, times, count in (("response_time", row.response_time, good), ("failure_time", row.failure_time, failed)):
        if times.count != count:
            yield f"the {what} of {row.name!r} counts {times.count:,} and not {count:,}"
    for times in (row.response_time, row.service_time, row.lateness, row.pickup, row.failure_time):
        yield from _times(row.name, times)


def _timing(one: Timing) -> Iterator[str]:
    good, failed = one.response_time.count, sum(one.failures.values())
    if one.count != good + failed:
        yield f"{one.kind} {one.name!r} counts {one.count:,}, but {good:,} that came through and {failed:,} failures"
    if one.failure_time.count != failed:
        yield f"the failure_time of {one.name!r} counts {one.failure_time.count:,} and not {failed:,}"
    for times in (one.response_time, one.service_time, one.failure_time):
        yield from _times(one.name, times)


def _times(name: str, times: Times) -> Iterator[str]:
    try:
        histogram(times)
    except UsageError as error:
        yield f"in {name!r} {error}"
