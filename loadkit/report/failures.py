"""The reasons for failures of a result, each once, the most frequent first."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from loadkit.judge.result import Result
from loadkit.judge.rows import FailureExample, Row, Timing
from loadkit.report.escape import visible_lines
from loadkit.report.figures import show_time
from loadkit.wire.failed_reply import FailedReply

MAX_LINES: Final = 8
MAX_WIDTH: Final = 300
"""Characters of a line of a body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureReason:
    """A reason for failures: its count, kind and message, and the rows it is of with the time of the first."""

    count: int
    kind: str
    lines: Sequence[str]
    where: str


def failure_reasons(result: Result) -> list[FailureReason]:
    """The reasons for failures of requests, journeys, steps and timers, each once, the most frequent first."""
    return [
        FailureReason(count=one.count, kind=one.kind, lines=_lines(one), where=_where(result, one))
        for one in _examples(result)
    ]


def _examples(result: Result) -> list[FailureExample]:
    """The examples of all rows; a failed step fails its journey too, so the highest count of a reason is taken."""
    timed = sorted((example for one in result.timings for example in one.examples), key=lambda one: one.count)
    once = {(example.kind, example.message): example for example in timed}
    return sorted([*_with_rest(result.total), *once.values()], key=lambda example: -example.count)


def _with_rest(total: Row) -> Iterator[FailureExample]:
    """The examples of a row, and one for the failures of each kind without example, so that counts add up."""
    yield from total.examples
    for kind, count in total.failures.items():
        rest = count - sum(example.count for example in total.examples if example.kind == kind)
        if rest > 0:
            yield FailureExample(kind=kind, message="(message not kept)", count=rest, first_at=math.nan)


def _lines(example: FailureExample) -> list[str]:
    return [*message_lines(example), *(_reply_lines(example.reply) if example.reply else [])]


def message_lines(example: FailureExample) -> list[str]:
    """The first lines of a message, and how many more there are, without its kind, which is shown beside it."""
    lines = visible_lines(example.message.strip("\n").removeprefix(f"{example.kind}: "))
    more = len(lines) - MAX_LINES
    return [*lines[:MAX_LINES], f"... {more:,} more lines in the JSON"] if more > 1 else lines


def _reply_lines(reply: FailedReply) -> Iterator[str]:
    """The first reply that failed so: what was asked, the telling headers, and the beginning of the body."""
    yield f"first reply, {reply.status} to {reply.method} {reply.url}"
    yield from (f"  {name}: {value}" for name, value in reply.headers.items())
    yield from (f"  {line}" for line in body_lines(reply))


def body_lines(reply: FailedReply) -> Iterator[str]:
    """The first lines of the body."""
    body = visible_lines(reply.body.strip())
    yield from (line[:MAX_WIDTH] for line in body[:MAX_LINES])
    if len(body) > MAX_LINES or any(len(line) > MAX_WIDTH for line in body):
        yield "... more in the JSON"


def _where(result: Result, example: FailureExample) -> str:
    """The row it is of, or the number of rows, and the time of the first failure."""
    reason = (example.kind, example.message)
    rows: list[Row | Timing] = [*result.endpoints, *result.timings]
    names = [row.name for row in rows if reason in [(other.kind, other.message) for other in row.examples]]
    parts = []
    if len(rows) > 1 and names:
        parts.append(names[0] if len(names) == 1 else f"{len(names)} rows")
    if math.isfinite(example.first_at):
        parts.append(f"first at {show_time(example.first_at)}")
    return f"({', '.join(parts)})" if parts else ""
