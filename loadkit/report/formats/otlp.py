"""What a run has counted as OpenTelemetry metrics, in the messages of its own protobuf; needs the extra `otel`.

`http.client.request.duration` is that of the semantic conventions: the service time of good replies, and with
`error.type` the time until a request was given up. The response time, which begins when a request was due, has a name
of its own.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, NamedTuple, TypeAlias

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality

from loadkit._version import __version__
from loadkit.measure.counts import Counts
from loadkit.measure.histogram import HIGHEST, UNIT_SHIFT, Histogram
from loadkit.measure.recording import REQUEST
from loadkit.plan.endpoint import METHODS
from loadkit.plan.units import SECOND
from loadkit.report.escape import visible

Attributes: TypeAlias = Mapping[str, str | int]

MOST_BUCKETS: Final = 320
"""Of a histogram: twice what SDKs have, so that three decades are in buckets of 2 %."""
FINEST: Final = 8
"""The finest scale that Prometheus keeps: buckets of 0.3 %."""

_UNITS: Final = {
    "http.client.request.duration": ("s", "Duration of HTTP client requests."),
    "loadkit.response_time": ("s", "From the instant a request was due to the last byte of a good reply."),
    "loadkit.requests": ("{request}", "Requests that ended, good replies by status and failures by kind."),
    "loadkit.timing.duration": ("s", "How long journeys, steps and timers took that came through."),
    "loadkit.timing.failures": ("{failure}", "Journeys, steps and timers that failed."),
}
"""Unit and description of each metric."""


@dataclass(slots=True)
class ExponentialHistogram:
    """How often which time was measured, in buckets as OpenTelemetry has them.

    Bucket k is of seconds above base**k up to base**(k + 1), where base is 2**(2**-scale). A bucket of ours, which is a
    thousandth or half a microsecond wide, goes where its middle is.
    """

    count: int = 0
    sum: int = 0
    """Nanoseconds; so are `min` and `max`."""
    min: int = HIGHEST
    max: int = 0
    near_zero: int = 0
    """How many are in our first bucket, which has no lower bound."""
    scale: int = FINEST
    counts: dict[int, int] = field(default_factory=dict)

    def add(self, found: Histogram) -> None:
        """Add what was measured, in coarser buckets if there would be too many."""
        if not found.count:
            return
        self.count += found.count
        self.sum += found.sum
        self.min, self.max = min(self.min, found.min), max(self.max, found.max)
        coarser, counts = FINEST - self.scale, self.counts
        for low, high, count in found.buckets():
            if low:
                index = _finest(low, high) >> coarser
                counts[index] = counts.get(index, 0) + count
            else:
                self.near_zero += count
        while counts and max(counts) - min(counts) >= MOST_BUCKETS:
            # two buckets of a scale are one of the next coarser one
            self.scale -= 1
            self.counts = counts = _joined(counts)


def _joined(counts: Mapping[int, int]) -> dict[int, int]:
    joined: Counter[int] = Counter()
    for index, count in counts.items():
        joined[index >> 1] += count
    return dict(joined)


@cache
def _finest(low: int, high: int) -> int:
    """The index of a bucket of ours at the finest scale."""
    return math.ceil(math.ldexp(math.log2((low + high) / 2 / SECOND), FINEST)) - 1


@dataclass(slots=True)
class MetricRow:
    """What is sent of one endpoint, journey, step or timer."""

    response_time: ExponentialHistogram = field(default_factory=ExponentialHistogram)
    service_time: ExponentialHistogram = field(default_factory=ExponentialHistogram)
    failure_time: ExponentialHistogram = field(default_factory=ExponentialHistogram)
    statuses: Counter[int] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)

    def add(self, counts: Counts) -> None:
        """Add what was counted."""
        self.response_time.add(counts.response_time)
        self.service_time.add(counts.service_time)
        self.failure_time.add(counts.failures.time)
        self.statuses.update(counts.statuses)
        self.failures.update(counts.failures.kinds)


class Times(NamedTuple):
    """What the points of a message are of: nanoseconds since 1970, and whether of this time alone."""

    start: int
    end: int
    is_delta: bool


def export_request(
    rows: Mapping[tuple[str, str], MetricRow],
    resource: Attributes,
    about: Attributes,
    times: Times,
    pause: Callable[[], object] = lambda: None,
) -> bytes:
    """A message of rows by kind and label; `about` is said of each point, and `pause` is called between the rows."""
    request = ExportMetricsServiceRequest()
    of_resource = request.resource_metrics.add()
    _write(of_resource.resource.attributes, resource)
    scope = of_resource.scope_metrics.add()
    scope.scope.name, scope.scope.version = "loadkit", __version__
    metrics: dict[str, Any] = {}

    def metric(name: str) -> Any:
        """The one of this name, which is made when it has a point."""
        if name not in metrics:
            unit, description = _UNITS[name]
            metrics[name] = scope.metrics.add(name=name, unit=unit, description=description)
        return metrics[name]

    for (kind, label), row in rows.items():
        pause()
        if kind == REQUEST:
            attributes = {**about, **_of_endpoint(label)}
            failed = attributes | {"error.type": "_OTHER"}
            _histogram(metric, "http.client.request.duration", attributes, times, row.service_time)
            _histogram(metric, "http.client.request.duration", failed, times, row.failure_time)
            _histogram(metric, "loadkit.response_time", attributes, times, row.response_time)
            for status, count in row.statuses.items():
                _sum(metric("loadkit.requests"), attributes | {"http.response.status_code": status}, times, count)
            for failure, count in row.failures.items():
                _sum(metric("loadkit.requests"), attributes | {"error.type": visible(failure)}, times, count)
        else:
            attributes = {**about, "loadkit.timing.kind": kind, "loadkit.timing.name": visible(label)}
            _histogram(metric, "loadkit.timing.duration", attributes, times, row.response_time)
            for failure, count in row.failures.items():
                _sum(metric("loadkit.timing.failures"), attributes | {"error.type": visible(failure)}, times, count)
    return bytes(request.SerializeToString())


def rejected(reply: bytes) -> str:
    """What a collector says that it has not taken of a message that it took; empty for all."""
    try:
        partial = ExportMetricsServiceResponse.FromString(reply).partial_success
    except Exception:  # noqa: BLE001 - protobuf's own error is not the same in all of its versions
        return ""
    if not partial.rejected_data_points:
        return ""
    return f"it rejected {partial.rejected_data_points:,} data points: {partial.error_message}"


def _of_endpoint(label: str) -> dict[str, str | int]:
    method = label.partition(" ")[0]
    return {"loadkit.endpoint": visible(label), **({"http.request.method": method} if method in METHODS else {})}


def _write(attributes: Any, values: Attributes) -> None:
    for key, value in values.items():
        one = attributes.add(key=key).value
        if isinstance(value, int):
            one.int_value = value
        else:
            one.string_value = value


def _temporality(times: Times) -> Any:
    return getattr(AggregationTemporality, f"AGGREGATION_TEMPORALITY_{'DELTA' if times.is_delta else 'CUMULATIVE'}")


def _sum(metric: Any, attributes: Attributes, times: Times, count: int) -> None:
    metric.sum.is_monotonic = True
    metric.sum.aggregation_temporality = _temporality(times)
    point = metric.sum.data_points.add(start_time_unix_nano=times.start, time_unix_nano=times.end, as_int=count)
    _write(point.attributes, attributes)


def _histogram(
    metric: Callable[[str], Any], name: str, attributes: Attributes, times: Times, found: ExponentialHistogram
) -> None:
    """A point of an exponential histogram, in seconds; nothing where nothing was measured."""
    if not found.count:
        return
    kind = metric(name).exponential_histogram
    kind.aggregation_temporality = _temporality(times)
    offset, last = min(found.counts, default=0), max(found.counts, default=-1)
    point = kind.data_points.add(
        start_time_unix_nano=times.start,
        time_unix_nano=times.end,
        count=found.count,
        sum=found.sum / SECOND,
        min=found.min / SECOND,
        max=found.max / SECOND,
        scale=found.scale,
        zero_count=found.near_zero,
        zero_threshold=(1 << UNIT_SHIFT) / SECOND,
    )
    point.positive.offset = offset
    point.positive.bucket_counts.extend(found.counts.get(index, 0) for index in range(offset, last + 1))
    _write(point.attributes, attributes)
