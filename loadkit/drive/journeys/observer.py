"""What of a journey is counted: its requests by label, its timers and steps by name."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from loadkit.drive.failures import CUT, Stopped, failure_of_journey, is_end_of_run, unexpected
from loadkit.measure.recording import REQUEST, RowRecorder
from loadkit.measure.timer import timer
from loadkit.plan.labels import MAX_LABELS, OTHER, fold_path
from loadkit.plan.urls import strip_url
from loadkit.wire.base import Exchange, Failure, Note
from loadkit.wire.failed_reply import FailedReply, failed_reply

if TYPE_CHECKING:
    from loadkit.drive.journeys.session import JourneySession
    from loadkit.drive.recorder import Recorder
    from loadkit.wire.base import Seen
    from loadkit.wire.session.call import Asked

MAX_KNOWN: Final = 1000
"""Different URLs of which a thread remembers the row."""


class JourneyObserver:
    """Watches the session of one thread, and is its timers' `TimeKeeper`."""

    def __init__(self, session: JourneySession, recorder: Recorder, now: Callable[[], int]) -> None:
        self.is_ending = False
        """Tasks of journeys are being cancelled."""
        self.is_muted = False
        """What is requested and timed now is in no figure."""
        self.session = session
        self._recorder = recorder
        self.now = now
        self._slow = recorder.slow
        self._base = strip_url(session.base_url or "").rstrip("/").lower()
        self._known: dict[Asked, RowRecorder] = {}
        self._rows: dict[tuple[str, str], RowRecorder] = {}
        self._seen: dict[str, set[RowRecorder]] = {}
        self._seen_now: set[RowRecorder] = set()
        self._thread = threading.get_ident()
        self._spans: deque[tuple[str, str, int, int, Failure | None]] = deque()
        """Some are of other threads, as `asyncio.to_thread` has them; the journey's thread counts them."""

    def belong_here(self) -> None:
        """The thread that calls this is the journey's."""
        self._thread = threading.get_ident()

    def begin_journey(self, label: str) -> None:
        """What is requested from now on is within this journey."""
        self._seen_now = self._seen.get(label) or self._seen.setdefault(label, set())

    @property
    def requested(self) -> set[tuple[str, str]]:
        """Journeys, each with the label of a request that was seen within it."""
        return {(journey, row.label) for journey, seen in self._seen.items() for row in seen}

    @contextmanager
    def muted(self) -> Iterator[None]:
        """Count nothing meanwhile."""
        before, self.is_muted = self.is_muted, True
        try:
            yield
        finally:
            self.is_muted = before

    def is_end(self, error: BaseException) -> bool:
        """True if it was raised because the run is over."""
        return is_end_of_run(error, is_ending=self.is_ending)

    # -- requests

    def observe(self, asked: Asked, exchange: Exchange, size: int, seen: Seen) -> None:
        """Count an exchange of the session."""
        if self.is_muted:
            return
        row = self._known.get(asked)
        if row is None:
            row = self._row_of(asked)
        self._seen_now.add(row)
        status, sent, arrived, taken, received, note = exchange
        is_ordinary = note is None and status in self.session.good and taken < self._recorder.check_at
        if is_ordinary and taken - sent <= self._slow.limit:
            row.samples += (sent, sent, arrived, taken, status, received)
        else:
            self._count_unusual(row, asked, exchange, seen)
        if sent:
            # each is of another size, so they are counted here
            row.bytes_sent += size

    def _count_unusual(self, row: RowRecorder, asked: Asked, exchange: Exchange, seen: Seen) -> None:
        status, sent, _, taken, _, note = exchange
        failure = note.failure if note else None
        if failure is None and status not in self.session.good:
            failure = unexpected(status, self.session.good)
        # what it took to connect is a part of what a user waited
        due = (sent or taken) - (note.connect_time if note else 0)
        if self._recorder.count_within(row, due, exchange, failure, seen[0] or asked, lambda: _shown(seen)):
            self.session.halt(Stopped)

    def _row_of(self, asked: Asked) -> RowRecorder:
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        row = self._known[asked] = self._row(REQUEST, self._label(asked))
        return row

    def _label(self, asked: Asked) -> str:
        if asked.name is not None:
            return asked.name if asked.name.startswith(f"{asked.method} ") else f"{asked.method} {asked.name}"
        url = asked.url
        if self._base and url.lower().startswith(f"{self._base}/"):
            url = url[len(self._base) :]
        return f"{asked.method} {fold_path(url)}"

    def _row(self, kind: str, name: str) -> RowRecorder:
        row = self._rows.get((kind, name))
        if row is None:
            if sum(one == kind for one, _ in self._rows) >= MAX_LABELS and name != OTHER:
                # the recording would fold it anyway
                return self._row(kind, OTHER)
            row = self._rows[kind, name] = RowRecorder(name, 0, kind)
            self._recorder.add_row(row)
        return row

    # -- timers and steps

    def begin(self) -> int:
        """A timer begins: the time now; raises `Stopped` when the run is over."""
        if self.session.halted and not self.is_muted:
            raise Stopped
        return self.now()

    def keep(self, kind: str, name: str, began: int, error: BaseException | None) -> None:
        """Count a timer or a step, which ends now; it may be called by other threads."""
        ended = self.now()
        if self.is_muted:
            return
        failure = None if error is None else CUT if self.is_end(error) else failure_of_journey(error)
        self._spans.append((kind, name, began, ended, failure))
        if threading.get_ident() == self._thread:
            self.count_spans()

    def count_span(self, name: str, began: int, failure: Failure | None) -> None:
        """Count as a timer what ends now, in this thread, although it is muted."""
        self._spans.append((timer.kind, name, began, self.now(), failure))
        self.count_spans()

    def count_spans(self) -> None:
        """Count what was timed by other threads."""
        while self._spans:
            kind, name, began, ended, failure = self._spans.popleft()
            exchange = 0, began, ended, ended, 0, Note(failure) if failure else None
            self._recorder.count_within(self._row(kind, name), began, exchange, failure)


def _shown(seen: Seen) -> FailedReply | None:
    request, head, body, _ = seen
    return failed_reply(request, head, body) if request and head else None
