"""When runs were measured, and what of them adds up only with runs at the same time."""

from __future__ import annotations

from loadkit.judge.bottleneck import Bottleneck
from loadkit.judge.instants import Span


class RunSpan(Span, frozen=True, kw_only=True):
    """When a run was measured; in a merged result also what of it adds up only with runs at the same time.

    All but the time is None in the result of one run, which says it elsewhere.
    """

    base_url: str | None = None
    processes: int | None = None
    threads: int | None = None
    max_threads: int | None = None
    rate: float | None = None
    peak_memory: int | None = None
    server_memory: int | None = None
    interval: float | None = None
    """How long the intervals of its series were."""
    bottleneck: Bottleneck | None = None
