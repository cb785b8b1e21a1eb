"""The replies of a fetch as the one who asked for it sees them, read from the manifest, so that none is kept."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from loadkit.fetcher.manifest import Manifest, ManifestLine
    from loadkit.fetcher.options import FetchOptions

NAP: Final = 0.1
"""Seconds that an iterator waits before it looks again."""


@dataclass(frozen=True, slots=True)
class FetchReply:
    """A URL that is done: `error` is None and `file` is where its body is, or `error` says why it failed.

    `file` is a path, None if there is no body; `seconds` is the response time. Secrets in `url` are masked.
    """

    url: str
    status: int | None
    file: Path | None
    bytes: int | None
    seconds: float
    error: str | None
    attempts: int = 0
    position: int = 0
    sha256: str | None = None
    final_url: str | None = None

    @property
    def ok(self) -> bool:
        """True if it was fetched."""
        return self.error is None


class ReplyStream:
    """Gives the replies of one run to a callback and to any number of iterators."""

    def __init__(
        self, options: FetchOptions, manifest: Manifest, on_reply: Callable[[FetchReply], Any] | None = None
    ) -> None:
        self._into = options.into
        self._append = options.append
        self._manifest = manifest
        self._on_reply = on_reply
        self._has_line = threading.Condition()
        self._waiting = 0
        """Iterators that wait for a line."""
        self._is_closed = False

    def publish(self, line: ManifestLine) -> None:
        """Give a line that was written to all who want it."""
        if self._on_reply:
            self._on_reply(self._reply(line))
        if self._waiting:
            with self._has_line:
                self._has_line.notify_all()

    def close(self) -> None:
        """End the iterators after the lines that are there."""
        with self._has_line:
            self._is_closed = True
            self._has_line.notify_all()

    def __iter__(self) -> Iterator[FetchReply]:
        at = self._manifest.began_at
        while True:
            is_closed = self._is_closed
            end = self._manifest.size
            for line in self._manifest.lines(at, end):
                yield self._reply(line)
            at = end
            if is_closed and at == self._manifest.size:
                break
            self._wait_for_more(at)

    def _wait_for_more(self, at: int) -> None:
        with self._has_line:
            self._waiting += 1
            if self._manifest.size == at and not self._is_closed:
                self._has_line.wait(NAP)
            self._waiting -= 1

    def _reply(self, line: ManifestLine) -> FetchReply:
        root = self._append.parent if line.offset is not None and self._append else self._into
        return FetchReply(
            url=line.url,
            status=line.status,
            file=None if line.file is None else Path(root, line.file),
            bytes=line.bytes,
            seconds=line.seconds,
            error=line.error,
            attempts=line.attempts,
            position=line.position,
            sha256=line.sha256,
            final_url=line.final_url,
        )
