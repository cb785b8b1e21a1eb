"""Certificates, checked before a run: one that is not trusted will not be for any thread."""

from __future__ import annotations

from pathlib import Path

from loadkit.plan.errors import UsageError
from loadkit.plan.scenario import Scenario
from loadkit.wire.base import Origin
from loadkit.wire.protocols import Wire


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
