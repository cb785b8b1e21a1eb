"""Which figures of a comparison decide, and how much worse each of them may become."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from loadkit.judge.comparison.blocks import Metric
from loadkit.judge.comparison.figures import PERCENTS, SERVER_CPU
from loadkit.plan.errors import UsageError

TOLERANCE: Final = 0.05
ERRORS: Final = 0.001
"""How much the error rate may grow, as a share of the requests."""

COMPARED: Final = ("throughput", "error_rate", "mean", *PERCENTS, SERVER_CPU.name)


def deciding(
    named: Mapping[str, float], *, labels: Sequence[str] | None, is_open: bool, has_server: bool
) -> dict[Metric, float]:
    """The figures that decide: those of each comparison, and those that are named; `UsageError` for unknown ones.

    Args:
        named: how much worse they may become, by their names.
        labels: what may be requested; None where that is known only once it is, as of journeys.
        is_open: throughput decides nothing in an open workload, whose plan it is.
        has_server: the server's CPU is known.
    """
    found = {Metric("p50"): TOLERANCE, Metric("error_rate"): ERRORS}
    if not is_open:
        found[Metric("throughput")] = TOLERANCE
    if has_server:
        found[SERVER_CPU] = TOLERANCE
    return {**found, **{_metric(name, labels): tolerance for name, tolerance in named.items()}}


def _metric(text: str, labels: Sequence[str] | None) -> Metric:
    label, _, name = text.rpartition(": ")
    if name not in COMPARED:
        raise UsageError(f"there is no figure {name!r} to compare; use one of {', '.join(COMPARED)}")
    if label and labels is not None and label not in labels:
        known = ", ".join(map(repr, labels))
        raise UsageError(f"the tolerance of {text!r} names no endpoint of the scenario; there are {known}")
    return Metric(name, label if label and (labels is None or len(labels) > 1) else None)


def tolerances_of(texts: Sequence[str]) -> dict[str, float]:
    """Tolerances as the command line has them: `p99=10%`, `GET /search: p50=0.1`; `UsageError` for others."""
    found = {}
    for text in texts:
        name, _, share = text.rpartition("=")
        number = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*(%?)", share.strip())
        if not name or not number:
            raise UsageError(f"cannot read the tolerance {text!r}; write it like p99=10%")
        found[name.strip()] = float(number[1]) / (100 if number[2] else 1)
    return found
