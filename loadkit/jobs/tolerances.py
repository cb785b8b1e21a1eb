"""Which figures of a comparison decide, and how much worse each of them may become."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from loadkit.judge.comparison.blocks import Metric
from loadkit.judge.comparison.calibration import Calibration
from loadkit.judge.comparison.figures import PERCENTS, SERVER_CPU
from loadkit.plan.errors import UsageError

TOLERANCE: Final = 0.05
ERRORS: Final = 0.001
"""How much the error rate may grow, as a share of the requests."""

MOST: Final = 5
"""How many times the default a tolerance grows where less cannot be seen; beyond, comparisons cannot tell."""
VISIBLE: Final = 0.10
"""The p99 and single endpoints decide where so small a change can be seen."""

DEMO: Final = "demo"
"""The control that is no endpoint of the scenario, but the demo server beside it."""

ALL: Final = "all"
"""Stands for the figures that decide in each comparison, but for the error rate."""

COMPARED: Final = ("throughput", "error_rate", "mean", *PERCENTS, SERVER_CPU.name)


def default_tolerances(*, is_open: bool, has_server: bool) -> dict[Metric, float]:
    """The figures that decide in each comparison.

    Args:
        is_open: throughput decides nothing in an open workload, whose plan it is.
        has_server: the CPU of the servers of both versions is known, for loadkit starts them.
    """
    found = {Metric("p50"): TOLERANCE, Metric("error_rate"): ERRORS}
    if not is_open:
        found[Metric("throughput")] = TOLERANCE
    if has_server:
        found[SERVER_CPU] = TOLERANCE
    return found


def named_tolerances(
    named: Mapping[str, float], defaults: Iterable[Metric], *, labels: Sequence[str] | None, has_server: bool
) -> dict[Metric, float]:
    """The figures that a user names; `UsageError` for those that there are not.

    Args:
        named: how much worse they may become, by their names.
        defaults: the figures for which `ALL` stands.
        labels: what may be requested; None where that is known only once it is, as of journeys.
        has_server: the CPU of the servers of both versions is known.
    """
    found = {metric: named[ALL] for metric in defaults if ALL in named and not metric.is_share}
    return found | {
        _metric(name, labels, has_server=has_server): tolerance for name, tolerance in named.items() if name != ALL
    }


def _metric(text: str, labels: Sequence[str] | None, *, has_server: bool) -> Metric:
    label, _, name = text.rpartition(": ")
    if name not in COMPARED:
        raise UsageError(f"there is no figure {name!r} to compare; use one of {', '.join(COMPARED)}")
    if label and labels is not None and label not in labels:
        known = ", ".join(map(repr, labels))
        raise UsageError(f"the tolerance of {text!r} names no endpoint of the scenario; there are {known}")
    if name == SERVER_CPU.name and (label or not has_server):
        raise UsageError(f"{text!r} is known of all requests, and where loadkit starts the servers of both versions")
    return Metric(name, label if label and (labels is None or len(labels) > 1) else None)


def visible_tolerances(
    calibration: Calibration,
    defaults: Mapping[Metric, float],
    named: Mapping[Metric, float],
    budget: float,
    control: Metric | None = None,
) -> dict[Metric, float]:
    """The figures that decide where it is known how small a change can be seen, and what is tolerated of each.

    Of `defaults` it is what they have, or what can be seen within the budget if that is more (but no more than `MOST`
    times as much); of those that are `named` what they have. The p99, and p50 and p99 of single endpoints, decide
    beside these where changes of `VISIBLE` can be seen, but for the `control`.
    """
    room = calibration.room(budget)
    own = {one.key: one for one in calibration.figures if one.key not in named}
    more = [one for key, one in own.items() if key not in defaults and _may_decide(key, control)]
    while True:
        deciding = len({*defaults, *named}) + len(more)
        seen = [one for one in more if one.resolution(room, deciding) <= VISIBLE]
        if len(seen) == len(more):
            break
        # fewer figures share the chance of error, so that of each smaller changes can be seen
        more = seen
    # where the budget has no room for a comparison, nothing is known of it
    found = {key: one.resolution(room, deciding) for key, one in own.items()}
    least = {key: _rounded_up(share) for key, share in found.items() if share < math.inf}
    tolerances = {
        key: min(MOST * tolerance, max(tolerance, least.get(key, 0.0))) for key, tolerance in defaults.items()
    }
    return {**tolerances, **{one.key: max(TOLERANCE, least[one.key]) for one in more}, **named}


def _may_decide(metric: Metric, control: Metric | None) -> bool:
    if control and metric.label == control.label:
        return False
    return metric.name == "p99" or (metric.name == "p50" and metric.label is not None)


def control_of(label: str, named: Mapping[Metric, float], *, labels: Sequence[str] | None) -> Metric:
    """The figure of a control: an endpoint of the scenario, or the demo server.

    `labels` as in `named_tolerances`. Raises `UsageError` where there is no such endpoint, no other one, or its figures
    are to decide.
    """
    if labels is not None and label not in (*labels, DEMO):
        known = ", ".join(map(repr, labels))
        raise UsageError(f"the control {label!r} is no endpoint of the scenario; there are {known}, and {DEMO!r}")
    if labels is not None and tuple(labels) == (label,):
        raise UsageError(f"{label} is the only endpoint and cannot be the control; use {DEMO!r}")
    if any(one.label == label for one in named):
        raise UsageError(f"{label} is the control and decides nothing; leave its tolerance out")
    return Metric("p50", label)


def _rounded_up(share: float) -> float:
    """To a tenth of a percent, as a person would write it."""
    return math.ceil(share * 1000) / 1000


def tolerances_of(texts: Sequence[str]) -> dict[str, float]:
    """Tolerances as text: `p99=10%`, `GET /search: p50=0.1`, `10%` of `ALL`; `UsageError` for others."""
    found = {}
    for text in texts:
        name, equals, share = text.rpartition("=")
        number = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*(%?)", share.strip())
        name = name if equals else ALL
        if not name or not number:
            raise UsageError(f"cannot read the tolerance {text!r}; write it like p99=10%")
        found[name.strip()] = float(number[1]) / (100 if number[2] else 1)
    return found
