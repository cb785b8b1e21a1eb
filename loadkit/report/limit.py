"""The limit of a server as text: the answer, why it stopped, and each level with its figures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from loadkit.judge.limit.limit import describe_limit
from loadkit.judge.limit.scalability import describe_scalability
from loadkit.plan.units import show_count, show_rate, show_span
from loadkit.report.charts.levels import SHAPES, describe_level, limit_charts, show_load
from loadkit.report.comparison import conclusion, headline
from loadkit.report.figures import show_share, time_cell
from loadkit.report.progress import Status
from loadkit.report.table import Cell, Column, Table
from loadkit.report.tables import MAX_ROWS_OF_TEXT
from loadkit.report.text_chart import text_chart
from loadkit.report.text_table import text_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from loadkit.judge.limit.levels import Holding
    from loadkit.judge.limit.limit import LevelTrial, Limit, LimitLevel
    from loadkit.judge.limit.search import SearchMoment
    from loadkit.judge.limit.trials import NextTrial, Trial
    from loadkit.report.layout import Layout
    from loadkit.report.table import Tone

_TONES: Final[dict[int, Tone]] = {0: "good", 1: "bad"}
"""Of an exit code; of another one nothing is known for sure."""


def limit_report(limit: Limit, layout: Layout) -> str:
    """A limit as a person reads it, without a newline at the end; no line is wider than the layout."""
    parts = (
        headline(layout, title_of(limit), describe_trials(limit)),
        [
            *conclusion(layout, limit.ending.upper(), tone_of(limit), describe_limit(limit)),
            *(line for fact in facts_of(limit) for line in layout.wrap(layout.escape(fact), first="  ", margin="  ")),
        ],
        *(text_chart(layout, one) for one in limit_charts(limit)[:1]),
        *(text_table(layout, one) for one in level_tables(limit, MAX_ROWS_OF_TEXT)),
        [line for note in limit.notes for line in layout.wrap(layout.escape(note), first="  - ", margin="    ")],
    )
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def tone_of(limit: Limit) -> Tone:
    """Whether it is what was asked for."""
    return _TONES.get(limit.exit_code, "doubt")


def answer_of(limit: Limit) -> str:
    """The answer alone; nothing where there is none."""
    if limit.by == "threads":
        return show_load(limit.threads, is_rate=False) if limit.threads and limit.ending == "found" else limit.needed
    if limit.confirmed is None:
        return f"less than {show_rate(limit.failed)}" if limit.failed else ""
    return show_rate(limit.confirmed) if limit.failed else f"at least {show_rate(limit.confirmed)}"


def title_of(limit: Limit) -> str:
    """What was searched, and for what."""
    return f"{limit.name}: {'the highest rate that holds' if limit.by == 'rate' else 'how many threads are enough'}"


def describe_trials(limit: Limit) -> str:
    """The thresholds, how many trials there were, and how long they took."""
    trials = sum(len(one.trials) for one in (*limit.levels, *limit.closed))
    return "; ".join([*limit.thresholds, f"{show_count(trials, 'trial')} in {show_span(round(limit.seconds))}"])


def facts_of(limit: Limit) -> list[str]:
    """What there is to say below the answer."""
    facts = [f"what gave way first: {limit.gave_way}"] if limit.gave_way else []
    if limit.scalability:
        facts.append(describe_scalability(limit.scalability))
    if limit.at_least is not None:
        kept = "is held" if limit.rate >= limit.at_least else "is not confirmed"
        facts.append(f"{show_rate(limit.at_least)}, which was asked for, {kept}")
    return facts


def level_tables(limit: Limit, most: int) -> list[Table]:
    """A row a rate, and a row a number of closed threads; of each table no more than so many."""
    tables = (
        _table(limit, "rate", limit.levels, most),
        _table(limit, "closed threads", limit.closed, most),
    )
    return [one for one in tables if one.names]


def _table(limit: Limit, head: str, levels: Sequence[LimitLevel], most: int) -> Table:
    shown, more = levels[:most], len(levels[most:])
    known = [describe_level(limit, one, is_rate=head == "rate") for one in shown]
    columns = [
        Column("good replies", [Cell(show_rate(one.throughput), one.throughput) for one in shown]),
        *_times(limit, shown),
        Column("errors", [errors_cell(one) for one in shown], drop_order=1),
        Column("trials", [Cell(str(len(one.trials)), len(one.trials)) for one in shown], drop_order=3),
        *([Column("known", list(map(known_cell, shown, known)))] if any(known) else []),
    ]
    return Table(
        caption="Rates" if head == "rate" else "Closed threads",
        head=head,
        names=[show_rate(one.level) if head == "rate" else f"{one.level:,g}" for one in shown],
        columns=columns,
        notes=[*map(Cell, _inconclusive(shown)), *([Cell(f"{more:,} more in the JSON")] if more else [])],
    )


def _inconclusive(levels: Sequence[LimitLevel]) -> Iterator[str]:
    """Why nothing is known of the server at a level."""
    for level in levels:
        why = next((one.unsound for one in reversed(level.trials) if one.unsound), None)
        if level.holding == "inconclusive" and why:
            yield f"{show_rate(level.level)} is inconclusive: {why}"


def known_cell(level: LimitLevel, known: str) -> Cell:
    """What is known of a level; of one that is missed although its figures are within their limits, why."""
    outright = "piled up" if any(one.is_saturated for one in level.trials) else "server lost"
    why = f" ({outright})" if known == "missed" and not level.missed else ""
    return Cell(f"{known}{why}", tone=SHAPES[known][1])


def _times(limit: Limit, levels: Sequence[LimitLevel]) -> list[Column]:
    """The response times that are limited, beside the median and the 99th percentile."""
    limited = {
        one.metric: Column(one.metric, [time_cell(level.values.get(one.text)) for level in levels], drop_order=1)
        for one in limit.limits
        if one.label is None and not one.limits_errors and one.time == "response_time"
    }
    usual = {
        name: Column(name, [time_cell(one.figures.get(name)) for one in levels], drop_order)
        for name, drop_order in (("p50", 2), ("p99", 1))
    }
    columns = usual | limited
    return [columns[name] for name in sorted(columns, key=_rank)]


def _rank(metric: str) -> float:
    return float(metric[1:]) if metric.startswith("p") else math.inf


def errors_cell(one: LimitLevel | LevelTrial) -> Cell:
    """The share of failures."""
    share = one.figures.get("error_rate", 0.0)
    return Cell(show_share(share), share, tone="bad" if share else "")


def limit_progress(moment: SearchMoment) -> Status:
    """How far a search has come, for a line on stderr."""
    wanted = moment.next_trial
    what = "waiting until the server has recovered" if moment.is_recovering else wanted.reason
    stage = f"{show_load(wanted.level, is_rate=not wanted.is_closed)} ({what})"
    left = show_span(max(0, round(moment.budget - moment.elapsed)))
    return Status(
        name="limit",
        stage=stage,
        elapsed=moment.elapsed,
        heading=f"[{show_span(round(moment.elapsed))} of {show_span(moment.budget)}] {stage}",
        lead=[stage],
        figures=[
            *([_came_of(moment.trial, wanted)] if moment.trial else []),
            *([_state(wanted.level, moment.holding)] if moment.holding else []),
            f"{left} left",
            *_bracket(moment),
            *([f"so far {show_load(moment.threads, is_rate=False)}"] if moment.threads else []),
        ],
        done=min(moment.elapsed, moment.budget),
        of=moment.budget,
        has_failures=False,
    )


def _bracket(moment: SearchMoment) -> Iterator[str]:
    """Between which rates the limit is so far."""
    if moment.confirmed is not None:
        yield f"{show_rate(moment.confirmed)} confirmed"
    low, high = (rate and show_rate(rate) for rate in (moment.holds, moment.fails))
    if low and high:
        yield f"between {low} and {high}"
    elif low or high:
        yield f"above {low}" if low else f"below {high}"


def _state(level: float, holding: Holding) -> str:
    """What is known of a level so far, in the word that its table has."""
    return f"{show_rate(level)} {'holds' if holding == 'holds' else f'is {holding}'} so far"


def _came_of(trial: Trial, wanted: NextTrial) -> str:
    """What a trial found, in a word or two and the figures of response times."""
    if trial.unsound:
        return "trial not counted"
    if trial.is_lost:
        return "the server was lost"
    if wanted.is_closed:
        return f"{show_rate(trial.throughput)} good"
    found = [f"{one.threshold.metric} {one.threshold.show(one.value)}" for one in trial.observed if one.value]
    what = "requests piled up" if trial.is_saturated else f"trial {'missed' if trial.is_breach else 'held'}"
    return " ".join([what, ", ".join(found)]).rstrip()
