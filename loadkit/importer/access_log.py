"""Access logs of nginx and Apache, line by line: when which request came, and how it was answered.

apachelogs takes 70 us a line, and knows no formats of nginx; an expression for the few fields that matter takes 3.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, TypeAlias, cast
from urllib.parse import quote, urlsplit

from loadkit.plan.errors import UsageError, reason_of
from loadkit.plan.units import SECOND

LONGEST: Final = 65_536
"""Bytes of a line; what is longer is broken."""

_MONTHS: Final = {
    name: number
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), 1
    )
}
_LOCAL: Final = re.compile(r"(\d\d)/(\w{3})/(\d{4}):(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))? ([+-]\d{4})")
_ESCAPE: Final = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|(.))")
_PRINTABLE: Final = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) != "#")

_TIME: Final = r"(?P<time>[^\]\"]{10,40}?)"
_REQUEST: Final = r"(?P<request>[^\"\\]*(?:\\.[^\"\\]*)*)"
COMBINED: Final = re.compile(rf"\[{_TIME}\] \"{_REQUEST}\" (?P<status>\d{{3}}|-)(?!\d)")
"""The common and the combined format, whatever stands before and behind."""

_NGINX: Final = {
    "time_local": _TIME,
    "time_iso8601": _TIME,
    "msec": r"(?P<epoch>\d{1,12}(?:\.\d{1,9})?)",
    "request": _REQUEST,
    "request_method": r"(?P<method>[A-Z]+)",
    "request_uri": r"(?P<target>[^\s\"]*)",
    "uri": r"(?P<path>[^\s\"]*)",
    "document_uri": r"(?P<path>[^\s\"]*)",
    "args": r"(?P<query>[^\s\"]*)",
    "query_string": r"(?P<query>[^\s\"]*)",
    "status": r"(?P<status>\d{3}|-)",
    "request_time": r"(?P<took>\d+(?:\.\d+)?|-)",
}
"""Variables of `log_format`, for what they are; nginx writes a line when the reply is out, `took` after it came."""
_APACHE: Final = {
    "t": rf"\[{_TIME}\]",
    "{sec}t": r"(?P<epoch>\d{1,12})",
    "{msec}t": r"(?P<milliseconds>\d{1,15})",
    "{usec}t": r"(?P<microseconds>\d{1,18})",
    "r": _REQUEST,
    "m": r"(?P<method>[A-Z]+)",
    "U": r"(?P<path>[^\s\"]*)",
    "q": r"(?P<query>[^\s\"]*)",
    "s": r"(?P<status>\d{3}|-)",
}
"""Directives of `LogFormat`."""
_FIELD: Final = re.compile(
    r"\$\{?(?P<nginx>[a-z_0-9]+)\}?|%(?P<apache>(?:[<>!,\d]*)(?P<name>\{[^}]*\}\^?[A-Za-z]{1,2}|[A-Za-z%]))"
)


class LogLine(NamedTuple):
    """A request of a log."""

    at: int
    """When it came, nanoseconds since the epoch."""
    method: str
    target: str
    """Path and query, percent-encoded; with a `/` at the beginning."""
    status: int
    """0 where the line has none."""


Parse: TypeAlias = Callable[[bytes], LogLine | None]
"""Reads a line; None for a broken one."""


def log_parser(log_format: str | None = None) -> Parse:
    """What reads lines of a format as the configuration of nginx or Apache has it; of none the usual ones.

    Raises `UsageError` for a format in which what is needed is missing.
    """
    pattern = _pattern(log_format) if log_format else COMBINED
    search = pattern.search

    def parse(line: bytes) -> LogLine | None:
        found = search(line.decode("latin-1"))
        try:
            return _log_line(found.groupdict()) if found else None
        except (ValueError, KeyError, OverflowError):
            return None

    return parse


def _pattern(log_format: str) -> re.Pattern[str]:
    parts, end, taken = [], 0, set[str]()
    for found in _FIELD.finditer(log_format):
        parts.append(re.escape(log_format[end : found.start()]))
        parts.append(_field(found, taken))
        end = found.end()
    pattern = re.compile("".join([*parts, re.escape(log_format[end:])]).replace(r"\ ", " "))
    names = pattern.groupindex.keys()
    for what, like, fields in (
        ("when", "$time_local or %t", {"time", "epoch", "milliseconds", "microseconds"}),
        ("what was requested", "$request or %r", {"request", "target", "path"}),
    ):
        if not names & fields:
            raise UsageError(f"the log format {log_format!r} does not say {what}; there is no {like} in it")
    return pattern


def _field(found: re.Match[str], taken: set[str]) -> str:
    """The expression of a field; of one that does not matter, or stands there again, anything."""
    if found["nginx"]:
        known = _NGINX.get(found["nginx"], "")
    else:
        if found["name"] == "%":
            return "%"
        known = _APACHE.get(found["name"].replace("{begin:", "{"), "")
    name = known.partition("(?P<")[2].partition(">")[0]
    if not known or name in taken:
        return ".*?"
    taken.add(name)
    return known


def _log_line(found: dict[str, str | None]) -> LogLine:
    method, target = _requested(found)
    status = found.get("status") or "-"
    return LogLine(_instant(found), method, target, int(status) if status != "-" else 0)


def _requested(found: dict[str, str | None]) -> tuple[str, str]:
    """The method and the target; raises `ValueError` for what is none of a server's own."""
    if "request" in found:
        method, _, rest = _unescaped(found["request"] or "").partition(" ")
        target = rest.rpartition(" HTTP/")[0] or rest
    else:
        method, target = found.get("method") or "GET", found.get("target") or found.get("path") or ""
        if "target" not in found and (query := (found.get("query") or "-").removeprefix("?")) != "-":
            target += f"?{query}" if query else ""
        target = _unescaped(target)
    if "://" in target[:12]:
        parts = urlsplit(target)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not target.startswith("/") or not method.isalpha() or not method.isupper():
        raise ValueError(target)
    # a fragment is sent by nobody but a scanner
    is_plain = target.isascii() and target.isprintable() and " " not in target and "#" not in target
    return method, target if is_plain else quote(target, safe=_PRINTABLE, encoding="latin-1")


def _unescaped(text: str) -> str:
    """Both servers write what is not printable as `\\xHH`, and Apache a quote as `\\"`."""
    if "\\" not in text:
        return text
    return _ESCAPE.sub(lambda one: chr(int(one[1], 16)) if one[1] else one[2], text)


def _instant(found: dict[str, str | None]) -> int:
    if (time := found.get("time")) is not None:
        at = _nanoseconds(time)
    elif (epoch := found.get("epoch")) is not None:
        whole, _, part = epoch.partition(".")
        at = int(whole) * SECOND + int(part.ljust(9, "0"))
    elif (microseconds := found.get("microseconds")) is not None:
        at = int(microseconds) * 1000
    else:
        at = int(cast(str, found["milliseconds"])) * 1_000_000
    took = found.get("took")
    return at - round(float(took) * SECOND) if took and took != "-" else at


@lru_cache(maxsize=1024)
def _nanoseconds(text: str) -> int:
    """Nanoseconds since the epoch of `28/Nov/2026:13:00:01 +0100` or of ISO 8601; the lines of a second share it."""
    found = _LOCAL.fullmatch(text)
    if not found:
        when = datetime.fromisoformat(text)
        if when.tzinfo is None:
            raise ValueError("without its zone an instant is none")
        return round(when.timestamp() * 1_000_000) * 1000
    day, month, year, hour, minute, second, part, zone = found.groups()
    when = datetime.strptime(f"{year}-{_MONTHS[month]}-{day} {hour}:{minute}:{second} {zone}", "%Y-%m-%d %H:%M:%S %z")
    return int(when.timestamp()) * SECOND + int((part or "").ljust(9, "0"))


def log_lines(path: Path) -> Iterator[bytes]:
    """The lines of a log, gzipped or not; an empty one for what is too long. `UsageError` for what cannot be read."""
    try:
        with path.open("rb") as plain:
            is_gzip = plain.read(2) == b"\x1f\x8b"
            plain.seek(0)
            yield from _lines(cast(BinaryIO, gzip.GzipFile(fileobj=plain)) if is_gzip else plain)
    except (OSError, EOFError, zlib.error) as error:
        reason = reason_of(error) if isinstance(error, OSError) else "its gzip is cut short or broken"
        raise UsageError(f"cannot read {str(path)!r}: {reason}") from None


def _lines(file: BinaryIO) -> Iterator[bytes]:
    while line := file.readline(LONGEST):
        if len(line) < LONGEST or line.endswith(b"\n"):
            yield line
            continue
        while (rest := file.readline(LONGEST)) and not rest.endswith(b"\n"):
            pass
        yield b"\n"
