"""Samples as lines, of CSV or JSON, a request each: see `COLUMNS`."""

from __future__ import annotations

import csv
import io
import json
from array import array
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final, NamedTuple

from loadkit.measure.samples import Samples
from loadkit.plan.units import SECOND
from loadkit.report.escape import cell_text

COLUMNS: Final = {
    "instant": "when the request was due: seconds since 1970",
    "scenario": "its name",
    "endpoint": "the name of its row in the report",
    "status": "of the reply; empty (null) without one",
    "failure": "its kind, as in the report; empty (null) for a good reply",
    "response_time": "seconds from due to the last byte, or until it was given up",
    "service_time": "seconds from the sending on; empty (null) where nothing was sent",
    "bytes": "received",
}
"""The columns, and what is in them."""

AT_ONCE: Final = 128
"""Lines that are made at once: 0.2 ms, in which the threads that send wait for the interpreter."""


class Form(NamedTuple):
    """A way to write samples."""

    head: str
    """The first line."""
    templates: Callable[[str, str], tuple[str, str]]
    """Of the line of a good reply and of a failure, for a scenario and an endpoint."""
    nothing: str
    """What stands where there is no value."""
    word: Callable[[str], str]
    """A text as a value."""


def sample_lines(form: Form, scenario: str, some: Samples) -> Iterator[str]:
    """Texts of some lines each."""
    good, failed = form.templates(scenario, some.label)
    values, offset = array("q", some.good), some.offset
    numbers = iter(values)
    rows = zip(numbers, numbers, numbers, numbers, numbers, numbers, strict=True)
    while chunk := [
        good % ((due + offset) / SECOND, status, (arrived - due) / SECOND, (arrived - sent) / SECOND, size)
        for due, sent, arrived, _, status, size in islice(rows, AT_ONCE)
    ]:
        yield "".join(chunk)
    for one in some.failed:
        yield failed % (
            (one.due + offset) / SECOND,
            one.status or form.nothing,
            form.word(one.kind),
            (one.taken - one.due) / SECOND,
            f"{(one.taken - one.sent) / SECOND:.9f}" if one.sent else form.nothing,
            one.size,
        )


def _csv_word(word: str) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow([cell_text(word)])
    return text.getvalue()


def _csv(scenario: str, label: str) -> tuple[str, str]:
    names = f"{_csv_word(scenario)},{_csv_word(label)}".replace("%", "%%")
    return f"%.6f,{names},%d,,%.9f,%.9f,%d\n", f"%.6f,{names},%s,%s,%.9f,%s,%d\n"


def _json(scenario: str, label: str) -> tuple[str, str]:
    names = f'"scenario": {json.dumps(scenario)}, "endpoint": {json.dumps(label)}'.replace("%", "%%")
    times = '"response_time": %.9f, "service_time": {}, "bytes": %d'
    return (
        f'{{"instant": %.6f, {names}, "status": %d, "failure": null, {times.format("%.9f")}}}\n',
        f'{{"instant": %.6f, {names}, "status": %s, "failure": %s, {times.format("%s")}}}\n',
    )


FORMS: Final = {
    ".csv": Form(f"{','.join(COLUMNS)}\n", _csv, "", _csv_word),
    ".jsonl": Form("", _json, "null", json.dumps),
}
"""By the end of a file's name."""
