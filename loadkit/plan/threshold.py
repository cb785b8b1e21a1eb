"""Limits on a result, as people write them: `p99 < 250ms`, `GET /search: error_rate < 1%`, `p(95)<200`."""

from __future__ import annotations

import copy
import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

from loadkit.plan.errors import UsageError
from loadkit.plan.units import Duration, nearest, per_second, seconds, show_rate, show_seconds, show_span, three_digits

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

LONGEST_WINDOW: Final = 600
"""Seconds: a figure of each is kept for so long."""

_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
_RIGHT = "write it like 'p99 < 250ms', 'throughput > 500/s' or 'GET /search: error_rate < 1%'"


@dataclass(frozen=True, slots=True)
class Threshold:
    """A limit on one figure of a result, of the whole run or `over` any so many seconds of it.

    >>> Threshold("GET /search: p99 <= 250ms").limit
    0.25
    >>> Threshold("p99 < 1s", over="10s", abort=True).text
    'p99 < 1s over 10s or abort'

    Args:
        text: such as `"p99 < 250ms"`; it may say the others, too: `"p99 < 1s over 10s or abort"`. Times need a unit,
            except in k6's spelling (`p(95)<200`, `avg<200`), which means milliseconds.
        over: it must hold in any so many seconds of the run, one after the other: whole seconds, up to 10 minutes.
        abort: the run ends when it is missed.

    `metric` is `p<number>`, `min`, `mean`, `max` (of the response time, or of `time` if it says
    `service_time`), `throughput`, `error_rate`, `requests` or `failures`; `limit` is in seconds, in
    requests a second, a share of 1, or a count. `label` names one endpoint's row; None is the total.

    Raises `UsageError` for text that cannot be read.
    """

    text: str
    over: Duration | None = None
    abort: bool = False
    label: str | None = field(init=False)
    time: str = field(init=False)
    metric: str = field(init=False)
    comparison: str = field(init=False)
    limit: float = field(init=False)

    def __post_init__(self) -> None:
        text = self.text
        if isinstance(text, str) and len(text) > LONGEST:
            raise UsageError(f"cannot read the threshold {text[:60]!r}…, which has {len(text):,} characters; {_RIGHT}")
        label, form = _parted(text.strip()) if isinstance(text, str) else (None, "")
        form, written, abort = _window(form)
        found = _FORM.fullmatch(form)
        if not found:
            raise UsageError(_unreadable(text, form))
        metric = _metric(found["metric"], text)
        limit = _limit(found["metric"], metric, found["limit"], text)
        if found["time"] and metric in _COUNTED:
            raise UsageError(f"cannot read the threshold {text!r}: {found['time']} has no {metric}; {_RIGHT}")
        over, abort = _window_length(self, written), abort or self.abort
        whole = form if label is None else f"{label}: {form}"
        if abort and over is None:
            raise UsageError(
                f"a run is ended for its last seconds, and {whole!r} is about all of it; "
                f"write it like '{whole} over 10s'"
            )
        read = {
            "text": text.strip() if over is None else f"{whole} over {show_span(over)}{' or abort' * abort}",
            "over": over,
            "abort": abort,
            "label": label,
            "time": found["time"] or "response_time",
            "metric": metric,
            "comparison": found["operator"],
            "limit": limit,
        }
        for name, value in read.items():
            object.__setattr__(self, name, value)

    def named(self, label: str) -> Threshold:
        """The same limit on one row."""
        made = copy.copy(self)
        object.__setattr__(made, "label", label)
        object.__setattr__(made, "text", f"{label}: {self.text}")
        return made

    @property
    def percentile(self) -> float | None:
        """The rank in percent that is limited, if a percentile is."""
        return float(self.metric[1:]) if self.metric.startswith("p") else None

    @property
    def limits_errors(self) -> bool:
        """It says how many failures are too many."""
        return self.metric in ("error_rate", "failures")

    @property
    def is_upper(self) -> bool:
        """The figure is limited from above."""
        return self.comparison.startswith("<") or self.limits_errors

    @property
    def is_time(self) -> bool:
        """It limits how long something takes."""
        return self.metric not in _COUNTED

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
    """Read one threshold; raises `UsageError` for text that cannot be read."""
    return Threshold(text)


def _parted(text: str) -> tuple[str | None, str]:
    """The label before the last colon that a blank follows, and the rest."""
    head, colon, form = text.rpartition(":")
    label = head.rstrip()
    return (label, form.lstrip()) if colon and label and form[:1].isspace() else (None, text)


def _window(form: str) -> tuple[str, str | None, bool]:
    """What is limited, then over how long, and whether a miss aborts, where the text says so."""
    words = form.split()
    abort = words[-2:] == ["or", "abort"]
    words = words[:-2] if abort else words
    if "over" not in words:
        return (" ".join(words) if abort else form), None, abort
    at = words.index("over")
    return " ".join(words[:at]), " ".join(words[at + 1 :]), abort


def _window_length(given: Threshold, written: str | None) -> float | None:
    """The seconds of a window, which the text says or the argument; `UsageError` for those that cannot be."""
    if written is not None and given.over is not None:
        raise UsageError(f"the threshold {given.text!r} says itself over how long; leave over={given.over!r} out")
    if not isinstance(given.abort, bool):
        raise UsageError(f"abort takes True or False, not {given.abort!r}")
    span = given.over if written is None else written
    if span is None:
        return None
    try:
        known = seconds(span)
    except UsageError:
        known = math.nan
    if known in range(1, LONGEST_WINDOW + 1):
        return known
    raise UsageError(
        f"cannot read the threshold {given.text!r}: it holds over whole seconds, from 1s to "
        f"{show_span(LONGEST_WINDOW)}, like 'p99 < 1s over 10s', and not over {span!r}"
    )


def _unreadable(text: object, form: str) -> str:
    """What is wrong with a form that cannot be read, as far as it shows, and the right one."""
    if order := next((right for wrong, right in (("=<", "<="), ("=>", ">=")) if wrong in form), ""):
        return f"cannot read the threshold {text!r}; write {order}"
    found = re.search(r"\s(for|in|within|during|last)\s", form)
    right = f"a window is written like 'p99 < 1s over 10s', without {found[1]!r}" if found else _RIGHT
    return f"cannot read the threshold {text!r}; {right}"


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
        raise UsageError(_unreadable(text, limit)) from None


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
