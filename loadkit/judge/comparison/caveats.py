"""What about the machine makes the verdict of a comparison less sure, or long in coming."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import structs

from loadkit.judge.validity import Caveat

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from loadkit.host.power import Power
    from loadkit.judge.comparison.blocks import Version
    from loadkit.judge.comparison.changes import Change
    from loadkit.judge.result import Result

FREQUENCIES: Final = 0.10
"""By which share of it the frequency of the CPUs may differ between start and end before it is said."""
JUMPS: Final = 2
"""How many times wider the interval of the p50 of everything is than that of any endpoint's where it jumps."""
FEW_CPUS: Final = 2
"""Of which a server and what loads it take each other's time."""


def of_rounds(found: Mapping[tuple[Version, str], Caveat]) -> Iterator[Caveat]:
    """Caveats of single rounds, by version and code: each once where both versions have it, else with its version."""
    for (version, code), one in found.items():
        other: Version = "new" if version == "old" else "old"
        if (other, code) not in found:
            yield structs.replace(one, message=f"the {version} version: {one.message}")
        elif version == "old":
            yield one


def of_changes(changes: Sequence[Change]) -> Iterator[Caveat]:
    """A median that jumps between those of several endpoints: it changes without them."""
    found = {one.metric.label: one.high - one.low for one in changes if one.metric.name == "p50"}
    whole = found.pop(None, 0.0)
    if len(found) > 1 and whole > JUMPS * max(found.values()):
        surest = min(found, key=lambda label: found[label])
        yield Caveat(
            "mixed-median",
            "the p50 of everything lies between those of the endpoints and jumps from one to another; theirs are "
            f"surer: let them decide, as by --tolerance '{surest}: p50=5%'",
        )


def of_comparison(start: Power, end: Power, last: Result | None) -> Iterator[Caveat]:
    """Caveats of a machine on which versions were measured in turns; `last` is the result of the last round."""
    if start.on_battery or end.on_battery:
        yield Caveat("on-battery", "the machine runs on its battery, which slows its CPUs down: plug it in")
    slower, faster = sorted((start.frequency, end.frequency))
    if slower and faster > slower * (1 + FREQUENCIES):
        yield Caveat(
            "frequency-changed",
            f"the CPUs ran at {start.frequency / 1e9:.1f} GHz at the start and at {end.frequency / 1e9:.1f} GHz at the "
            "end: fix their frequency, or give more time",
        )
    others = [name for name in end.governors if name != "performance"]
    if others:
        yield Caveat(
            "frequency-changes",
            f"the frequency of the CPUs changes with their load (governor {', '.join(others)}): with that of "
            "performance smaller changes can be seen",
            "note",
        )
    cpus = last.environment.allowed_cpus if last else 0
    if last and 0 < cpus <= FEW_CPUS and any(one.code == "same-host" for one in last.caveats):
        yield Caveat(
            "shared-cpus",
            f"the versions share {cpus} CPU{'s' * (cpus > 1)} of this machine with loadkit, so the times of both have "
            "its own in them, and a change seems smaller than it is",
            "note",
        )
