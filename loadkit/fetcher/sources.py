"""Sources of URLs: files of lines, CSV and JSON lines, stdin, or any iterable. All are read lazily."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import IO, Any, Final, Self, TypeAlias

import msgspec

from loadkit.fetcher.url import printable, quoted
from loadkit.plan.errors import UsageError, reason_of
from loadkit.plan.redact import redact_url

LONGEST_LINE: Final = 4_000_000
TOO_LONG: Final = f"a line of more than {LONGEST_LINE:,} bytes"
LARGEST_COUNTED: Final = 1_000_000_000
"""Bytes of a file up to which its lines are counted beforehand, in half a second."""
MAX_COLUMNS: Final = 20
"""Columns that are named in a message."""
STDIN: Final = "-"
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_USER: Final = re.compile(r"(?:://|:).*@", re.DOTALL)
_BY_SUFFIX: Final = {".csv": "csv", ".tsv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}


class Entry(msgspec.Struct):
    """One line, row or item of a source, `where` is such as `urls.txt:7`; with an `error` it has no URL."""

    where: str
    url: str
    row: Mapping[str, Any] | None = None
    """What else is asked for: `method`, `headers`, `body`, `json`."""
    error: str = ""


Urls: TypeAlias = str | Path | Iterable[str | Mapping[str, Any]]


class Sources(list[str]):
    """Names of files, `-` and URLs, as on a command line; a plain list holds URLs alone."""


def is_url(text: str) -> bool:
    """True if an argument is a URL, not the name of a file of URLs."""
    return text.lower().startswith(("http://", "https://"))


def printable_source(source: str) -> str:
    """A source without secrets; also the name of a file may be meant as a URL."""
    return redact_url(source) if _USER.search(source) or "?" in source else source


def check_sources(sources: Sources) -> None:
    """Raise `UsageError` for a file that cannot be opened."""
    for source in sources:
        if source == STDIN or is_url(source):
            continue
        if _SCHEME.match(source):
            raise UsageError(f"{printable_source(source)!r} is no http or https URL, and nothing else is fetched")
        try:
            with Path(source).open("rb"):
                pass
        except OSError as error:
            reason = reason_of(error)
            named = printable_source(source)
            hint = f"; a URL is written like 'http://{named}'" if isinstance(error, FileNotFoundError) else ""
            raise UsageError(f"cannot read the URLs in {named}: {reason}{hint}") from None


def read_sources(sources: Sources, *, column: str, form: str | None, stdin: IO[bytes] | None = None) -> Iterator[Entry]:
    """Yield the entries of the sources one after the other; `stdin` stands for what was spooled of it."""
    for source in sources:
        if is_url(source):
            yield Entry("the command line", source)
        elif source == STDIN:
            if stdin:
                stdin.seek(0)
            yield from _entries(stdin or sys.stdin.buffer, "stdin", form or "lines", column)
        else:
            path = Path(source)
            with path.open("rb") as file:
                yield from _entries(file, path.name, form or _BY_SUFFIX.get(path.suffix.lower(), "lines"), column)


def read_iterable(urls: Iterable[Any]) -> Iterator[Entry]:
    """Yield the entries of URLs, or of mappings with `url` and perhaps `method`, `headers`, `body`, `json`."""
    for number, item in enumerate(urls, start=1):
        where = f"item {number}"
        if isinstance(item, str):
            yield Entry(where, item)
        elif isinstance(item, Mapping):
            yield _row(where, item, "url")
        else:
            yield Entry(where, repr(item)[:200], error=f"a URL is a string, not {type(item).__name__}")


def spool_stdin() -> IO[bytes]:
    """Copy stdin into a file without a name, which can be read twice."""
    copy = tempfile.TemporaryFile()  # noqa: SIM115 - it is removed when nobody reads it any longer
    shutil.copyfileobj(sys.stdin.buffer, copy)
    return copy


def describe_sources(sources: Sources) -> str:
    """The name of the sources in reports."""
    names = [
        "stdin" if source == STDIN else printable(source) if is_url(source) else Path(source).name for source in sources
    ]
    return ", ".join(names) if len(names) <= 3 else f"{', '.join(names[:2])} and {len(names) - 2} more"


def count_entries(sources: Sources) -> int | None:
    """About how many entries they have, for the progress of a fetch; None if that is unknown."""
    total = 0
    for source in sources:
        if is_url(source):
            total += 1
            continue
        path = Path(source)
        if source == STDIN or not path.is_file() or path.stat().st_size > LARGEST_COUNTED:
            return None
        with path.open("rb") as file:
            total += sum(block.count(b"\n") for block in iter(partial(file.read, 1 << 20), b""))
            if file.tell():
                file.seek(-1, io.SEEK_END)
                total += file.read(1) != b"\n"
        total -= path.suffix.lower() in (".csv", ".tsv")
    return total


def _entries(file: IO[bytes], name: str, form: str, column: str) -> Iterator[Entry]:
    if form == "csv":
        return _csv(file, name, column)
    return _lines(file, name, partial(_json_entry, column=column) if form == "jsonl" else _url_entry)


def _lines(file: IO[bytes], name: str, entry_of: Callable[[str, str], Entry | None]) -> Iterator[Entry]:
    for number, data in enumerate(iter(partial(file.readline, LONGEST_LINE), b""), start=1):
        where = f"{name}:{number}"
        if len(data) == LONGEST_LINE and not data.endswith(b"\n"):
            while (rest := file.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
                pass
            yield Entry(where, "", error=TOO_LONG)
            continue
        text = data.decode("utf-8", "surrogateescape").removeprefix("\ufeff" if number == 1 else "").strip()
        if text and (entry := entry_of(where, text)):
            yield entry


def _url_entry(where: str, text: str) -> Entry | None:
    return None if text.startswith("#") else Entry(where, text)


def _json_entry(where: str, text: str, column: str) -> Entry:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError):
        return Entry(where, text[:200], error="not a line of JSON")
    if isinstance(row, str):
        return Entry(where, row)
    if isinstance(row, dict):
        return _row(where, row, column)
    return Entry(where, text[:200], error=f'neither a URL nor an object like {{"{column}": "http://..."}}')


def _row(where: str, row: Mapping[str, Any], column: str) -> Entry:
    url = row.get(column)
    if not isinstance(url, str) or not url.strip():
        return Entry(where, "", error=f"no {column!r} in it")
    return Entry(where, url.strip(), row)


def _csv(file: IO[bytes], name: str, column: str) -> Iterator[Entry]:
    csv.field_size_limit(LONGEST_LINE)
    delimiter = "\t" if name.lower().endswith(".tsv") else ","
    text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
    lines = _CsvLines(text, delimiter)
    try:
        rows = csv.DictReader(lines, delimiter=delimiter)
        _check_columns(rows, name, column)
        if lines.is_cut:
            yield Entry(f"{name}:1", "", error=TOO_LONG)
        while True:
            try:
                row = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                yield Entry(f"{name}:{lines.number}", "", error=f"not a row of CSV: {error}")
                continue
            yield _row(f"{name}:{lines.number}", {key: value for key, value in row.items() if key and value}, column)
    finally:
        text.detach()


def _check_columns(rows: csv.DictReader[str], name: str, column: str) -> None:
    try:
        found = rows.fieldnames or ()
    except csv.Error as error:
        raise UsageError(f"cannot read the columns of {name}: {error}") from None
    if column not in found:
        columns = ", ".join(map(quoted, found[:MAX_COLUMNS])) or "none"
        more = f" and {len(found) - MAX_COLUMNS:,} more" if len(found) > MAX_COLUMNS else ""
        raise UsageError(f"{name} has no column {column!r}; it has {columns}{more}: name one with --column")


class _CsvLines:
    """The lines of a file for `csv.reader`; a line that is too long raises `csv.Error`, and the next one follows.

    Of a first line that is too long, the complete columns are read: the other lines may be sound.
    """

    def __init__(self, text: io.TextIOWrapper, delimiter: str) -> None:
        self._text = text
        self._delimiter = delimiter
        self.number = 0
        self.is_cut = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        line = self._text.readline(LONGEST_LINE)
        if not line:
            raise StopIteration
        self.number += 1
        if len(line) < LONGEST_LINE or line.endswith(("\n", "\r")):
            return line
        while (rest := self._text.readline(LONGEST_LINE)) and not rest.endswith(("\n", "\r")):
            pass
        whole = line[: line.rfind(self._delimiter) + 1]
        if self.number == 1 and '"' not in whole:
            self.is_cut = True
            return whole
        raise csv.Error(f"a line of more than {LONGEST_LINE:,} characters")
