"""What is run, where, and by which clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loadkit.drive.rows.sender import Feeds
    from loadkit.plan.scenario import Scenario
    from loadkit.plan.workload import Closed, Open
    from loadkit.wire.base import Clock, Request
    from loadkit.wire.exchange_log import ExchangeLog
    from loadkit.wire.protocols import Wire


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """What is run: a scenario, or a part of one, whose endpoints became `requests`, in order; None for a journey."""

    scenario: Scenario
    load: Closed | Open
    requests: Sequence[Request | None]
    wire: Wire
    clock: Clock
    feeds: Feeds
    shared: object
    """For journeys."""
    log: ExchangeLog | None = None
    """Keeps the first exchanges."""
    is_monitored: bool = False
    """Each thread notes what it has under way."""
