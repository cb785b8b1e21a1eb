"""Rows of data that fill the placeholders of an endpoint: where they come from, and in which order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Literal, TypeAlias

from loadkit.plan.errors import UsageError

Row: TypeAlias = Mapping[str, Any]
Order: TypeAlias = Literal["file", "shuffled", "random"]
AtEnd: TypeAlias = Literal["again", "stop"]
Format: TypeAlias = Literal["csv", "lines", "json"]

ORDERS = ("file", "shuffled", "random")
AT_END = ("again", "stop")
FORMATS: dict[str, Format] = {".csv": "csv", ".jsonl": "lines", ".ndjson": "lines", ".json": "json"}

RIGHT = "a path like 'users.csv' (.csv, .jsonl, .ndjson or .json) or an iterable of mappings"


@dataclass(frozen=True, slots=True)
class Rows:
    """Where rows come from and how they are handed out; made by `rows`. The source is not touched before a run."""

    source: Path | Iterable[Row]
    order: Order = "file"
    at_end: AtEnd = "again"

    def __post_init__(self) -> None:
        object.__setattr__(self, "source", _source(self.source))
        if self.order not in ORDERS:
            raise UsageError(f"there is no order {self.order!r}; use one of {', '.join(ORDERS)}")
        if self.at_end not in AT_END:
            raise UsageError(f"at_end takes 'again' or 'stop', not {self.at_end!r}")
        if self.order == "random" and self.at_end == "stop":
            raise UsageError("order='random' has no end to stop at; use order='shuffled' for each row once")
        if self.order != "file" and not isinstance(self.source, Path | Sequence):
            raise UsageError(
                f"order={self.order!r} needs all rows at hand, and {self.name} is read once from its start; "
                "give a list or a file"
            )

    def __repr__(self) -> str:
        shown = repr(str(self.source)) if isinstance(self.source, Path) else f"<{type(self.source).__name__}>"
        order = "" if self.order == "file" else f", order={self.order!r}"
        at_end = "" if self.at_end == "again" else f", at_end={self.at_end!r}"
        return f"rows({shown}{order}{at_end})"

    @property
    def name(self) -> str:
        """What messages call the source."""
        return str(self.source) if isinstance(self.source, Path) else f"the {type(self.source).__name__} of rows"

    @property
    def format(self) -> Format | None:
        """How its file is written; None for an iterable."""
        return FORMATS[self.source.suffix.lower()] if isinstance(self.source, Path) else None

    @property
    def is_one_shot(self) -> bool:
        """True if the source can be gone through once only, as a generator."""
        return isinstance(self.source, Iterator)


def rows(source: str | PathLike[str] | Iterable[Row], *, order: Order = "file", at_end: AtEnd = "again") -> Rows:
    """Data for `Endpoint(feed=...)`: each request takes the next row.

    >>> rows("users.csv", order="shuffled", at_end="stop")
    rows('users.csv', order='shuffled', at_end='stop')

    Args:
        source: a file, or any iterable of mappings. A `.csv` has a line of column names, `.jsonl` and `.ndjson` an
            object on each line, `.json` a list of objects (it is read into memory; the others are not). Files are
            UTF-8, and a relative path is looked for in the working directory. Of a generator each row is taken when
            it is needed, so it may be infinite.
        order: `"file"`, as they come; `"shuffled"`, each once and in another order each time; `"random"`, any of
            them each time. The scenario's seed decides, so runs with the same seed are the same.
        at_end: `"again"` starts again, `"stop"` ends the run when each row was used once. A generator cannot be
            started again: when it ends, the run ends.

    Endpoints that are given the same `Rows` share it: each row goes to one of them. Requests that warm up take rows,
    too. In an open workload rows belong to its arrivals in turn, and are taken while their instant is waited for.

    Raises `UsageError` for a value it cannot use.
    """
    return Rows(source if not isinstance(source, str | PathLike) else Path(fspath(source)), order, at_end)


def _source(source: object) -> Path | Iterable[Row]:
    if isinstance(source, str | PathLike):
        path = Path(fspath(source))
        if path.suffix.lower() not in FORMATS:
            raise UsageError(f"cannot tell from its name what {str(path)!r} holds; rows takes {RIGHT}")
        return path
    if isinstance(source, bytes | bytearray | Mapping) or not isinstance(source, Iterable):
        called = "; call the function" if callable(source) else ""
        raise UsageError(f"rows takes {RIGHT}, not {type(source).__name__}{called}")
    return source
