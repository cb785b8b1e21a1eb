"""Limits on a result, as people write them: `p99 < 250ms`, `GET /search: error_rate < 1%`, `p(95)<200`."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from loadkit.plan.errors import UsageError
from loadkit.plan.units import nearest, per_second, seconds, show_rate, show_seconds, three_digits

OPERATORS: Final[dict[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
}

# k6's names beside ours
_ALIASES = {"avg": "mean", "med": "p50", "rate": "error_rate", "count": "requests", "errors": "failures"}
_TIMES = ("min", "mean", "max")
_COUNTED = ("throughput", "error_rate", "requests", "failures")
_FORM = re.compile(
    r"(?:(?P<time>response_time|service_time)[.\s]\s*)?"
    r"(?P<metric>p\(?[0-9]+(?:\.[0-9]+)?\)?|[a-z_]+)\s*"
    r"(?P<operator><=|>=|==|<|>)\s*(?P<limit>\S.*)",
    re.DOTALL,
)
LONGEST: Final = 2000
"""Characters of a threshold; the label of an endpoint may be long."""

_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
_RIGHT = "write it like 'p99 < 250ms', 'throughput > 500/s' or 'GET /search: error_rate < 1%'"


@dataclass(frozen=True, slots=True)
class Threshold:
    """A limit on one figure of a result.

    `metric` is `p<number>`, `min`, `mean`, `max` (of the response time, or of `time` if it says
    `service_time`), `throughput`, `error_rate`, `requests` or `failures`; `limit` is in seconds, in
    requests a second, a share of 1, or a count. `label` names one endpoint's row; None is the total.
    """

    text: str
    label: str | None
    time: str
    metric: str
    comparison: str
    limit: float

    @property
    def percentile(self) -> float | None:
        """The rank in percent that is limited, if a percentile is."""
        return float(self.metric[1:]) if self.metric.startswith("p") else None

    @property
    def limits_errors(self) -> bool:
        """It says how many failures are too many."""
        return self.metric in ("error_rate", "failures")

    def passes(self, value: float | None) -> bool:
        """A figure that was never measured passes no threshold."""
        return value is not None and OPERATORS[self.comparison](value, self.limit)

    def show(self, value: float | None) -> str:
        """A value of this metric as a person reads it."""
        if value is None:
            return "nothing measured"
        if self.metric == "throughput":
            return show_rate(value)
        if self.metric == "error_rate":
            return f"{three_digits(value * 100)} %"
        return f"{value:,.0f}" if self.metric in ("requests", "failures") else show_seconds(value)


def threshold(text: str) -> Threshold:
    """Read one threshold.

    >>> threshold("GET /search: p99 <= 250ms").limit
    0.25

    Times need a unit, except in k6's spelling (`p(95)<200`, `avg<200`), which means milliseconds.
    Raises `UsageError` for text that cannot be read.
    """
    if isinstance(text, str) and len(text) > LONGEST:
        raise UsageError(f"cannot read the threshold {text[:60]!r}…, which has {len(text):,} characters; {_RIGHT}")
    label, form = _parted(text.strip()) if isinstance(text, str) else (None, "")
    found = _FORM.fullmatch(form)
    if not found:
        order = next((right for wrong, right in (("=<", "<="), ("=>", ">=")) if wrong in form), "")
        raise UsageError(f"cannot read the threshold {text!r}; {f'write {order}' if order else _RIGHT}")
    metric = _metric(found["metric"], text)
    if found["time"] and metric in _COUNTED:
        raise UsageError(f"cannot read the threshold {text!r}: {found['time']} has no {metric}; {_RIGHT}")
    return Threshold(
        text=text.strip(),
        label=label,
        time=found["time"] or "response_time",
        metric=metric,
        comparison=found["operator"],
        limit=_limit(found["metric"], metric, found["limit"], text),
    )


def _parted(text: str) -> tuple[str | None, str]:
    """The label before the last colon that a blank follows, and the rest."""
    head, colon, form = text.rpartition(":")
    label = head.rstrip()
    return (label, form.lstrip()) if colon and label and form[:1].isspace() else (None, text)


def _metric(written: str, text: str) -> str:
    name = _ALIASES.get(written, written)
    rank = re.fullmatch(r"p\(?(\d+(?:\.\d+)?)\)?", name)
    if rank and 0 < float(rank[1]) <= 100 and ("(" in name) == (")" in name):
        return f"p{rank[1]}"
    if name in (*_TIMES, *_COUNTED):
        return name
    if re.fullmatch(r"p9{3,}", written):
        raise UsageError(f"cannot read the threshold {text!r}: there is no {written!r}; write p99.{written[3:]}")
    raise UsageError(
        f"cannot read the threshold {text!r}: there is no {written!r}; "
        "use p99 (or any percentile), mean, min, max, throughput, error_rate, requests or failures"
    )


def _limit(written: str, metric: str, limit: str, text: str) -> float:
    if metric == "error_rate":
        _check_share(written, limit, text)
    if metric not in _COUNTED and re.fullmatch(_NUMBER, limit):
        limit = _with_unit(written, limit, text)
    try:
        if metric == "throughput":
            return per_second(limit)
        if metric == "error_rate":
            return _share(limit)
        if metric in ("requests", "failures"):
            return _count(limit)
        return seconds(limit)
    except (UsageError, ValueError, OverflowError):  # the last: a count beyond 10**308
        raise UsageError(f"cannot read the threshold {text!r}; {_RIGHT}") from None


def _check_share(written: str, limit: str, text: str) -> None:
    """Of two likely mistakes, the form that is right: `error_rate < 1` held for all but every request."""
    number = limit.removesuffix("/s").strip()
    if not re.fullmatch(_NUMBER, number) or (number == limit and float(number) < 1):
        return
    if written == "rate":
        raise UsageError(
            f"cannot read the threshold {text!r}: rate is the share of requests that failed, like 'rate < 1%'; "
            "of requests a second write 'throughput > 500/s'"
        )
    if number == limit and float(number) <= 100:
        raise UsageError(
            f"cannot read the threshold {text!r}: as a share, 1 is every request; "
            f"of percent write '{written} < {number}%'"
        )


def _share(limit: str) -> float:
    number = limit.removesuffix("%").strip()
    if not re.fullmatch(_NUMBER, number):
        raise ValueError(limit)
    share = Fraction(number) / (100 if limit.endswith("%") else 1)
    if share > 1:
        raise ValueError(limit)
    return nearest(share)


def _count(limit: str) -> float:
    # 1,000 and 1_000 are a thousand; 1,5 is not fifteen
    if not re.fullmatch(r"[0-9]+|[0-9]{1,3}([,_][0-9]{3})+", limit):
        raise ValueError(limit)
    return float(int(re.sub(r"[,_]", "", limit)))


def _with_unit(written: str, limit: str, text: str) -> str:
    # only k6 writes times without a unit, and it means milliseconds
    if "(" in written or written in ("avg", "med"):
        return f"{limit}ms"
    right = f"'{written} < {limit}{'ms' if float(limit) >= 1 else 's'}'"
    raise UsageError(f"cannot read the threshold {text!r}: {limit} has no unit; write it like {right}")
