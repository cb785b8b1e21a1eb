"""What several results are of, and on what they ran, as one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from loadkit.judge.bottleneck import NOTHING, Bottleneck, together
from loadkit.judge.description import ScenarioInfo
from loadkit.judge.environment import Environment, Server
from loadkit.judge.instants import whole
from loadkit.judge.merge.overlap import known_at_once, most_at_once, start_of
from loadkit.judge.result import Result
from loadkit.judge.spans import RunSpan
from loadkit.plan.units import SECOND

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


Value = TypeVar("Value")

_SETTINGS: Final = frozenset({"rate_limit", "per_host", "auto"})
"""Options of a fetch that were asked for; the others were counted."""


def merged_scenario(parts: Sequence[Result], spans: Sequence[RunSpan]) -> ScenarioInfo:
    """What was asked for in all: what adds up of runs at the same time, and otherwise what the first run had."""
    asked = [part.scenario.iterations for part in parts]
    iterations = [count for count in asked if count is not None]
    rate, most = known_at_once(spans, "rate"), known_at_once(spans, "max_threads")
    of_all: dict[str, Any] = {
        "base_url": ", ".join(sorted({span.base_url for span in spans if span.base_url})),
        "processes": int(most_at_once(spans, "processes")),
        "threads": int(most_at_once(spans, "threads")),
        "rate": None if rate is None else float(rate),
        "max_threads": None if most is None else int(most),
        "iterations": sum(iterations) if len(iterations) == len(asked) else None,
        "endpoints": _names(part.scenario.endpoints for part in parts),
        "journeys": _names(part.scenario.journeys for part in parts),
        "options": _options([part.scenario.options for part in parts]),
    }
    return _first([(start_of(part), msgspec.structs.replace(part.scenario, **of_all)) for part in parts])


def merged_bottleneck(spans: Sequence[RunSpan], scenario: ScenarioInfo) -> Bottleneck:
    """What bound all of the runs."""
    load = (scenario.threads, scenario.max_threads, scenario.rate)
    is_load_of_each = all((span.threads, span.max_threads, span.rate) == load for span in spans)
    found = [span.bottleneck or NOTHING for span in spans]
    return together(found, is_load_of_each=is_load_of_each)


def _first(found: Sequence[tuple[int, Value]]) -> Value:
    """What the part that started first has; of those in the same instant the one whose text is less."""
    return min(found, key=lambda one: (one[0], msgspec.json.encode(one[1])))[1]


def _names(parts: Iterable[Sequence[str]]) -> list[str]:
    """All names: in the order of the longest list, then others by the alphabet."""
    lists = sorted({tuple(names) for names in parts}, key=lambda names: (-len(names), names))
    return [*lists[0], *sorted({name for names in lists[1:] for name in names} - set(lists[0]))]


def _options(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What a fetch counted adds up; what was asked of it is that of all, or None where they differ."""
    names = dict.fromkeys(name for options in parts for name in sorted(options))
    found = {name: [options[name] for options in parts if name in options] for name in names}
    return {name: _same(values) if name in _SETTINGS else _added(values) for name, values in found.items()}


def _same(values: list[Any]) -> Any:
    return values[0] if all(value == values[0] for value in values) else None


def _added(values: list[Any]) -> Any:
    if all(isinstance(value, dict) for value in values):
        return _options(values)
    if all(isinstance(value, int) for value in values):
        return sum(values)
    if all(isinstance(value, int | float) for value in values):
        return sum(map(whole, values)) / SECOND
    return _same(values)


def merged_environment(parts: Sequence[Result], spans: Sequence[RunSpan]) -> Environment:
    """The machine of the first run, with what all of them used."""
    found = [part.environment for part in parts]
    clocks = {one.clock for one in found}
    of_all: dict[str, Any] = {
        "clock": clocks.pop() if len(clocks) == 1 else "mixed",
        "cpu_seconds": _seconds(one.cpu_seconds for one in found),
        "cpu_by_process": sorted((cpu for one in found for cpu in one.cpu_by_process), reverse=True),
        "peak_memory": int(most_at_once(spans, "peak_memory")),
    }
    return _first([(start_of(part), msgspec.structs.replace(part.environment, **of_all)) for part in parts])


def merged_server(parts: Sequence[Result], spans: Sequence[RunSpan]) -> Server | None:
    """Of all parts, or of none: the CPU of some would be divided by the requests of all."""
    found = [part.server for part in parts if part.server is not None]
    memory = known_at_once(spans, "server_memory")
    if len(found) < len(parts) or memory is None:
        return None
    return Server(cpu_seconds=_seconds(one.cpu_seconds for one in found), peak_memory=int(memory))


def _seconds(parts: Iterable[float]) -> float:
    return sum(map(whole, parts)) / SECOND
