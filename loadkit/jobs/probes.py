"""What is asked of a target before and after its run: its certificate, where it redirects, which protocol it speaks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from loadkit.drive.machines import CLOCK_WRONG
from loadkit.plan.endpoint import Endpoint
from loadkit.plan.errors import UsageError
from loadkit.plan.redact import redact_url
from loadkit.plan.scenario import Scenario
from loadkit.plan.units import SECOND
from loadkit.wire.base import REDIRECTS, Clock, Origin, Request
from loadkit.wire.encode import encode
from loadkit.wire.protocols import Connection, Wire
from loadkit.wire.sockets import SocketWire

if TYPE_CHECKING:
    from loadkit.measure.counts import Counts

NEARLY_ALL: Final = 0.95
"""The share of replies that must be redirects for a caveat: a few, such as of those not logged in, may be meant."""

PROBE: Final = 1.0
"""Seconds that are waited for where a redirect leads."""

HANDSHAKE: Final = 2.0
"""Seconds for a handshake with a server that answered nothing."""

LOOKS: Final = 5
"""Further replies by which a clock that is wrong is measured: the date has whole seconds, and each halves the error."""


def check_trust(scenario: Scenario, wire: Wire, origin: Origin) -> None:
    """A certificate that is not trusted will not be for any thread: say it once, before the start."""
    if not origin.tls:
        return
    connection = wire.connect(origin)
    failure = connection.open().failure
    connection.close()
    if failure and failure.kind == "tls":
        raise UsageError(f"{failure.message}; {_advice(failure.message, scenario.ca)}")


def _advice(reason: str, ca: str | Path | None) -> str:
    if "mismatch" in reason:
        return "use a name that the certificate is for, or accept any with --insecure"
    if "expired" in reason or "not yet valid" in reason:
        return "the server needs another, or accept any with --insecure"
    if "certificate" in reason and ca is not None:
        return f"no authority in ca={str(ca)!r}, which stands for the system's, has signed it; name the right file"
    if "certificate" in reason:
        return "trust its authority with --ca FILE, or accept any with --insecure"
    return "is it https that is spoken there?"


def redirects(scenario: Scenario, labels: Mapping[str, Counts], wire: Wire) -> Iterator[str]:
    """A sentence for each endpoint that answered with hardly anything but redirects, with where they lead.

    They are not followed, so the figures are of them and not of what was meant.

    An endpoint that says which statuses it expects is left alone. To learn where a redirect leads, it is asked for once
    more after the run, if that changes nothing at the server and needs no row of a feed.
    """
    plans = {row: one for row, one in zip(scenario.rows, scenario.plans, strict=True) if isinstance(one, Endpoint)}
    for label, counts in labels.items():
        endpoint = plans.get(label)
        if (
            endpoint is not None
            and not endpoint.follow
            and endpoint.expect is None
            and (share := _share_of_redirects(counts))
        ):
            place = _leads_to(endpoint, scenario, wire)
            yield (
                f"{share} of {label} were redirects{f' to {redact_url(place)}' if place else ''}, "
                "which are not followed; request where they lead, let them be followed (follow=True, -L), "
                "or give the endpoint the status it expects"
            )


def _share_of_redirects(counts: Counts) -> str:
    """How many of the good replies were redirects, in words; nothing where they were not nearly all."""
    found = {status: count for status, count in sorted(counts.statuses.items()) if status in REDIRECTS}
    count, good = sum(found.values()), counts.good
    if not count or count < NEARLY_ALL * good:
        return ""
    codes = ", ".join(map(str, found))
    return f"all {good:,} good replies ({codes})" if count == good else f"{count:,} of {good:,} good replies ({codes})"


def _leads_to(endpoint: Endpoint, scenario: Scenario, wire: Wire) -> str:
    if endpoint.method not in ("GET", "HEAD") or endpoint.feed is not None:
        return ""
    # a check is what keeps the reply
    probe = encode(endpoint.replace(check=bool, timeout=PROBE), scenario)
    connection = wire.connect(probe.origin)
    try:
        status, *_ = connection.sender(probe)(probe)
        return str(connection.reply().headers.get("Location", "")) if status in REDIRECTS else ""
    finally:
        connection.close()


def clock_ahead(scenario: Scenario, origin: Origin, wire: Wire, clock: Clock) -> tuple[float, float] | None:
    """How far our clock is ahead of that of a server, and by how much that may be wrong, in seconds.

    It is read from the date of the reply to a HEAD, which is cut to the second; None where that has none. Of a clock
    that is wrong a few more are read, each when a second of the server's begins, as far as that is known.
    """
    if origin.unix:
        return None
    endpoint = Endpoint("HEAD", f"{origin.scheme}://{origin}/", check=bool, timeout=PROBE)
    probe = encode(endpoint, scenario.replace(headers={}))
    connection = wire.connect(origin)
    try:
        least, most = _ahead(connection, probe, clock)
        for _ in range(LOOKS if max(-least, most) > CLOCK_WRONG * SECOND else 0):
            clock.pause(((least + most) // 2 - clock.wall_offset - clock.now()) % SECOND, lambda: False)
            again = _ahead(connection, probe, clock)
            least, most = max(least, again[0]), min(most, again[1])
    except ValueError:  # it has no date, or one that is none
        return None
    finally:
        connection.close()
    # less than nothing where several servers answer, whose clocks differ
    return (least + most) / 2 / SECOND, abs(most - least) / 2 / SECOND


def _ahead(connection: Connection, probe: Request, clock: Clock) -> tuple[int, int]:
    """How many nanoseconds our clock is ahead at least and at most; `ValueError` without a date."""
    status, sent, arrived, *_ = connection.sender(probe)(probe)
    date = connection.reply().headers.get("Date") if status else None
    shown = round(parsedate_to_datetime(str(date)).timestamp()) * SECOND
    return sent + clock.wall_offset - (shown + SECOND), arrived + clock.wall_offset - shown


def notes(scenario: Scenario, origins: Sequence[Origin], total: Counts, clock: Clock) -> Iterator[tuple[str, str]]:
    """What of the surroundings a user may not expect."""
    for origin in origins:
        if not origin.unix and _has_proxy(origin):
            yield "proxy", f"the environment names a proxy for {origin}, which is not used: requests go straight there"
        if _is_unanswered(total) and _speaks_tls(scenario, origin, clock):
            yield "https", f"{origin} speaks https, and http was sent there; write https://{origin}"


def _has_proxy(origin: Origin) -> bool:
    from requests.utils import get_environ_proxies, select_proxy

    url = f"{origin.scheme}://{origin}/"
    return bool(select_proxy(url, get_environ_proxies(url)))


def _is_unanswered(total: Counts) -> bool:
    """True if nothing came back but what servers of https have for http: nothing, an alert, or a 400."""
    return bool(total.requests and not total.statuses) and (
        set(total.failures.kinds) <= {"disconnect", "protocol", "send", "check"}
        and set(total.failures.statuses) <= {400}
    )


def _speaks_tls(scenario: Scenario, origin: Origin, clock: Clock) -> bool:
    if origin.tls or origin.unix:
        return False
    there = Origin("https", origin.host, origin.port)
    wire = SocketWire(clock, scenario.replace(verify=False, ca=None, cert=None, timeout=HANDSHAKE))
    try:
        wire.resolve(there)
    except UsageError:
        return False
    connection = wire.connect(there)
    failure = connection.open().failure
    connection.close()
    return failure is None
