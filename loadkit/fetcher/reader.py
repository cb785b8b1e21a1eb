"""From the sources to the schedule: read, refuse what is no URL, leave out what is there already or came before."""

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
from loadkit.fetcher.url import InvalidUrl, shown
from loadkit.plan.errors import UsageError

SHOWN: Final = 20
"""Refused lines that are shown in full; the manifest has all."""


@dataclass(slots=True)
class InputStats:
    """What was read, and what became of it. Written by the reader alone."""

    read: int = 0
    duplicates: int = 0
    complete: int = 0
    """There already, as the manifest proves."""
    refused: int = 0
    refusals: list[str] = field(default_factory=list)
    given: int = 0
    """Handed to the threads."""
    is_done: bool = False


class SourceReader:
    """Reads in a thread of its own, for a source may be as slow as it likes."""

    def __init__(
        self,
        entries: Iterator[SourceItem],
        plan: FetchOptions,
        schedule: Schedule,
        manifest: Manifest,
        before: PreviousRuns,
    ) -> None:
        self.stats = InputStats()
        self.crash: BaseException | None = None
        self.trouble: OSError | None = None
        self._entries = entries
        self._plan = plan
        self._schedule = schedule
        self._manifest = manifest
        self._before = before
        self._seen = DigestSet()
        self._must_be_whole = not plan.resume and not manifest.is_empty

    def run(self) -> None:
        """Read to the end, or until nothing more is wanted. What the source raises is kept in `crash`."""
        try:
            for entry in self._entries:
                if self._schedule.is_stopped:
                    return
                self.stats.read += 1
                if not self._take(entry):
                    return
            self.stats.is_done = True
        except OSError as error:
            if self.trouble is None:
                self.crash = error
        except BaseException as error:  # noqa: BLE001 - a source is anybody's code; raised again where it was asked for
            self.crash = error
        finally:
            if self.crash or self.trouble:
                self._schedule.stop()
            self._schedule.no_more()

    def _take(self, entry: SourceItem) -> bool:
        """Whether more is wanted."""
        stats = self.stats
        if isinstance(entry, BadLine):
            self._refuse(entry.where, entry.text, entry.reason)
            return True
        try:
            task = parse_entry(entry, stats.read, self._plan.method)
        except InvalidUrl as error:
            self._refuse(entry.where, entry.url, str(error))
            return True
        is_new = self._plan.duplicates or self._seen.add(task.key)
        if not is_new:
            stats.duplicates += 1
        elif self._before.entry_key(task.key, task.position) in self._before.complete:
            stats.complete += 1
        else:
            if self._must_be_whole:
                raise UsageError(
                    f"{self._manifest.path.parent} holds an earlier run that has not fetched {shown(task.asked.url)}; "
                    "--resume does the rest, or fetch into another folder"
                )
            stats.given += 1
            return self._schedule.add(task)
        return True

    def _refuse(self, where: str, text: str, reason: str) -> None:
        stats = self.stats
        stats.refused += 1
        if len(stats.refusals) < SHOWN:
            stats.refusals.append(f"{where}: {reason}")
        key = digest_of(f"{where} {text}")
        if key in self._before.refused:
            return
        line = ManifestLine(
            url=shown(text),
            position=stats.read,
            error=f"{shown(where)}: {reason}",
            kind="refused",
            key=f"{key:016x}",
        )
        try:
            self._manifest.append(line)
        except OSError as error:
            if not self._schedule.is_stopped:
                self.trouble = error
                raise


def check_all(entries: Iterator[SourceItem], plan: FetchOptions) -> None:
    """Read all of a source and send nothing; `UsageError` naming the first lines that are no URLs."""
    found: list[str] = []
    count = 0
    for position, entry in enumerate(entries, start=1):
        reason = ""
        if isinstance(entry, BadLine):
            reason = entry.reason
        else:
            try:
                parse_entry(entry, position, plan.method)
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
