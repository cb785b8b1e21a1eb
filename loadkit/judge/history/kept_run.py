"""What the history keeps of a run, and of each of its endpoints and journeys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

import msgspec

from loadkit.judge.comparison.blocks import Metric
from loadkit.judge.fingerprint import Fingerprint, fingerprint
from loadkit.judge.identity import Identity
from loadkit.judge.rows import journeys_among
from loadkit.judge.threshold_results import Outcome
from loadkit.judge.times import PERCENTILES, Times
from loadkit.judge.validity import Validity
from loadkit.plan.errors import UsageError

if TYPE_CHECKING:
    from loadkit.judge.result import Result
    from loadkit.judge.rows import Row, Timing


class Revision(msgspec.Struct, frozen=True, kw_only=True):
    """What of a project was checked out when a run began; empty where that is not known."""

    commit: str = ""
    """Its hash, as git has it."""
    is_dirty: bool = False
    """Files differed from it."""
    branch: str = ""


class KeptRow(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of an endpoint, a journey, or everything."""

    name: str
    requests: int
    throughput: float
    error_rate: float
    response_time: Times


class KeptRun(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the history."""

    version: Literal[1] = 1
    time: str
    """When it began: UTC, ISO 8601."""
    revision: Revision
    fingerprint: Fingerprint
    identity: Identity
    host: str
    """Where the target was; empty for this machine, whose ports are others each time."""
    load: str
    """As reports describe it: `16 threads, 30s, closed`."""
    outcome: Outcome
    validity: Validity
    total: KeptRow
    rows: list[KeptRow]
    """Of each endpoint and journey."""
    server_cpu: float | None = None
    """CPU seconds of the server a request, where loadkit started it."""

    @property
    def is_sound(self) -> bool:
        """True if its figures are those of the load that was asked for."""
        return (
            self.outcome in ("passed", "failed")
            and self.validity != "invalid"
            and any(row.response_time.count for row in (self.total, *self.rows))
        )

    def figure(self, metric: Metric) -> float | None:
        """One of its figures, as thresholds call them, or `server_cpu`; None where it is not known.

        Percentiles that are not stored are computed from the histogram, exactly.
        """
        if metric.name == "server_cpu":
            return None if metric.label else self.server_cpu
        row = self.total if metric.label is None else next((one for one in self.rows if one.name == metric.label), None)
        if row is None:
            return None
        times = row.response_time
        if stored := next((one for one in PERCENTILES if one.name == metric.name), None):
            return stored.of(times)
        if metric.name.startswith("p"):
            try:
                return times.percentile(float(metric.name[1:]))
            except UsageError:  # its histogram cannot be read
                return None
        value: float | None = getattr(times if metric.name in ("min", "mean", "max") else row, metric.name)
        return value


def kept_run(result: Result, total: Row | Timing, revision: Revision, load: str) -> KeptRun:
    """What is kept of a result; `total` has the figures that its report is headed by, and `load` describes its load."""
    rows: list[Row | Timing] = [*result.endpoints, *journeys_among(result.timings)]
    cpu = result.server.cpu_seconds / result.requests if result.server and result.requests else None
    return KeptRun(
        time=result.started_at,
        revision=revision,
        fingerprint=fingerprint(result.environment, result.machines),
        identity=result.identity,
        host=_host(result.scenario.base_url),
        load=load,
        outcome=result.outcome,
        validity=result.validity,
        total=_row(total),
        rows=list(map(_row, rows)),
        server_cpu=cpu,
    )


def _row(row: Row | Timing) -> KeptRow:
    return KeptRow(
        name=row.name,
        requests=row.requests,
        throughput=row.throughput,
        error_rate=row.error_rate,
        response_time=row.response_time,
    )


def _host(base_url: str) -> str:
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    is_here = "unix" in parts.scheme or host in ("localhost", "::1") or host.startswith("127.")
    return "" if is_here else host
