"""One version against itself: how small a change can be seen here, kept for later comparisons."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from loadkit.clock import SystemClock
from loadkit.jobs.interrupts import counted_signals
from loadkit.jobs.kept import FOLDER, current_project, kept_folder
from loadkit.jobs.rounds import Rounds, Side, in_rounds, named_server
from loadkit.jobs.tolerances import ERRORS, TOLERANCE, default_tolerances, visible_tolerances
from loadkit.judge.comparison.blocks import ORDERS, Block, Metric, orders
from loadkit.judge.comparison.calibration import Calibration, bias, calibrated
from loadkit.judge.comparison.procedure import LEAST_BLOCKS, Moment
from loadkit.judge.environment import this_machine
from loadkit.judge.fingerprint import Fingerprint, fingerprint
from loadkit.judge.identity import Identity, identity
from loadkit.plan.errors import OutputError, reason_of
from loadkit.plan.fields import parse_positive_seconds
from loadkit.plan.scenario import Scenario
from loadkit.plan.units import SECOND, Duration
from loadkit.report.files import write_bytes
from loadkit.report.json import document

BUDGET: Final = 180.0
INTERRUPTED: Final = "interrupted"


def calibrate(
    scenario: Scenario,
    *,
    budget: Duration = BUDGET,
    seed: int = 0,
    watch: Callable[[Moment], None] | None = None,
    interrupts: Callable[[], int] | None = None,
) -> Calibration:
    """Compare a version with itself, and keep how small a change can be seen here, for later comparisons.

    >>> calibrate(browse, budget="3m").fault
    ''

    Args:
        scenario: what is sent; its server is started twice, where it names one.
        budget: how long it takes; 3 minutes if not said.
        seed: of the order of the rounds.
        watch: called after each block with how far it has come.
        interrupts: tells how often the user asked to stop; by default SIGINT and SIGTERM are counted.

    What is found is kept in `.loadkit/calibration` of the project in the current folder, for this scenario and this
    kind of machine, unless it has a `fault`. Raises `UsageError` before anything is sent as `run` does, `NotMeasurable`
    where a server does not start, and `OutputError` where it cannot be kept.
    """
    clock = SystemClock()
    began, limit = clock.now(), parse_positive_seconds(budget, what="budget")
    sent, name = in_rounds(scenario), scenario.name or "the scenario"
    counting = counted_signals() if interrupts is None else nullcontext(interrupts)
    with counting as asked:
        server = named_server(sent)
        old, new = (Side(version=version, name=name, scenario=sent, server=server) for version in ORDERS[0][:2])
        rounds, drawn = Rounds(old, new, asked), orders(seed)
        blocks: list[Block] = []
        elapsed = 0.0
        while not blocks or (elapsed * (1 + 1 / len(blocks)) <= limit and not blocks[0].failed):
            block = rounds.block(next(drawn))
            if asked():
                break
            blocks.append(block)
            elapsed = (clock.now() - began) / SECOND
            if watch:
                watch(Moment(blocks=len(blocks), elapsed=elapsed, budget=limit))
        fault = INTERRUPTED if asked() else _fault(scenario, blocks)
    sound = [block for block in blocks if block.unsound is None]
    found = Calibration(
        identity=identity(sent),
        fingerprint=fingerprint(this_machine()),
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=(clock.now() - began) / SECOND,
        blocks=len(sound),
        figures=calibrated(sound, rounds.metrics),
        fault=fault,
    )
    found = _with_tolerances(
        found, default_tolerances(is_open=scenario.is_open, has_server=bool(scenario.server)), limit
    )
    if not fault:
        _keep(found)
    return found


def _with_tolerances(found: Calibration, defaults: Mapping[Metric, float], budget: float) -> Calibration:
    """With what a comparison of this length can see."""
    deciding = visible_tolerances(found, defaults, {}, budget) if found.blocks else defaults
    figures = [
        one.seen(
            deciding.get(one.key, ERRORS if one.key.is_share else TOLERANCE),
            found.room(budget),
            len({*deciding, one.key}),
            decides=one.key in deciding,
        )
        for one in found.figures
    ]
    return msgspec.structs.replace(found, figures=figures)


def _fault(scenario: Scenario, blocks: list[Block]) -> str:
    """Why the blocks cannot be used; nothing if they can."""
    if blocks[0].failed:
        why = blocks[0].failure("old")
        return f"all requests failed{why and f': {why}'}"
    sound = [block for block in blocks if block.unsound is None]
    if len(sound) < LEAST_BLOCKS:
        unsound = next((f"others were not sound: {block.unsound}" for block in blocks if block.unsound), "")
        return f"there were {len(sound)} of the {LEAST_BLOCKS} blocks that it takes; {unsound or 'give it more time'}"
    differing = bias(sound, default_tolerances(is_open=scenario.is_open, has_server=bool(scenario.server)))
    if differing:
        names = ", ".join(one.name for one in differing)
        return f"the same version differs from itself ({names}): this machine cannot be used so"
    return ""


def kept_calibration(scenario: Scenario) -> Calibration | None:
    """What was found of a scenario on this kind of machine; None where that never was."""
    path = _path(identity(in_rounds(scenario)), fingerprint(this_machine()))
    try:
        return msgspec.json.decode(path.read_bytes(), type=Calibration)
    except (OSError, msgspec.MsgspecError):
        return None


def _keep(found: Calibration) -> None:
    path = _path(found.identity, found.fingerprint)
    try:
        kept_folder(current_project(), "calibration")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {reason_of(error)}") from error
    write_bytes(path, document(found).encode())


def _path(of: Identity, where: Fingerprint) -> Path:
    name = re.sub(r"[^\w.]+", "-", of.name)[-80:].strip("-.")
    return current_project() / FOLDER / "calibration" / f"{name}-{of.plan[:8]}-{where.key}.json"
