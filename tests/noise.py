"""What a machine with other things to do, or a short run, adds to what a result doubts."""

from __future__ import annotations

from typing import Final

from loadkit.judge.result import Result

OF_A_BUSY_MACHINE: Final = frozenset(
    ["steal", "throttled", "swapping", "clock-step", "generator-busy", "pickup", "late", "traced", "ports"]
)
OF_A_SHORT_RUN: Final = frozenset(["few-samples", "too-short", "same-host"])


def codes(result: Result, *, but: frozenset[str] = frozenset()) -> list[str]:
    """The caveats that are about this run and not about its machine, but for some."""
    return [caveat.code for caveat in result.caveats if caveat.code not in OF_A_BUSY_MACHINE | but]
