"""Two versions side by side: short rounds of both in balanced order, until it can be told if the new one is worse."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Final

from loadkit.clock import SystemClock
from loadkit.jobs.interrupts import counted_signals
from loadkit.jobs.revisions import changed_files, checked_out, editable_below
from loadkit.jobs.run import run
from loadkit.judge.comparison.blocks import Block, Metric, Order, Round, Version
from loadkit.judge.comparison.changes import shown_change
from loadkit.judge.comparison.comparison import Comparison, comparison
from loadkit.judge.comparison.figures import PERCENTS, SERVER_CPU, round_of
from loadkit.judge.comparison.procedure import Moment, Rules, conclude
from loadkit.judge.result import Result
from loadkit.plan.errors import LoadkitError, UsageError
from loadkit.plan.fields import parse_positive_seconds
from loadkit.plan.scenario import Scenario
from loadkit.plan.scenario_fields import is_application
from loadkit.plan.units import SECOND, Duration
from loadkit.plan.urls import check_url, strip_url
from loadkit.server.serving import Relocation, serving_copy

ROUND: Final = 0.5
"""Seconds of a round, where that is enough for `REQUESTS`."""
REQUESTS: Final = 200
LONGEST_ROUND: Final = 5.0
WARMUP: Final = 0.3
"""Seconds of load on each version before the rounds of a block."""
BUDGET: Final = 300.0
TOLERANCE: Final = 0.05
ERRORS: Final = 0.001
"""How much the error rate may grow, as a share of the requests."""


COMPARED: Final = ("throughput", "error_rate", "mean", *PERCENTS, SERVER_CPU.name)


class NotMeasurable(LoadkitError):
    """A version cannot be measured, such as one whose server does not start; the message says which."""

    exit_code = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """A version: what is sent to it, and where its server is started."""

    version: Version
    name: str
    """What it is called: a revision, a URL, the name of a scenario."""
    scenario: Scenario
    relocation: Relocation | None = None
    """The copy of the project from which the server is started; None for the project as it is."""

    @contextmanager
    def up(self) -> Iterator[Scenario]:
        """The scenario aimed at the server of this version, which runs until the block is left."""
        command = self.scenario.server
        if not command:
            yield self.scenario
            return
        with ExitStack() as stack:
            try:
                url = stack.enter_context(
                    serving_copy(
                        command[0] if is_application(command) else command,
                        self.relocation,
                        ready=self.scenario.ready,
                        within=self.scenario.ready_timeout,
                        cwd=None,
                    )
                )
            except UsageError as error:
                raise NotMeasurable(f"the {self.version} version, {self.name}: {error}") from None
            yield self.scenario.replace(base_url=url, server=None)


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
    rules = Rules(tolerances=_deciding(new, tolerances or {}), budget=limit, seed=seed)
    counting = counted_signals() if interrupts is None else nullcontext(interrupts)
    with _versions(new, against) as (old, side), counting as asked:
        rounds = _Rounds(old, side, asked)
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
    sent = _in_rounds(new)
    if isinstance(against, Scenario):
        names = (_name(against), _name(new))
        if names[0] == names[1]:
            names = (f"{names[0]} (old)", f"{names[1]} (new)")
        yield _side("old", names[0], _in_rounds(against)), _side("new", names[1], sent)
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


def _in_rounds(scenario: Scenario) -> Scenario:
    """The scenario as its rounds run it: for as long as they last, without limits, and of a load that changes with
    the highest one."""
    highest = max((max(one.first, one.last) for one in scenario.segments), default=None)
    if highest is not None:
        scenario = scenario.replace(rate=highest) if scenario.is_open else scenario.replace(threads=int(highest))
    return scenario.replace(
        duration=ROUND, iterations=None, iterations_per_thread=None, warmup=0, thresholds=(), phases=()
    )


def _deciding(scenario: Scenario, named: Mapping[str, float]) -> dict[Metric, float]:
    found = {Metric("p50"): TOLERANCE, Metric("error_rate"): ERRORS}
    if not scenario.is_open:
        found[Metric("throughput")] = TOLERANCE
    if scenario.server:
        found[SERVER_CPU] = TOLERANCE
    return {**found, **{_metric(name, scenario): tolerance for name, tolerance in named.items()}}


def _metric(text: str, scenario: Scenario) -> Metric:
    label, _, name = text.rpartition(": ")
    if name not in COMPARED:
        raise UsageError(f"there is no figure {name!r} to compare; use one of {', '.join(COMPARED)}")
    # what journeys request is known when they have done so
    if label and label not in scenario.labels and not scenario.journeys:
        known = ", ".join(map(repr, scenario.labels))
        raise UsageError(f"the tolerance of {text!r} names no endpoint of the scenario; there are {known}")
    return Metric(name, label if label and (len(scenario.labels) > 1 or scenario.journeys) else None)


def tolerances_of(texts: Sequence[str]) -> dict[str, float]:
    """Tolerances as the command line has them: `p99=10%`, `GET /search: p50=0.1`; `UsageError` for others."""
    found = {}
    for text in texts:
        name, _, share = text.rpartition("=")
        number = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*(%?)", share.strip())
        if not name or not number:
            raise UsageError(f"cannot read the tolerance {text!r}; write it like p99=10%")
        found[name.strip()] = float(number[1]) / (100 if number[2] else 1)
    return found


class _Rounds:
    """Runs the rounds of a comparison, block by block."""

    def __init__(self, old: Side, new: Side, stops: Callable[[], int]) -> None:
        self._sides = (old, new)
        self._stops = stops
        self._seconds = 0.0
        self._is_cold = True
        self.metrics: dict[Metric, None] = {}
        self.last: Result | None = None

    def block(self, order: Order) -> Block:
        """Start both versions, warm each up, and run the rounds in this order."""
        with ExitStack() as stack:
            targets = {side.version: stack.enter_context(side.up()) for side in self._sides}
            if self._is_cold or any(side.scenario.server for side in self._sides):
                warm = [self._run(scenario, WARMUP) for scenario in targets.values()]
                self._seconds = self._seconds or _round_seconds(warm)
                self._is_cold = False
            return Block(tuple(self._round(version, targets[version]) for version in order))

    def _round(self, version: Version, scenario: Scenario) -> Round:
        self.last = self._run(scenario, self._seconds)
        found = round_of(version, self.last)
        self.metrics |= dict.fromkeys(found.figures)
        return found

    def _run(self, scenario: Scenario, seconds: float) -> Result:
        return run(scenario.replace(duration=seconds), interrupts=self._stops)


def _round_seconds(warmed: Iterable[Result]) -> float:
    """How long a round lasts: until the slower version has had enough requests, within limits."""
    slowest = min((one.throughput for one in warmed), default=0.0)
    return min(LONGEST_ROUND, max(ROUND, REQUESTS / slowest)) if slowest else ROUND
