"""`--part` and `--at` on the command line: this machine has a part of a load, and all begin at one instant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from loadkit.cli.console import say
from loadkit.plan.errors import UsageError

if TYPE_CHECKING:
    from loadkit.plan.part import Part
    from loadkit.plan.scenario import Scenario

_ALONE: Final = ("once", "together", "repeat", "history", "demo_server", "on")
"""Options that have no meaning for a part of a load."""


def read_part(text: str | None, at: str | None, given: Mapping[str, Any]) -> Part:
    """The part that this machine has, or the whole, and when it begins; `UsageError` for what cannot be.

    `given` are the values of all options, also of those that do not stand on the command line.
    """
    from loadkit.clock import SystemClock
    from loadkit.plan.part import WHOLE, part, start_instant

    if text is None:
        if at is not None:
            raise UsageError("--at says when all parts of a load begin; say which one this is, too: --part 2/5")
        return WHOLE
    found = part(text)
    for name in _ALONE:
        if given[name]:
            option = name.removesuffix("_server")
            raise UsageError(f"--{option} is for whole runs, and --part {text} is a part of one; leave one of them out")
    if given["output"] is None:
        raise UsageError(f"--part {text} is to be merged with the others; add --output part{found.number + 1}.json")
    clock = SystemClock()
    return found if at is None else replace(found, at=start_instant(at, clock.now() + clock.wall_offset))


def check_parts(part: Part, scenarios: Sequence[Scenario]) -> None:
    """Of several scenarios only the first could begin on all machines at once: `UsageError`."""
    if not part.is_whole and len(scenarios) > 1:
        names = ", ".join(str(one.name) for one in scenarios)
        raise UsageError(f"--part is of one scenario, and there are {len(scenarios)} ({names}); choose one with -s")


def say_start(part: Part, *, quiet: bool) -> None:
    """Tell when a part begins, if that is not now."""
    if part.at is not None and not quiet:
        begins = datetime.fromtimestamp(part.at / 1e9, UTC).isoformat(timespec="milliseconds")
        say(f"part {part} begins at {begins.removesuffix('+00:00')}Z")
