"""From the sources to the schedule: read, refuse what is no URL, leave out what is there already or came before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from loadkit.fetcher.item import made
from loadkit.fetcher.manifest import Before, Line, Manifest
from loadkit.fetcher.plan import Plan
from loadkit.fetcher.schedule import Schedule
from loadkit.fetcher.seen import Digests, digest_of
from loadkit.fetcher.sources import Entry, Refused
from loadkit.fetcher.url import NotAUrl, shown
from loadkit.plan.errors import UsageError

SHOWN: Final = 20
"""Refused lines that are shown in full; the manifest has all."""


@dataclass(slots=True)
class Intake:
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


class Reader:
    """Reads in a thread of its own, for a source may be as slow as it likes."""

    def __init__(
        self, entries: Iterator[Entry], plan: Plan, schedule: Schedule, manifest: Manifest, before: Before
    ) -> None:
        self.intake = Intake()
        self.crash: BaseException | None = None
        self.trouble: OSError | None = None
        self._entries = entries
        self._plan = plan
        self._schedule = schedule
        self._manifest = manifest
        self._before = before
        self._seen = Digests()
        self._must_be_whole = not plan.resume and not manifest.is_empty

    def run(self) -> None:
        """Read to the end, or until nothing more is wanted. What the source raises is kept in `crash`."""
        try:
            for entry in self._entries:
                if self._schedule.is_stopped:
                    return
                self.intake.read += 1
                if not self._take(entry):
                    return
            self.intake.is_done = True
        except OSError as error:
            if self.trouble is None:
                self.crash = error
        except BaseException as error:  # noqa: BLE001 - a source is anybody's code; raised again where it was asked for
            self.crash = error
        finally:
            if self.crash or self.trouble:
                self._schedule.stop()
            self._schedule.no_more()

    def _take(self, entry: Entry) -> bool:
        """Whether more is wanted."""
        intake = self.intake
        if isinstance(entry, Refused):
            self._refuse(entry.where, entry.text, entry.reason)
            return True
        try:
            item = made(entry, intake.read, self._plan.method)
        except NotAUrl as error:
            self._refuse(entry.where, entry.url, str(error))
            return True
        is_new = self._plan.duplicates or self._seen.add(item.key)
        if not is_new:
            intake.duplicates += 1
        elif self._before.known_as(item.key, item.position) in self._before.complete:
            intake.complete += 1
        else:
            if self._must_be_whole:
                raise UsageError(
                    f"{self._manifest.path.parent} holds an earlier run that has not fetched {shown(item.asked.url)}; "
                    "--resume does the rest, or fetch into another folder"
                )
            intake.given += 1
            return self._schedule.add(item)
        return True

    def _refuse(self, where: str, text: str, reason: str) -> None:
        intake = self.intake
        intake.refused += 1
        if len(intake.refusals) < SHOWN:
            intake.refusals.append(f"{where}: {reason}")
        key = digest_of(f"{where} {text}")
        if key in self._before.refused:
            return
        line = Line(
            url=shown(text), position=intake.read, error=f"{shown(where)}: {reason}", kind="refused", key=f"{key:016x}"
        )
        try:
            self._manifest.append(line)
        except OSError as error:
            if not self._schedule.is_stopped:
                self.trouble = error
                raise


def check_all(entries: Iterator[Entry], plan: Plan) -> None:
    """Read all of a source and send nothing; `UsageError` naming the first lines that are no URLs."""
    found: list[str] = []
    count = 0
    for position, entry in enumerate(entries, start=1):
        reason = ""
        if isinstance(entry, Refused):
            reason = entry.reason
        else:
            try:
                made(entry, position, plan.method)
            except NotAUrl as error:
                reason = str(error)
        if reason:
            count += 1
            if len(found) < SHOWN:
                found.append(f"  {entry.where}: {reason}")
    if count:
        more = [f"  and {count - len(found):,} more"] if count > len(found) else []
        lines = "1 line is no URL" if count == 1 else f"{count:,} lines are no URLs"
        raise UsageError("\n".join([f"{lines}, and --strict refuses the list:", *found, *more]))
