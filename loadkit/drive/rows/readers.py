"""Where rows come from: files that are streamed or looked into, lists, and whatever else can be gone through."""

from __future__ import annotations

import csv
from array import array
from collections import Counter
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO, Any, Final, TypeAlias

import msgspec

from loadkit.plan.data import Row, Rows
from loadkit.plan.errors import FeedError

BOM: Final = b"\xef\xbb\xbf"

Record: TypeAlias = tuple[int, Any]
"""Where it begins (a line of a file, a position from 1 elsewhere), and what is there, not looked at closely yet."""


def open_source(rows: Rows, wanted: Mapping[str, str]) -> RowItems | RowFile:
    """The source of rows that must have the columns `wanted` by endpoints, which messages name.

    Raises `FeedError` for a file that cannot be read.
    """
    if not isinstance(rows.source, Path):
        return RowItems(rows.name, rows.source, wanted)
    if rows.format == "json":
        return RowItems(rows.name, _read_list(rows.source), wanted)
    form = Csv(rows.name, wanted) if rows.format == "csv" else JsonLines(rows.name, wanted)
    return RowFile(rows.source, form, indexed=rows.order != "file")


class RowItems:
    """A list, or anything else to go through, perhaps once only and without an end."""

    def __init__(self, name: str, items: Iterable[Any], wanted: Mapping[str, str]) -> None:
        self.name = name
        self._items: Any = items
        self._wanted = wanted

    def __len__(self) -> int:
        """How many there are; of a list only."""
        return len(self._items)

    def records(self) -> Generator[Record, None, None]:
        """What is left of a generator, taken as it is needed; all of anything else. They are counted from 1."""
        yield from enumerate(self._items, 1)

    def row(self, record: Record) -> Row:
        """The item, if it is a mapping with the columns; else raises `FeedError`."""
        position, item = record
        return _checked(item, self._wanted, f"{self.name}, row {position:,},")

    def at(self, position: int) -> Row:
        """The item at a position, counted from 0; of a list only."""
        return self.row((position + 1, self._items[position]))

    def put_back(self, item: object) -> None:
        """Have an item come first that was taken from a generator."""
        self._items = chain((item,), self._items)

    def close(self) -> None:
        """Leave it to its owner."""


class RowFile:
    """A file of records: streamed, or looked into where each begins, at 8 bytes a record."""

    def __init__(self, path: Path, form: Csv | JsonLines, *, indexed: bool) -> None:
        self.name = str(path)
        self._path = path
        self._form = form
        self._data: IO[bytes] | None = None
        with _readable(path), path.open("rb") as file:
            lines = _Lines(file)
            records = form.records(lines)
            self._starts = array("Q", (lines.size,))
            if indexed:
                for record in records:
                    form.check(record)
                    self._starts.append(lines.size)
                self._data = path.open("rb", buffering=0)

    def __len__(self) -> int:
        return len(self._starts) - 1

    def records(self) -> Generator[Record, None, None]:
        """All of them; the file is read as they are taken."""
        with _readable(self._path), self._path.open("rb") as file:
            yield from self._form.records(file)

    def row(self, record: Record) -> Row:
        """A record as a row; raises `FeedError` where it is none."""
        return self._form.row(record)

    def at(self, position: int) -> Row:
        """The row at a position, counted from 0; for one thread at a time."""
        assert self._data
        start, end = self._starts[position : position + 2]
        try:
            self._data.seek(start)
            content = self._data.read(end - start)
        except OSError as error:
            raise FeedError(f"cannot read {self.name}: {error.strerror or error}") from None
        if len(content) < end - start:
            raise FeedError(f"{self.name} became shorter while rows were taken from it")
        record = self._form.parse(content)
        try:
            return self._form.row((0, record))
        except FeedError:
            # it is worth a walk through the file to say where it was
            return self._form.row((self._line_of(start, content), record))

    def _line_of(self, offset: int, content: bytes) -> int:
        blank = len(content) - len(content.lstrip())
        line, left = 1 + content[:blank].count(b"\n"), offset
        with self._path.open("rb") as file:
            while left and (piece := file.read(min(left, 1 << 20))):
                line += piece.count(b"\n")
                left -= len(piece)
        return line

    def close(self) -> None:
        """Close the file."""
        if self._data:
            self._data.close()


class _Lines:
    """The lines of a file, and how many bytes those have that were taken."""

    def __init__(self, file: IO[bytes]) -> None:
        self.size = 0
        self._file = file

    def __iter__(self) -> Iterator[bytes]:
        # in a tenth of the time of asking the file for its position
        for line in self._file:
            self.size += len(line)
            yield line


class Csv:
    """Comma-separated values as RFC 4180 has them, the first record naming the columns; blank lines are skipped."""

    def __init__(self, name: str, wanted: Mapping[str, str]) -> None:
        self._name = name
        self._wanted = wanted
        self._columns: list[str] = []

    def records(self, lines: Iterable[bytes]) -> Iterator[Record]:
        """Read the names of the columns; return the records after them, each with its line and values."""
        found = self._records(lines)
        line, self._columns = next(found, (1, []))
        if not self._columns:
            raise FeedError(f"{self._name} is empty; its first line names the columns, like id,name")
        counts = Counter(self._columns)
        for position, column in enumerate(self._columns, 1):
            if not column.strip():
                raise FeedError(f"{self._name}:{line} gives column {position} no name")
            if counts[column] > 1:
                raise FeedError(f"{self._name}:{line} names the column {column!r} {counts[column]} times")
        _check_columns(self._columns, self._wanted, f"{self._name}:{line}")
        return found

    def _records(self, lines: Iterable[bytes]) -> Iterator[Record]:
        reader = csv.reader(self._decoded(lines), strict=True)
        line = 1
        try:
            for values in reader:
                if values:
                    yield line, values
                line = reader.line_num + 1
        except csv.Error as error:
            raise FeedError(f"{self._name}:{line} is not CSV: {error}") from None

    def _decoded(self, lines: Iterable[bytes]) -> Iterator[str]:
        for number, line in enumerate(lines, 1):
            try:
                yield (line.removeprefix(BOM) if number == 1 else line).decode()
            except UnicodeDecodeError as error:
                raise FeedError(f"{self._name}:{number} is not UTF-8: {_where(error)}") from None

    def check(self, record: Record) -> None:
        """See that a value stands in each column; raises `FeedError` if not."""
        line, values = record
        if len(values) != len(self._columns):
            have = f"{len(values)} value{'s' if len(values) != 1 else ''}"
            want = f"{len(self._columns)} column{'s' if len(self._columns) != 1 else ''}"
            raise FeedError(f"{self._name}:{line} has {have}, and the first line names {want}")

    def parse(self, content: bytes) -> list[str]:
        """The values in bytes that were seen to be a record."""
        return next(csv.reader((content.strip(b"\r\n").decode(),)))

    def row(self, record: Record) -> Row:
        """The values by their columns' names; raises `FeedError` if there are more or fewer."""
        self.check(record)
        return dict(zip(self._columns, record[1], strict=True))


class JsonLines:
    """A JSON object on each line; blank lines are skipped."""

    def __init__(self, name: str, wanted: Mapping[str, str]) -> None:
        self._name = name
        self._wanted = wanted

    def records(self, lines: Iterable[bytes]) -> Iterator[Record]:
        """The lines, each with its number."""
        for number, line in enumerate(lines, 1):
            if content := (self.parse(line) if number == 1 else line.strip()):
                yield number, content

    def check(self, record: Record) -> None:
        """Leave it for later: objects are read when they are wanted."""

    def parse(self, content: bytes) -> bytes:
        """The line, without a byte order mark."""
        return content.removeprefix(BOM).strip()

    def row(self, record: Record) -> Row:
        """The object of a line; raises `FeedError` where there is none, or where a column is missing."""
        place = f"{self._name}:{record[0]}"
        return _checked(_decode(record[1], place), self._wanted, place)


def _decode(content: bytes, place: str) -> Any:
    try:
        return msgspec.json.decode(content)
    except UnicodeDecodeError as error:
        raise FeedError(f"{place} is not UTF-8: {_where(error)}") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise FeedError(f"{place} is not JSON: {error}") from None


def _where(error: UnicodeDecodeError) -> str:
    return f"the byte 0x{error.object[error.start]:02x} cannot stand there"


def _read_list(path: Path) -> list[Any]:
    with _readable(path):
        found = _decode(path.read_bytes().removeprefix(BOM), str(path))
    if not isinstance(found, list):
        raise FeedError(f"{path} holds {_kind(found)} and not a list of objects; for one on each line call it .jsonl")
    return found


def _checked(item: object, wanted: Mapping[str, str], place: str) -> Row:
    if not isinstance(item, Mapping):
        raise FeedError(f"{place} is {_kind(item)} and not an object like {{'id': 17}}")
    if not wanted.keys() <= item.keys():
        _check_columns(item, wanted, place)
    return item


def _check_columns(columns: Collection[object], wanted: Mapping[str, str], place: str) -> None:
    for column, label in wanted.items():
        if column not in columns:
            have = ", ".join(map(str, columns)) or "nothing"
            only = str(next(iter(columns))) if len(columns) == 1 else ""
            mark = next((mark for mark in ";\t|" if column in only.split(mark)), None)
            why = f" in one column: its values are separated by {mark!r}, and commas are read" if mark else ""
            raise FeedError(f"{place} has no column {column!r} for {label}; it has {have}{why}")


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}
    return "null" if value is None else names.get(type(value), f"a {type(value).__name__}")


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        where = "" if path.is_absolute() else f" in {Path.cwd()}"
        raise FeedError(f"there is no file {str(path)!r}{where} to take rows from") from None
    except OSError as error:
        raise FeedError(f"cannot read {path}: {error.strerror or error}") from None
