"""What is run: endpoints, threads, for how long, what must hold. A frozen value; making it does nothing else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from loadkit.plan.endpoint import Endpoint, full_url, headers, label, positive_seconds, replace, target, whole
from loadkit.plan.errors import UsageError
from loadkit.plan.label import MAX_LABELS, pattern
from loadkit.plan.shown import told
from loadkit.plan.threshold import Threshold, threshold
from loadkit.plan.units import Duration, Size, seconds, size

Transport: TypeAlias = Literal["sockets", "requests"]
TRANSPORTS = ("sockets", "requests")

DEFAULT_DURATION = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Endpoints, how hard they are hit, for how long, and what must hold.

    >>> browse = Scenario(base_url="http://127.0.0.1:8000", endpoints=[Endpoint("GET", "/")], threads=16)
    >>> browse.replace(duration="1m30s").duration
    90.0

    Args:
        endpoints: what is requested; those without `threads` of their own share the scenario's by weight.
        base_url: what relative paths are joined to.
        threads: virtual users, each with one connection of its own; each sends its next request when it has the last
            reply (a closed workload).
        duration: how long is measured. 10 s if neither it nor `iterations` is said.
        iterations: requests in all, shared out over the threads; with `duration`, whichever ends first.
        warmup: sent before, not counted.
        think_time: a pause of each thread between a reply and the next request.
        thresholds: limits such as `"p99 < 250ms"`; without one on errors, any failure fails the scenario.
        headers: sent with each request; an endpoint's own win.
        timeout: the deadline of one request in all, from the start of connecting or sending to its last byte.
        graceful_stop: how long requests in flight may take at the end before they are cut.
        verify, ca, cert: TLS: check certificates; a file of authorities to trust; a client's certificate
            (a file, or certificate and key).
        body_limit: how much of a body is kept for a check to read.
        transport: `"sockets"`, or `"requests"` as the slow reference.
        server, ready: a command to start before and stop after, and the path that answers when it is up.
        keep_going: go on although the target cannot be reached at all.
        name: how reports call it; the variable's name in a scenario file.

    Durations and sizes are text with units or numbers (seconds, bytes) and are kept as numbers.
    Raises `UsageError` for a value it cannot use, when it is made.
    """

    endpoints: Sequence[Endpoint]
    base_url: str | None = None
    threads: int = 10
    duration: Duration | None = None
    iterations: int | None = None
    warmup: Duration = 0.0
    think_time: Duration = 0.0
    thresholds: Sequence[str] = ()
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    timeout: Duration = 10.0
    graceful_stop: Duration = 5.0
    verify: bool = True
    ca: str | Path | None = None
    cert: str | Path | tuple[str | Path, str | Path] | None = field(default=None, repr=False)
    body_limit: Size = 16_000_000
    transport: Transport = "sockets"
    server: Sequence[str] | None = None
    ready: str = "/"
    ready_timeout: Duration = 30.0
    keep_going: bool = False
    name: str | None = None
    description: str = ""

    def __post_init__(self) -> None:
        keep = object.__setattr__
        _check_base(self.base_url)
        keep(self, "endpoints", _endpoints(self.endpoints, self.base_url))
        whole(self.threads, what="threads")
        if self.iterations is not None:
            whole(self.iterations, what="iterations")
        for what in ("duration", "timeout", "ready_timeout"):
            if getattr(self, what) is not None:
                keep(self, what, positive_seconds(getattr(self, what), what=what))
        for what in ("warmup", "think_time", "graceful_stop"):
            keep(self, what, seconds(getattr(self, what), what=what))
        keep(self, "headers", headers(self.headers))
        keep(self, "body_limit", size(self.body_limit, what="body_limit"))
        keep(self, "thresholds", _texts(self.thresholds, what="thresholds", like=["p99 < 250ms"]))
        if self.server is not None:
            keep(self, "server", _texts(self.server, what="server", like=["python", "app.py"]))
        _check_server(self)
        _check_transport(self.transport)
        _check_tls(self)
        _check_names(self)
        _check_labels(self)

    def __repr__(self) -> str:
        return told(self)

    @property
    def limits(self) -> tuple[Threshold, ...]:
        """The thresholds, read."""
        return tuple(threshold(text) for text in self.thresholds)

    @property
    def total_threads(self) -> int:
        """Threads in all: the shared ones, where an endpoint shares, and those that endpoints have of their own."""
        own = sum(endpoint.threads or 0 for endpoint in self.endpoints)
        return own + (self.threads if any(endpoint.threads is None for endpoint in self.endpoints) else 0)

    @property
    def labels(self) -> tuple[str, ...]:
        """The rows of a report in the order of the endpoints, each once."""
        return tuple(dict.fromkeys(self.rows))

    @property
    def rows(self) -> tuple[str, ...]:
        """The row of each endpoint, in their order.

        Where there would be more than a report can bear, raw paths are folded: `/users/17` and `/users/18` are one.
        """
        labels = tuple(endpoint.label for endpoint in self.endpoints)
        if len(set(labels)) <= MAX_LABELS:
            return labels
        return tuple(endpoint.name or pattern(endpoint.label) for endpoint in self.endpoints)

    def replace(self, **changes: Any) -> Scenario:
        """The same scenario with some fields changed; `UsageError` for a field there is not."""
        return replace(self, changes)


def _check_base(base_url: object) -> None:
    if base_url is not None and re.search(r"[?#]", full_url(base_url, what="base_url")):
        raise UsageError("base_url ends with a query or fragment, and paths are joined to it; give it to the endpoints")


def _endpoints(given: object, base_url: object) -> tuple[Endpoint, ...]:
    if isinstance(given, Endpoint):
        given = (given,)
    if not isinstance(given, Sequence) or isinstance(given, str) or not given:
        raise UsageError(f"endpoints takes a list like [Endpoint('GET', '/')], not {given!r}")
    for endpoint in given:
        if not isinstance(endpoint, Endpoint):
            raise UsageError(f"endpoints takes Endpoint values like Endpoint('GET', '/'), not {endpoint!r}")
        if endpoint.path.startswith("/") and base_url is None:
            raise UsageError(f"{endpoint.label} is relative; give the scenario a base_url like 'http://127.0.0.1:8000'")
    return tuple(given)


def _texts(given: object, *, what: str, like: list[str]) -> tuple[str, ...]:
    if isinstance(given, str) or not isinstance(given, Sequence) or not all(isinstance(text, str) for text in given):
        raise UsageError(f"{what} takes a list of strings like {like!r}, not {given!r}")
    return tuple(given)


def _check_server(scenario: Scenario) -> None:
    target(scenario.ready, what="ready")
    if scenario.server is None:
        return
    if not scenario.server:
        raise UsageError("server takes a command like ['python', 'app.py'], not nothing")
    if scenario.base_url is None and scenario.ready.startswith("/"):
        raise UsageError(f"ready {scenario.ready!r} is relative; give the scenario a base_url, or ready a full URL")


def _check_transport(transport: object) -> None:
    if transport not in TRANSPORTS:
        raise UsageError(f"there is no transport {transport!r}; use one of {', '.join(TRANSPORTS)}")


def _check_tls(scenario: Scenario) -> None:
    for what in ("verify", "keep_going"):
        if not isinstance(getattr(scenario, what), bool):
            hint = "; a file of authorities goes to ca" if what == "verify" else ""
            raise UsageError(f"{what} takes True or False, not {getattr(scenario, what)!r}{hint}")
    if not isinstance(scenario.ca, str | Path | None):
        raise UsageError(f"ca takes the path of a file, not {scenario.ca!r}")
    cert = scenario.cert
    pair = cert if isinstance(cert, tuple) and len(cert) == 2 else (cert,)
    if not all(isinstance(file, str | Path) for file in pair) and cert is not None:
        raise UsageError("cert takes the path of a file, or (certificate, key)")


def _check_names(scenario: Scenario) -> None:
    label(scenario.name)
    if not isinstance(scenario.description, str):
        raise UsageError(f"description takes text, not {scenario.description!r}")


def _check_labels(scenario: Scenario) -> None:
    for limit in scenario.limits:
        if limit.label is not None and limit.label not in scenario.labels:
            known = ", ".join(repr(label) for label in scenario.labels)
            raise UsageError(f"the threshold {limit.text!r} names no endpoint of the scenario; there are {known}")
