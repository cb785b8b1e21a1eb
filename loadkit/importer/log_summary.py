"""The lines of access logs that are to be sent, and what is to be said of the others."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from loadkit.importer.access_log import LogLine, Parse, log_lines
from loadkit.plan.units import show_count

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that are sent without being asked for: they change nothing."""


class LogSummary:
    """Reads logs one after the other, and counts what it finds."""

    def __init__(
        self, paths: Sequence[Path], parse: Parse, methods: frozenset[str], *, keeps_failed: bool = True
    ) -> None:
        self._paths = paths
        self._parse = parse
        self._methods = methods
        self._keeps_failed = keeps_failed
        self._lines = 0
        self._broken = 0
        self._first_broken = ""
        self._refused = Counter[str]()
        self._sent = self._failed = 0
        self._digest = hashlib.blake2b(digest_size=8)

    def requests(self) -> Iterator[LogLine]:
        """The requests with one of the methods, in the order of the lines."""
        for path in self._paths:
            for number, content in enumerate(log_lines(path), 1):
                self._digest.update(content)
                self._lines += 1
                line = self._parse(content)
                if line is None:
                    self._broken += 1
                    self._first_broken = self._first_broken or f"{path}:{number}"
                elif line.method in self._methods:
                    is_failed = line.status >= 400
                    self._sent += not is_failed or self._keeps_failed
                    self._failed += is_failed
                    if not is_failed or self._keeps_failed:
                        yield line
                else:
                    self._refused[line.method[:20] if len(self._refused) < 20 else "others"] += 1

    @property
    def digest(self) -> str:
        """The same for the same lines."""
        return self._digest.hexdigest()

    @property
    def notes(self) -> list[str]:
        """What was found, and what is left out, as sentences."""
        names = ", ".join(map(str, self._paths))
        notes = [f"{names}: {self._sent:,} of {show_count(self._lines, 'line')}"]
        if self._refused:
            kinds = ", ".join(f"{name} {count:,}" for name, count in self._refused.most_common())
            notes.append(f"left out: {self._refused.total():,} of other methods ({kinds})")
        if self._failed and not self._keeps_failed:
            notes.append(f"left out: {self._failed:,} answered with 400 or more")
        if self._broken:
            notes.append(f"{show_count(self._broken, 'broken line')}, the first is {self._first_broken}")
        if self._broken == self._lines > 0:
            notes.append("none is in the format that was looked for: --log-format says how they are written")
        if self._failed and self._keeps_failed:
            notes.append(f"{self._failed:,} answered with 400 or more then")
        return notes
