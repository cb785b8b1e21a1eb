"""Parts of a run in which the load rises, stays or falls: `ramp("30s", to=50)`, `hold("2m")`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal, TypeAlias

from loadkit.plan.errors import UsageError
from loadkit.plan.units import SECOND, Duration, per_second, seconds

Level: TypeAlias = int | float | str
"""How much load: a number of threads, or of arrivals a second; `"200/s"` is always the latter."""

Kind: TypeAlias = Literal["ramp", "hold"]

_RIGHT = "write it like ramp:30s:50, ramp:30s:200/s, hold:2m or hold:2m:50"


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A part of a run; made by `ramp` and `hold`.

    `start` and `to` are the levels at its ends, None for the one at which the phase before it ended.
    """

    kind: Kind
    duration: float
    start: Level | None
    to: Level | None
    name: str | None = None

    def __repr__(self) -> str:
        shown = {"start": self.start, "to" if self.kind == "ramp" else "at": self.to, "name": self.name}
        said = [f"{field}={value!r}" for field, value in shown.items() if value is not None]
        return f"{self.kind}({', '.join([f'{self.duration:g}', *said])})"


def ramp(duration: Duration, to: Level, *, start: Level | None = None, name: str | None = None) -> Phase:
    """Change the load evenly over `duration`, from `start` or where the phase before it ended (0 at first).

    One of no length is a step. Raises `UsageError` for values it cannot use.
    """
    _level(to, what="to")
    if start is not None:
        _level(start, what="start")
    return Phase(kind="ramp", duration=seconds(duration), start=start, to=to, name=_name(name))


def hold(duration: Duration, *, at: Level | None = None, name: str | None = None) -> Phase:
    """Keep the load for `duration`, at the level of `at` or where the phase before it ended.

    The first phase of all holds the scenario's `threads` or `rate` unless it says `at`. Raises `UsageError` for
    values it cannot use.
    """
    if at is not None:
        _level(at, what="at")
    span = seconds(duration)
    if not span:
        raise UsageError("a hold takes a duration like '30s'; one of no length holds nothing")
    return Phase(kind="hold", duration=span, start=at, to=at, name=_name(name))


def phase(text: str) -> Phase:
    """Read a phase as the command line has it.

    >>> phase("ramp:30s:50"), phase("hold:2m")
    (ramp(30, to=50.0), hold(120))

    Raises `UsageError` for text that cannot be read.
    """
    kind, *rest = text.split(":")
    try:
        if kind == "ramp" and len(rest) == 2:
            return ramp(rest[0], _written(rest[1]))
        if kind == "hold" and len(rest) in (1, 2):
            return hold(rest[0], at=_written(rest[1]) if len(rest) == 2 else None)
    except UsageError as error:
        raise UsageError(f"cannot read the phase {text!r}: {error}") from None
    raise UsageError(f"cannot read the phase {text!r}; {_RIGHT}")


def _written(text: str) -> Level:
    return text if "/" in text else _level(text, what="level")


def _level(level: object, *, what: str) -> float:
    if isinstance(level, bool) or not isinstance(level, int | float | str):
        raise UsageError(f"{what} takes a number of threads like 50, or a rate like '200/s', not {level!r}")
    try:
        return per_second(level, what=what)
    except UsageError:
        raise UsageError(f"{what} takes a number of threads like 50, or a rate like '200/s', not {level!r}") from None


def _name(name: str | None) -> str | None:
    if name is not None and (not isinstance(name, str) or not name.strip() or ":" in name):
        raise UsageError(f"a phase takes a name like 'peak', without a colon, not {name!r}")
    return name


def says_rate(phases: Sequence[Phase]) -> bool:
    """True if a level is written as a rate (`"200/s"`), which makes the workload open."""
    levels = [level for one in phases for level in (one.start, one.to)]
    return any(isinstance(level, str) and "/" in level for level in levels)


def threads_beside_rates(phases: Sequence[Phase]) -> float | None:
    """A level that is a number of threads where others are written as rates; None where all are of one kind."""
    levels = [level for one in phases for level in (one.start, one.to) if level is not None]
    plain = [per_second(level) for level in levels if not (isinstance(level, str) and "/" in level)]
    # nothing is nothing, of threads and of arrivals
    return next(filter(None, plain), None) if says_rate(phases) else None


def lasting(phases: Sequence[Phase], span: float) -> tuple[Phase, ...]:
    """The same phases, all longer or shorter in proportion, so that they last `span` seconds in all."""
    total = sum(one.duration for one in phases)
    return tuple(replace(one, duration=one.duration * span / total) for one in phases)


@dataclass(frozen=True, slots=True)
class Segment:
    """A phase with its place in the run: nanoseconds from the start of what is measured, and the levels at its ends."""

    name: str
    start: int
    end: int
    first: float
    last: float

    @property
    def length(self) -> int:
        """Nanoseconds."""
        return self.end - self.start

    def level(self, instant: int) -> float:
        """How much load there is at an instant within it."""
        if not self.length:
            return self.last
        return self.first + (self.last - self.first) * (instant - self.start) / self.length

    def amount(self) -> Fraction:
        """How many arrivals there are in it, where its levels are rates: the area under it, exactly."""
        return (as_fraction(self.first) + as_fraction(self.last)) / 2 * self.length / SECOND

    def reached(self, amount: float) -> int:
        """The instant at which `amount` arrivals have come since it began, to the nanosecond.

        The inverse of `n = a t + s t**2 / 2`, with the rate `a` at first and its slope `s`, in the form that does
        not cancel: `t = 2 n / (a + sqrt(a**2 + 2 s n))`.
        """
        slope = (self.last - self.first) * SECOND / self.length
        # the end of a ramp to 0 has no arrivals left, and rounding would make the root imaginary
        root = math.sqrt(max(0.0, self.first * self.first + 2 * slope * amount))
        after = round(2 * amount / (self.first + root) * SECOND) if amount > 0 else 0
        return min(self.start + after, self.end - 1)


def as_fraction(number: float) -> Fraction:
    """A number as it was written: 0.1 is a tenth, and not the nearest binary float."""
    return Fraction(str(number))


def segments_of(phases: Sequence[Phase], base: float) -> tuple[Segment, ...]:
    """Phases one after the other, each with its levels and a name of its own; `base` is what a first hold holds.

    Phases of the same name are numbered.
    """
    placed = []
    at, level = 0, 0.0
    for number, one in enumerate(phases):
        first = level if one.start is None else per_second(one.start)
        if number == 0 and one.start is None and one.kind == "hold":
            first = base
        level = first if one.to is None else per_second(one.to)
        end = at + round(one.duration * SECOND)
        placed.append((one.name or one.kind, at, end, first, level))
        at = end
    many, seen = Counter(name for name, *_ in placed), Counter[str]()
    named = []
    for name, start, end, first, last in placed:
        seen[name] += 1
        named.append(Segment(f"{name} {seen[name]}" if many[name] > 1 else name, start, end, first, last))
    return tuple(named)
