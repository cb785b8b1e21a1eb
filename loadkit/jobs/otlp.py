"""What a run counts, sent to a collector of OpenTelemetry while it goes on; whatever that does, no run waits for it.

The SDK has no place for it: it makes histograms of single values, and its exporter sleeps between its attempts. So this
sends messages of the official protobuf by our own session, whose deadline holds for a whole call.
"""

from __future__ import annotations

import os
import threading
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import unquote, urlsplit

import requests

from loadkit._version import __version__
from loadkit.clock import SystemClock
from loadkit.jobs.pacing import Pacing
from loadkit.measure.recording import JOURNEY, REQUEST
from loadkit.plan.errors import LoadkitError, UsageError
from loadkit.plan.labels import is_hop
from loadkit.plan.redact import redact_message, redact_url
from loadkit.plan.units import nanoseconds, show_count
from loadkit.plan.urls import check_url
from loadkit.report.escape import visible
from loadkit.wire.session.session import Session

if TYPE_CHECKING:
    from loadkit.measure.counts import Counts
    from loadkit.measure.recording import Key
    from loadkit.report.formats.otlp import MetricRow
    from loadkit.wire.base import Origin

EVERY: Final = 1.0
"""Seconds from one message to the next, at least."""
DEADLINE: Final = 5.0
"""Seconds that a collector has for its reply."""
PATIENCE: Final = 10.0
"""Seconds that it has, after a run, to take what is left."""

LOOK_EVERY: Final = 0.05
"""Seconds between two looks at whether the user has asked to stop."""
AT_ONCE: Final = 2
"""How often the user has asked then."""

_HEADERS: Final = "OTEL_EXPORTER_OTLP_HEADERS"
_TEMPORALITY: Final = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"


@dataclass(frozen=True, slots=True, kw_only=True)
class OtlpTarget:
    """A collector, and what it wants."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    is_delta: bool = False
    """Each message is of the time since the last one, and not since the start."""
    every: float = EVERY
    deadline: float = DEADLINE
    patience: float = PATIENCE


def otlp_target(url: str, environment: Mapping[str, str] = os.environ, *, what: str = "--otlp") -> OtlpTarget:
    """Where metrics are sent; what the environment says to all of OpenTelemetry's exporters is heeded.

    Raises `UsageError` for what is no URL, and where the extra is not installed.
    """
    checked = check_url(url, what=what)
    try:
        import loadkit.report.formats.otlp as _  # noqa: F401
    except ModuleNotFoundError as error:
        raise UsageError(f"{what} needs {error.name}; pip install 'pytest-loadkit[otel]'") from None
    if not urlsplit(checked).path.strip("/"):
        checked = f"{checked.rstrip('/')}/v1/metrics"
    pairs = [pair.partition("=") for pair in environment.get(_HEADERS, "").split(",")]
    return OtlpTarget(
        url=checked,
        headers={name.strip(): unquote(value.strip()) for name, equals, value in pairs if equals},
        is_delta=environment.get(_TEMPORALITY, "").lower() == "delta",
    )


@dataclass(slots=True)
class Delivery:
    """What became of messages."""

    counted: Counter[str] = field(default_factory=Counter)
    """What ended so far, by kind."""
    arrived: Counter[str] = field(default_factory=Counter)
    """What of it the collector has."""
    attempts: int = 0
    failed: int = 0
    reason: str = ""
    """Why the last one failed."""


class OtlpExport:
    """Sends the metrics of one run, from the beginning of the block to its end, and says what became of them."""

    def __init__(
        self,
        target: OtlpTarget,
        scenario: str,
        origins: Sequence[Origin],
        clock: SystemClock,
        interrupts: Callable[[], int] = lambda: 0,
    ) -> None:
        self._target = target
        self._interrupts = interrupts
        self._about = {"loadkit.scenario": visible(scenario), **_server(origins)}
        self._instance = str(uuid.uuid4())
        self._clock = clock
        self._start = clock.now()
        self._closed: deque[Mapping[Key, Counts]] = deque()
        self._rows: dict[tuple[str, str], MetricRow] = {}
        self._delivery = Delivery()
        self._ended = threading.Event()
        self._pacing = Pacing(self._ended, every=target.every)
        self._thread = threading.Thread(target=self._send_all, name="loadkit-otlp", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        until = self._clock.now() + nanoseconds(self._target.patience)
        # who has asked twice for the end waits for nobody
        while self._thread.is_alive() and self._clock.now() < until and self._interrupts() < AT_ONCE:
            self._thread.join(LOOK_EVERY)

    def take(self, rows: Mapping[Key, Counts]) -> None:
        """Take what a second held, by kind, phase and label, of which nothing changes any more."""
        self._closed.append(rows)

    def notes(self) -> Iterator[tuple[str, str]]:
        """Code and message of what was lost, or was long under way."""
        found, url = self._delivery, redact_url(self._target.url)
        if self._thread.is_alive():
            found.reason = f"it had no reply within {self._target.patience:g} s after the run"
            if self._interrupts() >= AT_ONCE:
                found.reason = "the run was to end at once"
        kind = REQUEST if found.counted[REQUEST] else JOURNEY
        counted, lost = found.counted[kind], found.counted[kind] - found.arrived[kind]
        if lost or self._closed:
            what = show_count(counted, kind)
            yield "otlp", f"{lost:,} of {what} did not get to the collector {url}: {found.reason}"
        elif found.failed:
            times = f"{found.failed:,} of {show_count(found.attempts, 'message')}"
            later = "what they lacked came with later ones"
            yield "otlp", f"{times} did not get to the collector {url} ({found.reason}); {later}"

    def _send_all(self) -> None:
        is_last, due = False, 0
        with Session(deadline=self._target.deadline) as http:
            http.headers.update({"Content-Type": "application/x-protobuf", **self._target.headers})
            while not is_last:
                is_last = self._ended.wait(self._target.every)
                self._pacing.begin()
                self._fold()
                if self._delivery.arrived != self._delivery.counted and (is_last or self._clock.now() >= due):
                    self._send(http)
                    due = self._clock.now() + nanoseconds(self._pacing.rest)

    def _fold(self) -> None:
        """Add what has come to what is sent."""
        from loadkit.report.formats.otlp import MetricRow

        while self._closed:
            for (kind, _, label), counts in self._closed.popleft().items():
                # what redirects led to is in no total
                if counts.requests and not is_hop(label):
                    self._rows.setdefault((kind, label), MetricRow()).add(counts)
                    self._delivery.counted[kind] += counts.requests
                self._pacing.pause()

    def _send(self, http: Session) -> None:
        from loadkit.report.formats.otlp import Times, export_request

        found, now = self._delivery, self._clock.now()
        times = Times(self._start + self._clock.wall_offset, now + self._clock.wall_offset, self._target.is_delta)
        resource = {"service.name": "loadkit", "service.version": __version__, "service.instance.id": self._instance}
        content = export_request(self._rows, resource, self._about, times, self._pacing.pause)
        found.attempts += 1
        if reason := self._post(http, content):
            found.failed += 1
            found.reason = reason
            return
        found.arrived = found.counted.copy()
        if self._target.is_delta:
            self._rows.clear()
            self._start = now

    def _post(self, http: Session, content: bytes) -> str:
        """Why the collector has not taken a message; empty if it has."""
        from loadkit.report.formats.otlp import rejected

        try:
            reply = http.post(self._target.url, data=content, allow_redirects=False)
        except (requests.RequestException, LoadkitError) as error:
            return redact_message(str(error))
        is_taken = HTTPStatus.OK <= reply.status_code < HTTPStatus.MULTIPLE_CHOICES
        return rejected(reply.content) if is_taken else f"status {reply.status_code}"


def _server(origins: Sequence[Origin]) -> dict[str, str | int]:
    """The server, where all requests go to one."""
    if len(origins) != 1 or origins[0].unix:
        return {}
    return {"server.address": origins[0].host, "server.port": origins[0].port}
