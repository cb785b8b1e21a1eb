"""How long a thread waits between its requests: always as long, somewhere in a range, or as a function says."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from random import Random
from typing import Final, TypeAlias

from loadkit.plan.errors import Halt, UsageError, raised
from loadkit.plan.units import MILLISECOND, Duration, nanoseconds, seconds, show_span

# not to hammer a server that is coming up, and to notice soon that it is
BACK_OFF: Final = 100 * MILLISECOND
"""Nanoseconds that a thread rests after it was refused a connection."""

ThinkTime: TypeAlias = Duration | tuple[Duration, Duration] | Callable[[Random], float]
"""`"500ms"`, `("1s", "3s")` for anything between, or a function that draws seconds from a seeded `random.Random`."""

Thought: TypeAlias = float | tuple[float, float] | Callable[[Random], float]
"""A think time as a scenario keeps it: seconds."""


class PauseError(Halt):
    """A function of the user's did not say how long to wait."""


def parse_think_time(value: object) -> Thought:
    """Accept a think time; `UsageError` for what is none, and for a function that does not take a `random.Random`."""
    if callable(value):
        _check_signature(value)
        return value
    if isinstance(value, tuple | list):
        if len(value) != 2:
            raise UsageError(f"think_time takes a range like ('1s', '3s'), not {value!r}")
        least, most = (seconds(end, what="think_time") for end in value)
        if least > most:
            raise UsageError(f"think_time takes a range like ('1s', '3s'), the smaller end first, not {value!r}")
        return least, most
    return seconds(value, what="think_time")  # type: ignore[arg-type]  # it says what is wrong with others


def _check_signature(draw: Callable[..., object]) -> None:
    """A function is called when a run begins, and not when a value is made."""
    try:
        inspect.signature(draw).bind(None)
    except ValueError:  # some of C have none
        return
    except TypeError as error:
        name = getattr(draw, "__name__", "it")
        raise UsageError(f"think_time: {name} takes a random.Random and returns seconds like 1.5: {error}") from None


def draw_pause(draw: Callable[[Random], float], source: Random) -> int:
    """Nanoseconds that a user's function drew; `PauseError` naming what it returned or raised instead."""
    name = getattr(draw, "__name__", "it")
    try:
        span = draw(source)
    except (Exception, SystemExit) as error:
        raise PauseError(f"think_time: {name} raised {raised(error)}") from error
    if not isinstance(span, int | float) or isinstance(span, bool) or not 0 <= span < math.inf:
        raise PauseError(f"think_time: {name} takes a random.Random and returns seconds like 1.5, not {span!r}")
    return nanoseconds(span)


def pauses(think: Thought, seed: int, thread: int) -> Callable[[], int] | None:
    """What draws the pauses of one thread, nanoseconds, the same ones for the same seed; None where there are none.

    The first one is drawn now: `UsageError` for a function that draws none.
    """
    if not think:
        return None
    source = Random(f"think:{seed}:{thread}")
    if isinstance(think, tuple):
        least, most = map(nanoseconds, think)
        return lambda: source.randint(least, most)
    if callable(think):
        return _drawing(think, source)
    always = nanoseconds(think)
    return lambda: always


def _drawing(draw: Callable[[Random], float], source: Random) -> Callable[[], int]:
    try:
        first = [draw_pause(draw, source)]
    except PauseError as error:
        raise UsageError(str(error)) from error
    return lambda: first.pop() if first else draw_pause(draw, source)


def longest_pause(think: Thought) -> int:
    """Nanoseconds over which the beginnings of threads are spread; 0 where only a function knows."""
    if callable(think):
        return 0
    return nanoseconds(think[1] if isinstance(think, tuple) else think)


def describe_think_time(think: Thought) -> str:
    """A think time for a person: `500ms`, `1s to 3s`, `drawn by patience`, nothing where there is none."""
    if callable(think):
        return f"drawn by {getattr(think, '__name__', 'a function')}"
    if isinstance(think, tuple):
        return f"{show_span(think[0])} to {show_span(think[1])}"
    return show_span(think) if think else ""
