"""Stored results of version 1, an object or a list of objects, as those of today."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from loadkit.judge.identity import digest
from loadkit.judge.result import Result
from loadkit.judge.summary import within
from loadkit.report.earlier import result_of_today

_OUTCOMES: Final[Mapping[str, str]] = {"not_applied": "not-applied"}
_MACHINE: Final[Mapping[str, str]] = {
    "host": "host",
    "processor": "processor",
    "cpu_count": "allowed_cpus",
    "memory": "memory",
}
_NOT_OF_THE_PLAN: Final = ("base_url", "description", "processes", "options")


def upgraded(content: Any) -> list[Result]:
    """The results in a decoded file of version 1.

    It did not store what they were of: two are taken for the same where their scenarios, but for the `base_url`, and
    thresholds are. Raises `msgspec.ValidationError` naming the place for what is no result.
    """
    return msgspec.convert(list(_results(content)), list[Result], str_keys=True)


def _results(content: Any) -> Iterator[dict[str, Any]]:
    if isinstance(content, dict) and "tests" in content:
        yield from _baseline(content["tests"])
    else:
        yield from map(_upgraded, content if isinstance(content, list) else [content])


def _baseline(tests: Any) -> Iterator[dict[str, Any]]:
    """Those of a baseline, which named the test and the machine beside them."""
    try:
        for test, saved in tests.items():
            machine = {_MACHINE[name]: value for name, value in saved["machine"].items() if name in _MACHINE}
            for number, old in enumerate(saved["results"], 1):
                new = _upgraded(old)
                new["identity"]["name"] = test if number == 1 else f"{test} #{number}"
                yield new | {"environment": new["environment"] | machine}
    except (AttributeError, KeyError, TypeError) as error:
        raise msgspec.ValidationError(f"{type(error).__name__}: {error}") from None


def _upgraded(old: dict[str, Any]) -> dict[str, Any]:
    scenario, started, duration = old.get("scenario"), old.get("started_at"), old.get("duration")
    if not (isinstance(scenario, dict) and isinstance(started, str) and isinstance(duration, int | float)):
        return old
    new = {name: value for name, value in result_of_today(old).items() if name != "version"}
    try:
        return new | {
            "identity": {"name": scenario.get("name"), "plan": _plan(scenario, old.get("thresholds", ()))},
            "spans": [{"start": started, "length": duration}],
            "outcome": _OUTCOMES.get(old.get("outcome", ""), old.get("outcome")),
            "intervals": list(_intervals(old.get("intervals", ()), duration)),
        }
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise msgspec.ValidationError(f"{type(error).__name__}: {error}") from None


def _plan(scenario: dict[str, Any], thresholds: Any) -> str:
    plan = {name: value for name, value in scenario.items() if name not in _NOT_OF_THE_PLAN}
    return digest([plan, [one["threshold"] for one in thresholds if not one.get("implied")]])


def _intervals(old: Any, duration: float) -> Iterator[dict[str, Any]]:
    for one in old:
        yield one | {"measured": within(one["start"], one["length"], duration)}
