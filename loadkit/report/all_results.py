"""Several results as one: a table of them with a row each, and the last word on all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from loadkit.judge.merge.sums import all_journeys
from loadkit.report.figures import count_cell, share_cell, throughput_cell, time_columns
from loadkit.report.headline import TONES, describe_outcome, is_believable
from loadkit.report.table import Cell, Column, Table, Tone
from loadkit.report.text_table import STYLES, text_table

if TYPE_CHECKING:
    from loadkit.judge.result import Result
    from loadkit.report.layout import Layout


def results_table(results: Sequence[Result], names: Sequence[str], *, is_live: bool = False) -> Table:
    """A row a result; where the report `is_live`, of how those stand that go on."""
    wholes = [all_journeys(result) or result.total for result in results]
    columns = [
        Column("outcome", [_outcome_cell(result, is_live=is_live) for result in results]),
        Column("figures", list(map(_belief_cell, results))),
        Column("requests", [count_cell(whole.requests) for whole in wholes], drop_order=4),
        Column("throughput", list(map(throughput_cell, wholes)), drop_order=3),
        Column("errors", [share_cell(whole) for whole in wholes]),
        *time_columns(("p50", "p95", "p99"), [whole.response_time for whole in wholes]),
    ]
    return Table(caption="All results", head="result", names=names, columns=columns, words=2)


def _outcome_cell(result: Result, *, is_live: bool) -> Cell:
    word, _, tone = describe_outcome(result, is_live=is_live)
    return Cell(word, tone=tone)


def _belief_cell(result: Result) -> Cell:
    shown = result.validity if is_believable(result) else "-"
    return Cell(shown, tone="" if result.validity == "clean" else TONES[result.validity])


def last_word(layout: Layout, results: Sequence[Result], errors: Mapping[str, str], *, once: bool = False) -> str:
    """A table of all results, then why some did not pass, and how many came out how: what is left on the screen.

    Those that passed are first. `errors` are the messages of what was not run, by its name. Of requests sent `once`
    there are no figures.
    """
    ordered = sorted(results, key=lambda result: not result.passed)
    table = [] if once else [*text_table(layout, results_table(ordered, [result.title for result in ordered])), ""]
    last = _counts(layout, results, errors, "SOUND" if once else "PASSED")
    return "\n".join([*table, *_reasons(layout, ordered, errors), last])


def _reasons(layout: Layout, results: Sequence[Result], errors: Mapping[str, str]) -> Iterator[str]:
    for result in results:
        missed = [one for one in result.thresholds if not one.passed and not one.implied]
        word, rest, tone = describe_outcome(result)
        whys = [f"{one.threshold}: {one.shown}" for one in missed] or [rest.removeprefix(": ").strip()]
        if not result.passed:
            for why in whys:
                yield from _line(layout, word, f"{result.title}: {why}", tone)
    for name, message in errors.items():
        said = " ".join(message.split())
        yield from _line(layout, "ERROR", said if said.startswith(name) else f"{name}: {said}", "bad")


def _line(layout: Layout, word: str, text: str, tone: Tone) -> Iterator[str]:
    first, *others = layout.wrap(layout.escape(text), first=f"{word} ", margin="  ")
    yield layout.style(word, STYLES[tone]) + first[len(word) :]
    yield from others


def _counts(layout: Layout, results: Sequence[Result], errors: Mapping[str, str], passed: str) -> str:
    """As pytest ends: `1 failed, 2 passed`."""
    words = [passed if result.passed else describe_outcome(result)[0] for result in results]
    counts = Counter(word.lower() for word in words if word != passed) + Counter({"error": len(errors)})
    counts += Counter({passed.lower(): words.count(passed)})
    tone: Tone = "good" if len(counts) == 1 and passed.lower() in counts else "bad"
    return layout.style(", ".join(f"{count:,} {word}" for word, count in counts.items()), STYLES[tone])
