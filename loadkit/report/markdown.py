"""Results, comparisons and limits as GitHub's Markdown, for a pull request or the summary of a job: the verdict first.

Foreign text stays text: names stand in code, and sentences are escaped, so that neither becomes markup, mentions
somebody or makes a link. A document fits into a comment.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from loadkit.judge.comparison.comparison import Comparison
from loadkit.judge.limit.limit import Limit
from loadkit.measure.slowest import MOST
from loadkit.report import tables
from loadkit.report.comparison import (
    all_changes,
    change_table,
    describe_rounds,
    doubts_and_notes,
    shown_changes,
)
from loadkit.report.escape import visible
from loadkit.report.failures import failure_reasons
from loadkit.report.headline import describe_run, describe_target, describe_times, is_believable
from loadkit.report.layout import Layout
from loadkit.report.limit import describe_trials, facts_of, level_tables, title_of
from loadkit.report.machines import machine_table
from loadkit.report.overview import totals
from loadkit.report.verdicts import name_of, verdict_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from loadkit.judge.result import Result
    from loadkit.judge.validity import Caveat
    from loadkit.report.failures import FailureReason
    from loadkit.report.json import Finding
    from loadkit.report.table import Cell, Table, Tone

LONGEST: Final = 60_000
"""Characters of a document: a comment on GitHub takes 65,536, and may have more in it."""
LONGEST_NAME: Final = 120
LONGEST_LINE: Final = 600
LONGEST_CODE: Final = 200
MAX_ROWS: Final = 60
MAX_FAILURES: Final = 10
MAX_CAVEATS: Final = 20

_MARKS: Final[dict[Tone, str]] = {"good": "✅", "bad": "❌", "doubt": "⚠️"}
_LEFT_OUT: Final = "_The rest is left out, for a comment takes no more; the JSON has it._"
_LAYOUT: Final = Layout(width=LONGEST_LINE)

_MARKUP: Final = re.compile(r"[\\`*_\[\]<>|~&$#]")
# what would make a line an item of a list, or a rule
_FIRST: Final = re.compile(r"^(\d*)([-+=.)])(?=[\s=-]|$)")
# where GitHub would see @somebody, #12, GH-12 or the address of a page
_LINKED: Final = re.compile(r"(?<=[@#])(?=\w)|(?<=\bGH)(?=-\d)|(?<=:)(?=//)|(?<=www)(?=\.)", re.IGNORECASE)
_NO_SPACE: Final = "&#8203;"


def markdown(found: Sequence[Result | Finding], titles: Sequence[str] | None = None) -> str:
    """A document of results, comparisons and limits, those that failed first.

    `titles` are their headings; by default results and limits have their own, and comparisons have the versions.
    """
    headed = list(zip(titles or [""] * len(found), found, strict=True))
    headed.sort(key=lambda pair: verdict_of(pair[1])[0] != "bad")
    return "\n\n".join(_fitting(_parts(headed))) + "\n"


def _parts(headed: Sequence[tuple[str, Result | Finding]]) -> Iterator[str]:
    if len(headed) > 1:
        yield _overview(headed)
    for title, one in headed:
        if isinstance(one, Comparison):
            yield from _comparison(one, title)
        elif isinstance(one, Limit):
            yield from _limit(one, title)
        else:
            yield from _result(one, title)


def _fitting(parts: Iterable[str]) -> Iterator[str]:
    """As many parts, from the first, as a document may have."""
    room = LONGEST - len(_LEFT_OUT)
    for part in parts:
        room -= len(part) + 2
        if room < 0:
            yield _LEFT_OUT
            return
        yield part


def _overview(headed: Sequence[tuple[str, Result | Finding]]) -> str:
    """A row each; those that are left out have passed, but for very many failures."""
    rows = [["", "outcome", ""], [":--"] * 3]
    for title, one in headed[:MAX_ROWS]:
        tone, word, why = verdict_of(one)
        rows.append([_cell(_name(one, title)), f"{_MARKS[tone]} {word}", _prose(why)])
    more = len(headed) - MAX_ROWS
    return _lines(rows) + (f"\n\n{more:,} more" if more > 0 else "")


def _name(one: Result | Finding, title: str) -> str:
    if title:
        return _code(title)
    if isinstance(one, Comparison):
        return f"{_code(one.new)} against {_code(one.old)}"
    return _code(name_of(one))


def _heading(one: Result | Finding, title: str) -> str:
    tone, word, why = verdict_of(one)
    return f"### {_MARKS[tone]} {word}: {_name(one, title)}\n\n{_prose(why)}"


# -- of a comparison


def _comparison(comparison: Comparison, title: str) -> Iterator[str]:
    yield _heading(comparison, title)
    doubts, notes = doubts_and_notes(comparison)
    if doubts:
        yield "\n".join(map(_caveat, doubts))
    deciding = [one for one in all_changes(comparison) if one.decides]
    if deciding:
        yield _table(change_table("figure", deciding))
    if comparison.control:
        yield _table(change_table("control", [comparison.control]))
    others, more = shown_changes(comparison, tables.MAX_ROWS_OF_TEXT)
    if others:
        yield _folded("Also measured, and decides nothing", _table(change_table("figure", others, more)))
    versions = f"{_code(comparison.new)} against {_code(comparison.old)}: {describe_rounds(comparison)}"
    yield _folded("How it was measured", "\n".join([f"- {versions}", *(f"- {_prose(one)}" for one in notes)]))


# -- of a limit


def _limit(limit: Limit, title: str) -> Iterator[str]:
    yield _heading(limit, title)
    if facts := facts_of(limit):
        yield "\n".join(f"- {_prose(one)}" for one in facts)
    found = level_tables(limit, tables.MAX_ROWS_OF_TEXT)
    yield from map(_table, found[:1])
    yield from (_folded(one.caption, _table(one)) for one in found[1:])
    about = (title_of(limit), describe_trials(limit), *limit.notes)
    yield _folded("How it was searched", "\n".join(f"- {_prose(one)}" for one in about))


# -- of a result


def _result(result: Result, title: str) -> Iterator[str]:
    yield _heading(result, title)
    if is_believable(result):
        reasons = sum(one.level != "note" for one in result.caveats)
        why = f", for {reasons} reason{'s' * (reasons != 1)} below" if reasons else ""
        yield f"The figures are **{result.validity}**{why}. {_prose(result.bottleneck.sentence)}".rstrip()
    figures = (tables.thresholds(result.thresholds), tables.endpoints(result), *tables.timings(result))
    yield from (_table(one) for one in figures if one)
    if machines := machine_table(result, tables.MAX_ROWS_OF_TEXT):
        yield _folded(machines.caption, _table(machines))
    if result.caveats:
        yield _folded("Caveats", "\n".join(map(_caveat, result.caveats[:MAX_CAVEATS])))
    reasons_of = failure_reasons(result)
    if reasons_of:
        yield _folded("Failures", "\n\n".join(map(_failure, reasons_of[:MAX_FAILURES])))
    more = (tables.phases(result), tables.percentiles(result.total), tables.slowest(result, MOST), totals(result))
    others = [one for one in more if one]
    yield _folded("More figures", "\n\n".join(f"**{one.caption}**\n\n{_table(one)}" for one in others))
    about = (describe_run(result), describe_target(result.scenario), describe_times(result))
    yield _folded("The run", "\n".join(f"- {_prose(one)}" for one in about if one))


def _caveat(caveat: Caveat) -> str:
    return f"- **{caveat.level}** {_code(caveat.code)}: {_prose(caveat.message)}"


def _failure(reason: FailureReason) -> str:
    lines = [_short(line, LONGEST_CODE) for line in reason.lines]
    fence = "`" * max(3, 1 + _longest_run(lines))
    head = f"**{reason.count:,}** {_code(reason.kind)} {_prose(reason.where)}".rstrip()
    return "\n".join([head, "", f"{fence}text", *lines, fence])


# -- Markdown


def _table(table: Table) -> str:
    """A table and its notes; names stand in code."""
    words = 1 + table.words
    rows = [
        [table.head, *(column.title for column in table.columns)],
        [":--" if k < words else "--:" for k in range(len(table.columns) + 1)],
        *(
            [_cell(_code(name.text)), *map(_figure, cells)]
            for name, *cells in [*table.rows, *filter(None, [table.total])]
        ),
    ]
    return "\n\n".join([_lines(rows), *(_prose(note.text) for note in table.notes)])


def _figure(cell: Cell) -> str:
    return f"**{_inline(cell.text)}**" if cell.tone == "bad" else _inline(cell.text)


def _lines(rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cell(code: str) -> str:
    """Code in a table, whose bars would end the cell."""
    return code.replace("|", "\\|")


def _folded(summary: str, body: str) -> str:
    # without the empty lines the body would not be read as Markdown
    return f"<details><summary>{summary}</summary>\n\n{body}\n\n</details>"


def _code(text: str) -> str:
    """A name as code, in which nothing is markup but the end of it."""
    shown = _short(text, LONGEST_NAME)
    fence = "`" * (1 + _longest_run([shown]))
    pad = " " if shown[:1] in ("`", " ") or shown[-1:] in ("`", " ") else ""
    return f"{fence}{pad}{shown}{pad}{fence}" if shown else ""


def _prose(text: str) -> str:
    """A sentence without markup, mentions and links, which may be a line."""
    return _FIRST.sub(r"\1\\\2", _inline(text.lstrip()))


def _inline(text: str) -> str:
    """The same within a line."""
    return _LINKED.sub(_NO_SPACE, _MARKUP.sub(r"\\\g<0>", _short(text, LONGEST_LINE)))


def _short(text: str, room: int) -> str:
    return _LAYOUT.ellipsize(visible(text), room)


def _longest_run(lines: Iterable[str]) -> int:
    """Of backticks."""
    return max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
