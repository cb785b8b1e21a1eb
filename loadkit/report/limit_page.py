"""A limit on a page: the answer, charts of the levels, and the trials of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from msgspec.structs import replace

from loadkit.judge.limit.figures import SHOWN
from loadkit.judge.limit.limit import describe_limit
from loadkit.plan.units import show_rate, show_seconds
from loadkit.report.charts.levels import describe_level, limit_charts, name_figure, show_load
from loadkit.report.figures import show_share, show_time, time_cell
from loadkit.report.limit import answer_of, describe_trials, errors_cell, facts_of, level_tables, title_of, tone_of
from loadkit.report.overview import machine_table
from loadkit.report.render import HeadFigure
from loadkit.report.table import Cell, Column, Table

if TYPE_CHECKING:
    from loadkit.judge.limit.limit import LevelTrial, Limit, LimitLevel
    from loadkit.plan.threshold import Threshold

MAX_LEVELS: Final = 60
MAX_TRIALS: Final = 20
"""Of a level; a search makes far fewer levels and trials."""

_DEFINITIONS: Final = {
    "rate": "A level holds where so few requests were beyond the limit as would be in less than 1 % of the cases, if "
    "the true figure were at it; it is missed where so many were, in two trials at least. Unclear: its trials lie on "
    "both sides. Inconclusive: loadkit or its machine was the limit. Figures of a level are medians over its trials.",
    "threads": "Throughput is of good replies in a closed workload: a thread waits for each reply before it sends the "
    "next request. Figures of a level are medians over its trials.",
}


class LevelPart(NamedTuple):
    """What the page shows of one level."""

    name: str
    known: str
    trials: Table


def limit_view(limit: Limit, title: str = "") -> dict[str, Any]:
    """What the template shows of a limit; its title says what was searched by default."""
    tables = level_tables(limit, MAX_LEVELS)
    shown = replace(limit, levels=_shown(limit.levels), closed=_shown(limit.closed))
    return {
        "template": "limit.html",
        "title": title or title_of(limit),
        "word": limit.ending.upper(),
        "tone": tone_of(limit),
        "answer": answer_of(limit),
        "sentence": describe_limit(limit),
        "facts": facts_of(limit),
        "about": [*([title_of(limit)] if title else []), describe_trials(limit)],
        "figures": list(_figures(limit)),
        "charts": limit_charts(shown),
        # of each the number of the part that its first row leads to
        "tables": list(zip(tables, accumulate((len(one.names) for one in tables), initial=1), strict=False)),
        "parts": [
            *(_part(shown, one, is_rate=True) for one in shown.levels),
            *(_part(shown, one, is_rate=False) for one in shown.closed),
        ],
        "notes": limit.notes,
        "machine": machine_table(limit.environment) if limit.environment else None,
        "definition": _DEFINITIONS[limit.by],
    }


def _shown(levels: Sequence[LimitLevel]) -> list[LimitLevel]:
    return [replace(one, trials=one.trials[:MAX_TRIALS]) for one in levels[:MAX_LEVELS]]


def _figures(limit: Limit) -> Iterator[HeadFigure]:
    """What there is to say of the answer, and of what is just beyond it."""
    if limit.by == "threads":
        yield from _of_threads(limit)
        return
    for level in limit.levels:
        if level.level == limit.confirmed:
            for one in limit.limits:
                name = f"{name_figure(one)} at {show_rate(level.level)}"
                yield HeadFigure(name, one.show(level.values.get(one.text)), one.text)
    if limit.failed is not None:
        yield HeadFigure("lowest rate that is missed", show_rate(limit.failed), limit.gave_way, "bad")


def _of_threads(limit: Limit) -> Iterator[HeadFigure]:
    enough = next((one for one in limit.closed if one.level == limit.threads), None)
    if enough is None or not limit.best or limit.ending != "found":
        return
    best = limit.best
    yield HeadFigure(
        "throughput",
        show_rate(enough.throughput),
        f"{show_share(enough.throughput / best)} of the best, {show_rate(best)}",
    )
    for name in ("p50", "p99"):
        yield HeadFigure(f"{name} response time", show_time(enough.figures.get(name)))
    if limit.knee is not None:
        yield HeadFigure("knee", show_load(limit.knee, is_rate=False), "with more, requests wait for each other")


def _part(limit: Limit, level: LimitLevel, *, is_rate: bool) -> LevelPart:
    trials = level.trials
    name = show_load(level.level, is_rate=is_rate)
    limited = [one for one in limit.limits if one.label or one.metric not in (*SHOWN, "error_rate")] if is_rate else []
    return LevelPart(
        name=name,
        known=describe_level(limit, level, is_rate=is_rate),
        trials=Table(
            caption=f"Trials at {name}",
            head="trial",
            names=[str(k + 1) for k in range(len(trials))],
            columns=[
                Column("lasted", [Cell(show_seconds(one.seconds), one.seconds) for one in trials]),
                Column("good replies", [Cell(show_rate(one.throughput), one.throughput) for one in trials]),
                *(Column(name_figure(limited), [_value(limited, one) for one in trials]) for limited in limited),
                *(Column(name, [time_cell(one.figures.get(name)) for one in trials]) for name in SHOWN),
                Column("errors", list(map(errors_cell, trials))),
                Column("statuses", [Cell(_counts(one)) for one in trials]),
                Column("what came of it", list(map(_outcome, trials))),
            ],
        ),
    )


def _value(limited: Threshold, trial: LevelTrial) -> Cell:
    value = trial.values.get(limited.text)
    return Cell(limited.show(value), value)


def _outcome(trial: LevelTrial) -> Cell:
    if trial.unsound:
        return Cell(f"not counted: {trial.unsound}", tone="doubt")
    reasons = [
        *(["left early: requests piled up"] if trial.is_saturated else []),
        *(["the server ended, or could not be reached"] if trial.is_lost else []),
        *([f"missed {', '.join(trial.missed)}"] if trial.missed else []),
    ]
    return Cell("; ".join(reasons), tone="bad") if reasons else Cell("held", tone="good")


def _counts(trial: LevelTrial) -> str:
    good = [f"{status}: {count:,}" for status, count in trial.statuses.items()]
    return ", ".join([*good, *(f"{kind}: {count:,} failed" for kind, count in trial.failures.items())])
