"""From the entries of a list to tasks in the schedule, without those that are no URLs, complete, or duplicates."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from loadkit.fetcher.counters import InputStats
from loadkit.fetcher.manifest import DigestSet, ManifestLine, digest_of
from loadkit.fetcher.options import FetchOptions, check_sendable, read_method
from loadkit.fetcher.sources import Entry
from loadkit.fetcher.task import FetchRequest, Task
from loadkit.fetcher.url import InvalidUrl, Url, parse_url, printable
from loadkit.plan.errors import UsageError

if TYPE_CHECKING:
    from loadkit.fetcher.attempts import FetchContext

SHOWN: Final = 20
"""Lines without a URL that are shown; the manifest has all."""


class SourceReader:
    """Reads a source, which may be slow, on a thread of its own."""

    def __init__(self, entries: Iterator[Entry], context: FetchContext) -> None:
        self.stats = InputStats()
        self._entries = entries
        self._context = context
        self._store = context.store
        self._seen = DigestSet()

    def run(self) -> None:
        """Read until the end, or until no more is wanted; what the source raises ends the fetch."""
        schedule = self._context.schedule
        try:
            for entry in self._entries:
                if schedule.is_stopped:
                    return
                self.stats.read += 1
                if not self._take(entry):
                    return
            self.stats.is_done = True
        except BaseException as error:  # noqa: BLE001 - raised again by the job: a source may be anybody's code
            self._context.fail(error)
        finally:
            schedule.close()

    def _take(self, entry: Entry) -> bool:
        """Take one entry; False if no more are wanted."""
        stats, previous, options = self.stats, self._store.previous, self._context.options
        is_first = self._store.manifest.was_empty
        try:
            task = parse_entry(entry, stats.read, options.method)
        except InvalidUrl as error:
            self._refuse(entry, str(error))
            return True
        request = task.request
        if not (options.duplicates or self._seen.add(request.key)):
            stats.duplicates += 1
        elif not is_first and previous.entry_key(request.key, request.position) in previous.complete:
            stats.complete += 1
        elif not (is_first or options.resume):
            raise UsageError(
                f"{options.into} holds an earlier run that has not fetched "
                f"{printable(request.url.text)}; --resume does the rest, or fetch into another folder"
            )
        else:
            stats.given += 1
            return self._context.schedule.add(task)
        return True

    def _refuse(self, entry: Entry, reason: str) -> None:
        stats = self.stats
        stats.refused += 1
        if len(stats.bad_lines) < SHOWN:
            stats.bad_lines.append(f"{entry.where}: {reason}")
        key = digest_of(f"{entry.where} {entry.url}")
        if key in self._store.previous.refused:
            return
        line = ManifestLine(
            url=printable(entry.url),
            position=stats.read,
            error=f"{printable(entry.where)}: {reason}",
            kind="refused",
            key=f"{key:016x}",
        )
        try:
            self._store.manifest.append(line)
        except OSError as error:
            if not self._context.schedule.is_stopped:
                self._context.fail_disk(error)


def check_all(entries: Iterator[Entry], options: FetchOptions) -> None:
    """Read all of a source; raises `UsageError` naming the first lines that are no URLs."""
    found: list[str] = []
    count = 0
    for entry in entries:
        try:
            parse_entry(entry, 1, options.method)
        except InvalidUrl as error:
            count += 1
            if count <= SHOWN:
                found.append(f"  {entry.where}: {error}")
    if count:
        more = [f"  and {count - SHOWN:,} more"] if count > SHOWN else []
        lines = "1 line is no URL" if count == 1 else f"{count:,} lines are no URLs"
        raise UsageError("\n".join([f"{lines}, and --strict refuses the list:", *found, *more]))


def parse_entry(entry: Entry, position: int, default_method: str) -> Task:
    """The task for an entry of the list; raises `InvalidUrl` with the reason if it cannot be one."""
    if entry.error:
        raise InvalidUrl(entry.error)
    url = parse_url(entry.url)
    if entry.row is None:
        method, headers, body = default_method, None, None
    else:
        try:
            method = read_method(entry.row.get("method") or default_method)
            headers, body = _headers_and_body(entry.row)
        except RecursionError:
            raise InvalidUrl("nested too deep") from None
        except (UsageError, ValueError, TypeError) as error:
            raise InvalidUrl(str(error)) from None
    key = _request_key(url, method, headers, body)
    return Task(FetchRequest(position, url, method, headers, body, key), url)


def _headers_and_body(row: Mapping[str, Any]) -> tuple[dict[str, str] | None, bytes | None]:
    headers = _headers(row.get("headers") or {})
    given, is_json = row.get("json"), True
    if given is None:
        given = row.get("body")
        is_json = not isinstance(given, str | bytes | None)
    if is_json:
        if "content-type" not in map(str.lower, headers):
            headers["Content-Type"] = "application/json"
        given = json.dumps(given)
    return headers or None, given.encode("utf-8", "surrogateescape") if isinstance(given, str) else given


def _headers(given: object) -> dict[str, str]:
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except (ValueError, RecursionError):
            given = None
    if not isinstance(given, Mapping):
        raise TypeError('headers are an object like {"Accept": "text/html"}')
    # without variables: a list may be somebody else's, and must not read our environment
    return check_sendable({str(name): str(value) for name, value in given.items()})


def _request_key(url: Url, method: str, headers: dict[str, str] | None, body: bytes | None) -> int:
    """The digest of everything that is requested, but of the credentials only the user."""
    if method == "GET" and body is None and not headers and not url.user:
        return digest_of(url.text)
    own = sorted((name.lower(), value) for name, value in (headers or {}).items())
    return digest_of(f"{method} {url.user}@{url.text} {own!r} {body!r}")
