"""The limit of a server as text: the answer, why it stopped, and each level with its figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from loadkit.judge.limit.limit import describe_limit
from loadkit.plan.units import show_rate, show_seconds, show_span, three_digits
from loadkit.report.layout import display_width
from loadkit.report.progress import Status
from loadkit.report.table import Cell, Column, Table
from loadkit.report.text_table import STYLES, text_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadkit.judge.limit.levels import Holding
    from loadkit.judge.limit.limit import Limit, LimitLevel
    from loadkit.judge.limit.search import Ending, SearchMoment
    from loadkit.report.layout import Layout
    from loadkit.report.table import Tone

TONES: Final[dict[Holding, Tone]] = {"holds": "good", "missed": "bad", "unclear": "doubt", "inconclusive": "doubt"}
ENDINGS: Final[dict[Ending, Tone]] = {
    "found": "good",
    "missed": "bad",
    "at least": "doubt",
    "cannot tell": "doubt",
    "interrupted": "doubt",
}

_BAR: Final = 30
"""Characters of the longest bar of response times."""


def limit_report(limit: Limit, layout: Layout) -> str:
    """A limit as a person reads it, without a newline at the end; no line is wider than the layout."""
    parts = (
        _headline(layout, limit),
        _answer(layout, limit),
        _table(layout, "rate", [show_rate(one.level) for one in limit.levels], limit.levels),
        _table(layout, "closed threads", [f"{one.level:g}" for one in limit.closed], limit.closed, is_judged=False),
        [line for note in limit.notes for line in layout.wrap(layout.escape(note), first="  - ", margin="    ")],
    )
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def limit_progress(moment: SearchMoment) -> Status:
    """How far a search has come, for a line on stderr."""
    wanted = moment.next_trial
    level = f"threads: {wanted.level:g}" if wanted.is_closed else show_rate(wanted.level)
    stage = f"{level} ({wanted.reason})"
    known = [
        f"{show_rate(rate)} {what}"
        for rate, what in ((moment.confirmed, "confirmed"), (moment.holds, "holds"), (moment.fails, "does not"))
        if rate is not None
    ]
    left = show_span(max(0, round(moment.budget - moment.elapsed)))
    return Status(
        name="limit",
        stage=stage,
        elapsed=moment.elapsed,
        heading=f"[{show_span(round(moment.elapsed))}, {left} left] {stage}",
        lead=[stage],
        figures=[f"{left} left", *known],
        done=min(moment.elapsed, moment.budget),
        of=moment.budget,
        has_failures=False,
    )


def _headline(layout: Layout, limit: Limit) -> list[str]:
    rule = "=" if layout.ascii else "━"
    what = "the highest rate that holds" if limit.by == "rate" else "how many threads are enough"
    name = layout.ellipsize(layout.escape(f"{limit.name}: {what}"), layout.width - 8)
    trials = sum(len(one.trials) for one in (*limit.levels, *limit.closed))
    facts = "; ".join([*limit.thresholds, f"{trials} trials in {show_span(round(limit.seconds))}"])
    return [
        layout.style(f"{rule * 2} {name} {rule * (layout.width - display_width(name) - 4)}", "bold"),
        *layout.wrap(layout.escape(facts), first="  ", margin="  "),
    ]


def _answer(layout: Layout, limit: Limit) -> list[str]:
    word = limit.ending.upper()
    first, *others = layout.wrap(layout.escape(f"{word}: {describe_limit(limit)}"), margin="  ")
    styled = layout.style(layout.style(word, STYLES[ENDINGS[limit.ending]]), "bold")
    lines = [styled + first[len(word) :], *others]
    if limit.gave_way:
        lines += layout.wrap(layout.escape(f"what gave way first: {limit.gave_way}"), first="  ", margin="  ")
    if limit.at_least is not None:
        kept = "is held" if limit.rate >= limit.at_least else "is not confirmed"
        lines.append(f"  {show_rate(limit.at_least)}, which was asked for, {kept}")
    return lines


def _table(
    layout: Layout, head: str, names: Sequence[str], levels: Sequence[LimitLevel], *, is_judged: bool = True
) -> list[str]:
    if not levels:
        return []
    times = [one.figures.get("p99") for one in levels]
    # of threads it is the throughput that has a knee, of rates the response time
    drawn = times if is_judged else [one.throughput for one in levels]
    longest = max((one for one in drawn if one is not None), default=0.0)
    columns = [
        Column("good replies", [Cell(show_rate(one.throughput)) for one in levels]),
        Column("p50", [Cell(show_seconds(one.figures.get("p50"))) for one in levels], drop_order=2),
        Column("p99", [Cell(show_seconds(one)) for one in times]),
        Column("errors", [Cell(f"{three_digits(100 * one.figures.get('error_rate', 0))} %") for one in levels]),
        Column("trials", [Cell(str(len(one.trials))) for one in levels], drop_order=3),
    ]
    if is_judged:
        columns.append(Column("", [Cell(one.holding, tone=TONES[one.holding]) for one in levels]))
    columns.append(Column("", [Cell(_bar(layout, one, longest)) for one in drawn], drop_order=4))
    return text_table(layout, Table(caption=head, head=head, names=names, columns=columns))


def _bar(layout: Layout, value: float | None, longest: float) -> str:
    """A figure of a level beside the largest one."""
    mark = "#" if layout.ascii else "█"
    cells = round(_BAR * (value or 0.0) / longest) if longest else 0
    return (mark * max(1, cells) if value else "").ljust(_BAR)
