"""Text with units at the edges, integers of nanoseconds inside, float seconds in the API."""

from __future__ import annotations

import math
import re
from datetime import timedelta
from fractions import Fraction
from typing import TypeAlias

from loadkit.plan.errors import UsageError

SECOND = 1_000_000_000
MILLISECOND = 1_000_000
MICROSECOND = 1_000

Duration: TypeAlias = str | float | timedelta
"""A span of time: `"1m30s"`, `"250ms"`, a number of seconds, or a `timedelta`."""

Rate: TypeAlias = str | float
"""Requests in a span: `"200/s"`, `"90/m"`, or a number a second."""

Size: TypeAlias = str | int
"""Bytes: `"16MB"`, `"64KiB"`, or a number."""

_SPANS = {
    "ns": 1,
    "us": MICROSECOND,
    "µs": MICROSECOND,  # the micro sign
    "μs": MICROSECOND,  # the Greek letter, which looks the same
    "ms": MILLISECOND,
    "s": SECOND,
    "m": 60 * SECOND,
    "min": 60 * SECOND,
    "h": 3600 * SECOND,
    "d": 86400 * SECOND,
}
_SIZES = {
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
}
_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
_UNIT = "|".join(sorted(_SPANS, key=len, reverse=True))
_PART = re.compile(rf"({_NUMBER})\s*({_UNIT})")
_WHOLE = re.compile(rf"(?:{_NUMBER}\s*(?:{_UNIT})\s*)+")
_RATE = re.compile(rf"({_NUMBER})\s*/\s*(s|sec|second|m|min|minute|h|hour)")
_SIZE = re.compile(rf"({_NUMBER})\s*({'|'.join(_SIZES)})", re.IGNORECASE)


def seconds(value: Duration, *, what: str = "duration") -> float:
    """Read a span of time as float seconds.

    >>> seconds("1m30s"), seconds("250ms"), seconds(2)
    (90.0, 0.25, 2.0)

    Raises `UsageError`, naming `what` and the value, for text that cannot be read, for negative
    numbers and for anything infinite.
    """
    span = _as_seconds(value)
    if span is None or not math.isfinite(span) or span < 0:
        raise UsageError(f"cannot read the {what} {value!r}; write it like '30s', '250ms' or '1m30s'")
    return span


def _as_seconds(value: object) -> float | None:
    if isinstance(value, timedelta):
        return value.total_seconds()
    if not isinstance(value, str):
        return _as_float(value)
    text = value.strip()
    if re.fullmatch(_NUMBER, text):
        return float(text)
    if not _WHOLE.fullmatch(text):
        return None
    parts = (Fraction(number) * _SPANS[unit] for number, unit in _PART.findall(text))
    return nearest(sum(parts, Fraction(0)) / SECOND)


def nearest(number: Fraction) -> float:
    """The float a person would write: 15us is 1.5e-05, and equal to 15,000 measured nanoseconds; 15 * 1e-6 is not."""
    try:
        return float(number)
    except OverflowError:
        return math.inf


def _as_float(value: object) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return float(value)
    except OverflowError:  # an int beyond 10**308
        return math.inf


def per_second(value: Rate, *, what: str = "rate") -> float:
    """Read a rate as requests a second.

    >>> per_second("200/s"), per_second("90/m"), per_second(40)
    (200.0, 1.5, 40.0)

    Raises `UsageError` for text that cannot be read and for negative or infinite numbers.
    """
    rate = _as_rate(value)
    if rate is None or not math.isfinite(rate) or rate < 0:
        raise UsageError(f"cannot read the {what} {value!r}; write it like '200/s' or '90/m'")
    return rate


def _as_rate(value: object) -> float | None:
    if not isinstance(value, str):
        return _as_float(value)
    text = value.strip()
    if re.fullmatch(_NUMBER, text):
        return float(text)
    found = _RATE.fullmatch(text)
    return nearest(Fraction(found[1]) * SECOND / _SPANS[found[2][0]]) if found else None


def size(value: Size, *, what: str = "size") -> int:
    """Read a number of bytes.

    >>> size("16MB"), size("64KiB"), size(10)
    (16000000, 65536, 10)

    Raises `UsageError` for text that cannot be read and for negative numbers.
    """
    count = _as_bytes(value)
    if count is None or not 0 <= count < math.inf:
        raise UsageError(f"cannot read the {what} {value!r}; write it like '16MB' or '64KiB'")
    return round(count)


def _as_bytes(value: object) -> float | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if not isinstance(value, str):
        return None
    text = value.strip()
    if re.fullmatch(_NUMBER, text):
        return float(text) if "." not in text else None
    found = _SIZE.fullmatch(text)
    return nearest(Fraction(found[1]) * _SIZES[found[2].upper()]) if found else None


def nanoseconds(span: float) -> int:
    """Float seconds as the integer the inside works with."""
    return round(span * SECOND)


def show_seconds(span: float | None) -> str:
    """Write a measured time in the unit a person would choose, three digits.

    >>> show_seconds(0.0000153), show_seconds(0.25), show_seconds(75.5), show_seconds(None)
    ('15.3 us', '250 ms', '75.5 s', '-')
    """
    if span is None:
        return "-"
    for unit, scale in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        # 0.9995 of a unit would be shown as "1000" of the one below
        if abs(span) * scale >= 0.9995:
            return f"{three_digits(span * scale)} {unit}"
    return f"{three_digits(span * 1e6)} us"


def show_span(span: float) -> str:
    """Write a planned time as it would be typed: `1m30s`, `30s`, `250ms`.

    >>> show_span(90), show_span(0.25), show_span(7200)
    ('1m30s', '250ms', '2h')
    """
    if span < 0.9995:
        return f"{three_digits(span * 1e3)}ms" if span else "0s"
    # rounded before it is taken apart, or 119.99999 would be 1m60s
    minutes, left = divmod(round(span, 4), 60)
    hours, minutes = divmod(int(minutes), 60)
    seconds_left = f"{left:.4f}".rstrip("0").rstrip(".")
    parts = [f"{hours}h" if hours else "", f"{minutes}m" if minutes else ""]
    return "".join([*parts, f"{seconds_left}s" if seconds_left != "0" else ""])


def show_size(count: float) -> str:
    """Write a number of bytes: `512 B`, `1.62 MB`."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale * 0.9995:
            return f"{three_digits(count / scale)} {unit}"
    return f"{count:.0f} B"


def show_rate(rate: float) -> str:
    """Write a rate: `83,412/s`, `39.9/s`."""
    return f"{rate:,.0f}/s" if rate >= 1000 else f"{three_digits(rate)}/s"


def show_count(count: int, one: str, many: str = "") -> str:
    """How many there are of something: `1 thread`, `1,200 threads`, `3 replies`."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def show_percent(share: float) -> str:
    """A share of one in whole percent: `28 %`."""
    return f"{share * 100:.0f} %"


def three_digits(number: float) -> str:
    """A number with three significant digits and no exponent; nothing of what is smaller than any figure."""
    if abs(number) < 1e-12:
        return "0"
    if not math.isfinite(number):
        return str(number)
    digits = max(0, 2 - math.floor(math.log10(abs(number))))
    text = f"{number:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if digits and "." in text else text
