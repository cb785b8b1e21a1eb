"""Two versions side by side: short rounds of both in balanced order, until it can be told if the new one is worse."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Final

from loadkit.clock import SystemClock
from loadkit.jobs.interrupts import counted_signals
from loadkit.jobs.revisions import changed_files, checked_out, editable_below
from loadkit.jobs.rounds import Rounds, Side, in_rounds
from loadkit.jobs.tolerances import TOLERANCE, deciding
from loadkit.judge.comparison.blocks import Version
from loadkit.judge.comparison.changes import shown_change
from loadkit.judge.comparison.comparison import Comparison, comparison
from loadkit.judge.comparison.procedure import Moment, Rules, conclude
from loadkit.plan.errors import UsageError
from loadkit.plan.fields import parse_positive_seconds
from loadkit.plan.scenario import Scenario
from loadkit.plan.units import SECOND, Duration
from loadkit.plan.urls import check_url, strip_url
from loadkit.server.serving.relocation import Relocation

BUDGET: Final = 300.0


def compare(
    new: Scenario,
    *,
    against: Scenario | str,
    tolerances: Mapping[str, float] | None = None,
    budget: Duration = BUDGET,
    seed: int = 0,
    watch: Callable[[Moment], None] | None = None,
    interrupts: Callable[[], int] | None = None,
) -> Comparison:
    """Measure two versions in turns and say whether the new one is worse.

    >>> result = compare(browse, against="main")
    >>> assert not result.worse

    Args:
        new: the new version: a scenario.
        against: what was before: another scenario, the URL of another server, or a revision of the git repository in
            the current folder: then the scenario's own `server=` is started from both.
        tolerances: how much worse a figure may become, by its name: `{"p99": 0.1}` is 10 %, `{"GET /search: p50": 0.1}`
            is of one endpoint. Those that are named decide beside the median, the error rate, the throughput of a
            closed workload, and the CPU a request of a server that loadkit starts.
        budget: how long it may take; 5 minutes if not said.
        seed: of the order in which the versions have their turns.
        watch: called after each block with how far it has come.
        interrupts: tells how often the user asked to stop; by default SIGINT and SIGTERM are counted.

    Raises `UsageError` before anything is sent as `run` does, and `LoadkitError` where a version cannot be measured.
    """
    clock = SystemClock()
    began = clock.now()
    limit = parse_positive_seconds(budget, what="budget")
    rules = Rules(tolerances=deciding(new, tolerances or {}), budget=limit, seed=seed)
    counting = counted_signals() if interrupts is None else nullcontext(interrupts)
    with _versions(new, against) as (old, side), counting as asked:
        rounds = Rounds(old, side, asked)
        conclusion = conclude(
            rules,
            rounds.block,
            elapsed=lambda: (clock.now() - began) / SECOND,
            stops=lambda: bool(asked()),
            watch=watch or (lambda _: None),
        )
        shown = [one for one in rounds.metrics if one not in rules.tolerances]
        sound = [one for one in conclusion.blocks if one.unsound is None]
        return comparison(
            conclusion,
            [shown_change(sound, metric, TOLERANCE) for metric in shown],
            new=side.name,
            old=old.name,
            seconds=(clock.now() - began) / SECOND,
            notes=_notes(old, side),
            environment=rounds.last.environment if rounds.last else None,
        )


@contextmanager
def _versions(new: Scenario, against: Scenario | str) -> Iterator[tuple[Side, Side]]:
    """Both versions, the old one first; a revision is checked out until the block is left."""
    sent = in_rounds(new)
    if isinstance(against, Scenario):
        names = (_name(against), _name(new))
        if names[0] == names[1]:
            names = (f"{names[0]} (old)", f"{names[1]} (new)")
        yield _side("old", names[0], in_rounds(against)), _side("new", names[1], sent)
    elif not against.strip():
        raise UsageError("against is empty; give the URL of a server, a scenario, or a revision like main")
    elif "://" in against:
        url = check_url(against, what="against")
        yield _side("old", strip_url(url), sent.replace(base_url=url, server=None)), _side("new", _target(new), sent)
    else:
        if not new.server:
            raise UsageError(
                f"{against} is a revision, and {_name(new)} has no server= to start from it; "
                "give it one, or compare against the URL of a server that runs"
            )
        with checked_out(against) as found:
            relocation = Relocation(found.top, found.folder)
            old = Side(version="old", name=found.name, scenario=sent, relocation=relocation)
            yield old, _side("new", "the working tree", sent)


def _side(version: Version, name: str, scenario: Scenario) -> Side:
    return Side(version=version, name=name, scenario=scenario)


def _name(scenario: Scenario) -> str:
    return scenario.name or "the scenario"


def _target(scenario: Scenario) -> str:
    return strip_url(scenario.base_url) if scenario.base_url and not scenario.server else _name(scenario)


def _notes(old: Side, new: Side) -> list[str]:
    """What is to be known of how it was measured."""
    found = []
    if old.relocation:
        changed = changed_files(old.relocation.folder)
        if changed:
            files = "1 file that is" if len(changed) == 1 else f"{len(changed)} files that are"
            found.append(f"the working tree has {files} not committed, and is measured as it is")
        found += [_editable(name) for name in editable_below(old.relocation.folder) if new.scenario.server]
    return found


def _editable(name: str) -> str:
    return (
        f"{name} is installed from the working tree (editable): where the server imports it by that, "
        "both versions run the new code"
    )
