"""`loadkit run --replay` on the command line: the requests of access logs take the place of a scenario's own."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

from loadkit.cli.console import say
from loadkit.plan.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from loadkit.plan.scenario import Scenario

_DECIDED: Final = (
    *("rate", "phase", "arrivals", "iterations", "per_thread", "warmup", "think_time", "pacing"),
    *("method", "data", "json", "form", "content_type", "path_as_is", "once"),
)
"""Parameters of `loadkit run` that say what logs say."""


def check_replay(given: Mapping[str, Any]) -> None:
    """Refuse what stands on the command line beside `--replay` and would be unheard, or without it."""
    if not given.get("replay"):
        for name in ("speed", "log_format", "all_methods"):
            if name in given:
                raise UsageError(f"--{name.replace('_', '-')} belongs to --replay access.log")
    elif "on" in given:
        raise UsageError("workers on other machines have no log to replay; run a part on each: --part 1/2")
    elif name := next((name for name in _DECIDED if name in given), ""):
        option = {"per_thread": "iterations-per-thread"}.get(name, name).replace("_", "-")
        raise UsageError(f"with --replay the log says what is sent, and when; leave --{option} out")


def replayed(
    scenarios: Sequence[Scenario],
    logs: Sequence[Path],
    *,
    speed: str | None,
    log_format: str | None,
    all_methods: bool,
    duration: str | None,
    max_threads: int | None,
    quiet: bool,
) -> list[Scenario]:
    """Scenarios with the requests of logs at their instants; what was found in them is said unless `quiet`.

    Without them a scenario may be closed, which has no `max_threads`.
    """
    from loadkit.importer.access_log import log_parser
    from loadkit.importer.replay import replay
    from loadkit.plan.scenario import addressed
    from loadkit.plan.units import nanoseconds, seconds

    for one in scenarios:
        # before a long log is read
        addressed(one)
    found = replay(
        logs,
        log_parser(log_format),
        speed=_speed(speed),
        within=None if duration is None else nanoseconds(seconds(duration)),
        all_methods=all_methods,
    )
    if not quiet:
        say("\n  ".join(found.notes))
    made = [found.of(one) for one in scenarios]
    return made if max_threads is None else [one.replace(max_threads=max_threads) for one in made]


def _speed(text: str | None) -> Fraction:
    """How many times as fast."""
    if text is None:
        return Fraction(1)
    number = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)(%|x)", text)
    if not number or not Fraction(number[1]):
        raise UsageError(f"--speed takes a percentage like 200%, not {text!r}")
    return Fraction(number[1]) / (100 if number[2] == "%" else 1)
