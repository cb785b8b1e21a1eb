"""Reads the sources into the schedule, without lines that are no URLs, URLs that are complete, and duplicates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from loadkit.fetcher.manifest import Manifest, ManifestLine
from loadkit.fetcher.options import FetchOptions
from loadkit.fetcher.resume import DigestSet, PreviousRuns, digest_of
from loadkit.fetcher.schedule import Schedule
from loadkit.fetcher.sources import BadLine, SourceItem
from loadkit.fetcher.task import parse_entry
from loadkit.fetcher.url import InvalidUrl, printable
from loadkit.plan.errors import UsageError

SHOWN: Final = 20
"""Lines without a URL that are shown; the manifest has all."""


@dataclass(slots=True)
class InputStats:
    """How many entries were read, and what became of them. Only the reader changes it."""

    read: int = 0
    duplicates: int = 0
    complete: int = 0
    """Fetched by an earlier run, as the manifest says and the disk confirms."""
    refused: int = 0
    """Lines without a URL."""
    bad_lines: list[str] = field(default_factory=list)
    """Some of them, with the reason."""
    given: int = 0
    """Added to the schedule."""
    is_done: bool = False


class SourceReader:
    """Reads a source, which may be slow, on a thread of its own."""

    def __init__(
        self,
        entries: Iterator[SourceItem],
        options: FetchOptions,
        schedule: Schedule,
        manifest: Manifest,
        previous: PreviousRuns,
    ) -> None:
        self.stats = InputStats()
        self.crash: BaseException | None = None
        self.disk_error: OSError | None = None
        self._entries = entries
        self._options = options
        self._schedule = schedule
        self._manifest = manifest
        self._previous = previous
        self._seen = DigestSet()
        self._must_be_complete = not options.resume and not manifest.is_empty

    def run(self) -> None:
        """Read until the end, or until no more is wanted; what the source raises is kept in `crash`."""
        try:
            for entry in self._entries:
                if self._schedule.is_stopped:
                    return
                self.stats.read += 1
                if not self._take(entry):
                    return
            self.stats.is_done = True
        except OSError as error:
            if self.disk_error is None:
                self.crash = error
        except BaseException as error:  # noqa: BLE001 - raised again by the job: a source may be anybody's code
            self.crash = error
        finally:
            if self.crash or self.disk_error:
                self._schedule.stop()
            self._schedule.close()

    def _take(self, entry: SourceItem) -> bool:
        """Take one entry; False if no more are wanted."""
        stats = self.stats
        if isinstance(entry, BadLine):
            self._refuse(entry.where, entry.text, entry.reason)
            return True
        try:
            task = parse_entry(entry, stats.read, self._options.method)
        except InvalidUrl as error:
            self._refuse(entry.where, entry.url, str(error))
            return True
        is_new = self._options.duplicates or self._seen.add(task.request.key)
        if not is_new:
            stats.duplicates += 1
        elif self._previous.entry_key(task.request.key, task.request.position) in self._previous.complete:
            stats.complete += 1
        else:
            if self._must_be_complete:
                raise UsageError(
                    f"{self._manifest.path.parent} holds an earlier run that has not fetched "
                    f"{printable(task.request.url.text)}; --resume does the rest, or fetch into another folder"
                )
            stats.given += 1
            return self._schedule.add(task)
        return True

    def _refuse(self, where: str, text: str, reason: str) -> None:
        stats = self.stats
        stats.refused += 1
        if len(stats.bad_lines) < SHOWN:
            stats.bad_lines.append(f"{where}: {reason}")
        key = digest_of(f"{where} {text}")
        if key in self._previous.refused:
            return
        line = ManifestLine(
            url=printable(text),
            position=stats.read,
            error=f"{printable(where)}: {reason}",
            kind="refused",
            key=f"{key:016x}",
        )
        try:
            self._manifest.append(line)
        except OSError as error:
            if not self._schedule.is_stopped:
                self.disk_error = error
                raise


def check_all(entries: Iterator[SourceItem], options: FetchOptions) -> None:
    """Read all of a source; raises `UsageError` naming the first lines that are no URLs."""
    found: list[str] = []
    count = 0
    for position, entry in enumerate(entries, start=1):
        reason = ""
        if isinstance(entry, BadLine):
            reason = entry.reason
        else:
            try:
                parse_entry(entry, position, options.method)
            except InvalidUrl as error:
                reason = str(error)
        if reason:
            count += 1
            if len(found) < SHOWN:
                found.append(f"  {entry.where}: {reason}")
    if count:
        more = [f"  and {count - len(found):,} more"] if count > len(found) else []
        lines = "1 line is no URL" if count == 1 else f"{count:,} lines are no URLs"
        raise UsageError("\n".join([f"{lines}, and --strict refuses the list:", *found, *more]))
