"""Stored results of version 1, and of version 2 with the fields that it had at first, as those of today."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from loadkit.judge.identity import digest
from loadkit.judge.result import Result, Stored
from loadkit.judge.summary import within

_EARLIER: Final = ("verdict", "bound", "bound_by")
_OUTCOMES: Final[Mapping[str, str]] = {"not_applied": "not-applied"}
_MACHINE: Final[Mapping[str, str]] = {
    "host": "host",
    "processor": "processor",
    "cpu_count": "allowed_cpus",
    "memory": "memory",
}
_NOT_OF_THE_PLAN: Final = ("base_url", "description", "processes", "options")


def may_be_earlier(content: bytes) -> bool:
    """True for a file of results with the fields that they had at first, and for few others."""
    return any(f'"{name}"'.encode() in content for name in _EARLIER)


def of_today(content: Any) -> Stored:
    """A decoded file of version 2; `msgspec.ValidationError` naming the place for what is none."""
    if isinstance(content, dict) and isinstance(content.get("results"), list):
        content = content | {"results": [_result_of_today(one) for one in content["results"]]}
    return msgspec.convert(content, Stored, str_keys=True)


def _result_of_today(old: Any) -> Any:
    """A decoded result with the fields of today; what is none stays as it is, and is refused where that is known."""
    if not isinstance(old, dict):
        return old
    new = _with_bottleneck(old)
    if isinstance(spans := new.get("spans"), list):
        new["spans"] = [_with_bottleneck(span) if isinstance(span, dict) else span for span in spans]
    return {"validity" if name == "verdict" else name: value for name, value in new.items()}


def _with_bottleneck(old: dict[str, Any]) -> dict[str, Any]:
    """A result, or the span of a run, whose bottleneck is one value."""
    new = {name: value for name, value in old.items() if name not in ("bound", "bound_by")}
    if old.get("bound") is not None:
        new["bottleneck"] = {"cause": old.get("bound_by"), "sentence": old["bound"]}
    return new


def of_version_1(content: Any) -> list[Result]:
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
    new = {name: value for name, value in _result_of_today(old).items() if name != "version"}
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
