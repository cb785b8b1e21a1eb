"""Where rows come from: files that are streamed or looked into, lists, and whatever else can be gone through."""

from __future__ import annotations

import os
from array import array
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, Final, Protocol, TypeAlias

from loadkit.plan.data import Row, Rows
from loadkit.plan.errors import FeedError

BOM: Final = b"\xef\xbb\xbf"

Record: TypeAlias = tuple[int, Any]
"""Where it begins (a line of a file, a position from 1 elsewhere), and what is there, not looked at closely yet."""

Passed: TypeAlias = Callable[[int], None]


class RowSource(Protocol):
    """Rows in the order they have, as records first: workers that share a source skip those of others."""

    name: str

    def records(self) -> Generator[Record, None, None]:
        """All of them, from the first."""

    def row(self, record: Record) -> Row:
        """A record as a row; `FeedError` where it is none."""

    def close(self) -> None:
        """Give back what the system lent."""


class RandomAccess(RowSource, Protocol):
    """A source in which each row can be got by its position."""

    def __len__(self) -> int: ...

    def at(self, position: int) -> Row:
        """One row; `FeedError` where it is none."""


def open_source(rows: Rows, wanted: Mapping[str, str]) -> RowSource:
    """The source of rows that must have the columns `wanted` by endpoints, which messages name.

    Raises `FeedError` for a file that cannot be read.
    """
    path, name, indexed = rows.source, rows.name, rows.order != "file"
    if isinstance(path, Path) and rows.format == "json":
        return RowList(name, _read_list(path), wanted)
    if isinstance(path, Path):
        form: FileFormat = Csv(name, wanted) if rows.format == "csv" else JsonLines(name, wanted)
        return RowFile(path, form, indexed=indexed)
    return RowList(name, path, wanted) if isinstance(path, Sequence) else RowStream(name, path, wanted)


class RowList:
    """A list, or something like one."""

    def __init__(self, name: str, items: Sequence[Any], wanted: Mapping[str, str]) -> None:
        self.name = name
        self._items = items
        self._wanted = wanted

    def __len__(self) -> int:
        return len(self._items)

    def records(self) -> Generator[Record, None, None]:
        """All of them, counted from 1."""
        yield from enumerate(self._items, 1)

    def row(self, record: Record) -> Row:
        """The item, if it is a mapping with the columns."""
        position, item = record
        return _checked(item, self._wanted, f"{self.name}, row {position:,},")

    def at(self, position: int) -> Row:
        """The item at a position, counted from 0."""
        return self.row((position + 1, self._items[position]))

    def close(self) -> None:
        """There is nothing to close."""


class RowStream:
    """Anything to go through, perhaps once only and without an end; its rows are taken when they are needed."""

    def __init__(self, name: str, items: Iterable[Any], wanted: Mapping[str, str]) -> None:
        self.name = name
        self._items = items
        self._wanted = wanted
        self._put_back: list[Any] = []

    def records(self) -> Generator[Record, None, None]:
        """What is left of a generator; all of anything else."""
        put_back, self._put_back = self._put_back, []
        yield from enumerate(chain(put_back, self._items), 1)

    def put_back(self, item: object) -> None:
        """Have it come first."""
        if isinstance(self._items, Iterator):
            self._put_back.append(item)

    def row(self, record: Record) -> Row:
        """The item, if it is a mapping with the columns."""
        position, item = record
        return _checked(item, self._wanted, f"{self.name}, row {position:,},")

    def close(self) -> None:
        """A generator is its owner's."""


class FileFormat(Protocol):
    """How the records of a file are written."""

    def begin(self, file: IO[bytes]) -> int:
        """Read what stands before the records; how many bytes it takes."""

    def records(self, file: IO[bytes], passed: Passed) -> Iterator[Record]:
        """The records of a file from its start; how many bytes it takes from the file is told to `passed`."""

    def read(self, content: bytes) -> Any:
        """The bytes of one record as in `Record`."""

    def look(self, record: Record) -> None:
        """See that a record is sound as far as that costs little; `FeedError` if not."""

    def row(self, record: Record) -> Row:
        """A record as a row; `FeedError` where it is none."""


class RowFile:
    """A file of records: streamed, or looked into where each begins, at 8 bytes a record."""

    def __init__(self, path: Path, form: FileFormat, *, indexed: bool) -> None:
        self.name = str(path)
        self._path = path
        self._form = form
        self._data: IO[bytes] | None = None
        with _readable(path):
            with path.open("rb") as file:
                self._starts = array("Q", (form.begin(file),))
            if indexed:
                self._note_starts()
                self._data = path.open("rb", buffering=0)

    def __len__(self) -> int:
        return len(self._starts) - 1

    def records(self) -> Generator[Record, None, None]:
        """All of them; the file is read as they are taken."""
        with _readable(self._path), self._path.open("rb") as file:
            yield from self._form.records(file, _nobody)

    def row(self, record: Record) -> Row:
        """A record as a row."""
        return self._form.row(record)

    def at(self, position: int) -> Row:
        """The row at a position, counted from 0."""
        assert self._data
        start, end = self._starts[position : position + 2]
        try:
            content = _at(self._data, end - start, start)
        except OSError as error:
            raise FeedError(f"cannot read {self.name}: {error.strerror or error}") from None
        if len(content) < end - start:
            raise FeedError(f"{self.name} became shorter while rows were taken from it")
        record = self._form.read(content)
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

    def _note_starts(self) -> None:
        """Note where each record ends, which is where the next one begins."""
        offset = 0

        def passed(size: int) -> None:
            nonlocal offset
            offset += size

        with self._path.open("rb") as file:
            for record in self._form.records(file, passed):
                self._form.look(record)
                self._starts.append(offset)

    def close(self) -> None:
        """Close the file."""
        if self._data:
            self._data.close()


class Csv:
    """Comma-separated values as RFC 4180 has them, the first record naming the columns; blank lines are skipped."""

    def __init__(self, name: str, wanted: Mapping[str, str]) -> None:
        self._name = name
        self._wanted = wanted
        self._columns: list[str] = []

    def begin(self, file: IO[bytes]) -> int:
        """Read the names of the columns."""
        sizes: list[int] = []
        line, self._columns = next(self._all(file, sizes.append), (1, []))
        if not self._columns:
            raise FeedError(f"{self._name} is empty; its first line names the columns, like id,name")
        counts = Counter(self._columns)
        for position, column in enumerate(self._columns, 1):
            if not column.strip():
                raise FeedError(f"{self._name}:{line} gives column {position} no name")
            if counts[column] > 1:
                raise FeedError(f"{self._name}:{line} names the column {column!r} {counts[column]} times")
        _check_columns(self._columns, self._wanted, f"{self._name}:{line}")
        return sum(sizes)

    def records(self, file: IO[bytes], passed: Passed) -> Iterator[Record]:
        """Lines and values."""
        return islice(self._all(file, passed), 1, None)

    def _all(self, file: IO[bytes], passed: Passed) -> Iterator[Record]:
        import csv

        reader = csv.reader(_decoded(file, self._name, passed), strict=True)
        line = 1
        try:
            for values in reader:
                if values:
                    yield line, values
                line = reader.line_num + 1
        except csv.Error as error:
            raise FeedError(f"{self._name}:{line} is not CSV: {error}") from None

    def look(self, record: Record) -> None:
        """See that a value stands in each column."""
        line, values = record
        if len(values) != len(self._columns):
            have = f"{len(values)} value{'s' if len(values) != 1 else ''}"
            want = f"{len(self._columns)} column{'s' if len(self._columns) != 1 else ''}"
            raise FeedError(f"{self._name}:{line} has {have}, and the first line names {want}")

    def read(self, content: bytes) -> list[str]:
        """Bytes that were seen to be a record."""
        import csv

        return next(csv.reader((content.strip(b"\r\n").decode(),)))

    def row(self, record: Record) -> Row:
        """The values by their columns' names."""
        self.look(record)
        return dict(zip(self._columns, record[1], strict=True))


class JsonLines:
    """A JSON object on each line; blank lines are skipped."""

    def __init__(self, name: str, wanted: Mapping[str, str]) -> None:
        self._name = name
        self._wanted = wanted

    def begin(self, file: IO[bytes]) -> int:
        """Pass a byte order mark."""
        return len(BOM) if file.read(len(BOM)) == BOM else 0

    def records(self, file: IO[bytes], passed: Passed) -> Iterator[Record]:
        """Numbers and bytes of lines."""
        for number, line in enumerate(file, 1):
            passed(len(line))
            content = (line.removeprefix(BOM) if number == 1 else line).strip()
            if content:
                yield number, content

    def look(self, record: Record) -> None:
        """Objects are read when they are wanted."""

    def read(self, content: bytes) -> bytes:
        """The line."""
        return content.strip()

    def row(self, record: Record) -> Row:
        """The object of a line."""
        line, content = record
        return _checked(_decode(content, f"{self._name}:{line}"), self._wanted, f"{self._name}:{line}")


def _nobody(size: int) -> None:
    """Only an index asks how far a file was read."""


def _decoded(file: IO[bytes], name: str, passed: Passed) -> Iterator[str]:
    for number, line in enumerate(file, 1):
        passed(len(line))
        try:
            yield (line.removeprefix(BOM) if number == 1 else line).decode()
        except UnicodeDecodeError as error:
            raise FeedError(f"{name}:{number} is not UTF-8: {_where(error)}") from None


def _decode(content: bytes, place: str) -> Any:
    import msgspec

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
            raise FeedError(f"{place} has no column {column!r} for {label}; it has {have}")


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}
    return "null" if value is None else names.get(type(value), f"a {type(value).__name__}")


def _at(file: IO[bytes], size: int, offset: int) -> bytes:
    """Some bytes of a file; called by one thread at a time."""
    if hasattr(os, "pread"):
        return os.pread(file.fileno(), size, offset)
    file.seek(offset)
    return file.read(size)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        where = "" if path.is_absolute() else f" in {Path.cwd()}"
        raise FeedError(f"there is no file {str(path)!r}{where} to take rows from") from None
    except OSError as error:
        raise FeedError(f"cannot read {path}: {error.strerror or error}") from None
