"""Rounds of two versions: where the server of each is started, and short runs of both, block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from loadkit.jobs.run import run
from loadkit.jobs.tolerances import DEMO
from loadkit.judge.comparison.blocks import Block, Metric, Order, Round, Version
from loadkit.judge.comparison.figures import round_of
from loadkit.judge.result import Result
from loadkit.judge.validity import Caveat
from loadkit.plan.errors import Interrupted, LoadkitError, UsageError
from loadkit.plan.scenario import Scenario
from loadkit.plan.scenario_fields import is_application
from loadkit.server.serving import PORT, Served, running_server, served
from loadkit.wire.encode import origin_of

ROUND: Final = 0.5
"""Seconds of a round, where that is enough for `REQUESTS`."""
REQUESTS: Final = 200
LONGEST_ROUND: Final = 5.0
WARMUP: Final = 0.3
"""Seconds of load on each version before the rounds of a block."""
CONTROL_ROUND: Final = 0.2
"""Seconds of load on the demo server after each round, where that is the control."""
SAID: Final = ("redirects", "steal", "throttled", "swapping", "suspended", "same-process")
"""The caveats of single rounds that are those of the comparison, too."""


Around: TypeAlias = Callable[[Scenario], AbstractContextManager[Scenario]]
"""Is entered with a scenario that is aimed at a server, for as long as that runs, and gives the one that is run."""


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
    server: Served | None = None
    """What is started for each block; None where a server runs already."""
    notes: Sequence[str] = ()
    """What is to be known of how it is measured."""
    around: Around = nullcontext

    @contextmanager
    def up(self, stops: Callable[[], int]) -> Iterator[Scenario]:
        """The scenario aimed at the server of this version, which runs until the block is left.

        Raises `Interrupted` where `stops` tells, while it starts, that the user asked to stop.
        """
        with ExitStack() as stack:
            scenario = self.scenario
            try:
                if self.server:
                    url = stack.enter_context(running_server(self.server, stops))
                    scenario = scenario.replace(base_url=f"{url}{urlsplit(scenario.base_url or '').path}")
                scenario = stack.enter_context(self.around(scenario))
            except UsageError as error:
                raise NotMeasurable(f"the {self.version} version, {self.name}: {error}") from None
            yield scenario


def named_server(scenario: Scenario) -> Served | None:
    """The server that a scenario names; None where it is aimed at one that runs."""
    command = scenario.server
    if not command:
        return None
    app = command[0] if is_application(command) else command
    found = served(app, ready=scenario.ready, within=scenario.ready_timeout)
    if is_application(command) or any(PORT in word for word in command) or not scenario.base_url:
        return found
    return replace(found, port=origin_of(scenario.base_url)[0].port)


class Rounds:
    """Runs the rounds of a comparison, block by block."""

    def __init__(
        self,
        old: Side,
        new: Side,
        stops: Callable[[], int],
        *,
        control: Scenario | None = None,
        is_simultaneous: bool = False,
    ) -> None:
        """`control` is run after each round; `is_simultaneous` for rounds of both versions at once.

        Raises `UsageError` where both have to listen on the same port at once.
        """
        self._sides = (old, new)
        self._stops = stops
        self._control = control
        self._is_simultaneous = is_simultaneous
        ports = [side.server.port for side in self._sides if side.server and side.server.port]
        self._shares_port = len(ports) > len(set(ports))
        if is_simultaneous and self._shares_port:
            raise UsageError(f"both versions listen on port {ports[0]}, and not at once; write {{port}} in server=")
        self._seconds = 0.0
        self._is_cold = True
        self.metrics: dict[Metric, None] = {}
        self.last: Result | None = None
        self.caveats: dict[tuple[Version, str], Caveat] = {}

    def block(self, order: Order) -> Block:
        """Start both versions, warm each up, and run the rounds in this order.

        Raises `Interrupted` where the user asks to stop while a server starts, and nothing was measured before.
        """
        try:
            return Block(tuple(self._one_server_at_a_time(order))) if self._shares_port else self._both_servers(order)
        except Interrupted:
            if self.last is None:
                raise
            # what earlier blocks have measured is reported
            return Block(())

    def _both_servers(self, order: Order) -> Block:
        with ExitStack() as stack:
            targets = {side.version: stack.enter_context(side.up(self._stops)) for side in self._sides}
            if self._is_cold or any(side.server for side in self._sides):
                self._warm_up(targets.values())
            if self._is_simultaneous:
                return Block(tuple(self._at_once(order, targets)))
            return Block(tuple(self._round(version, targets[version]) for version in order))

    def _warm_up(self, targets: Iterable[Scenario]) -> None:
        warm = [self._run(scenario, WARMUP) for scenario in targets]
        if self._is_cold:
            self._seconds = _round_seconds(warm)
            if self._control:
                self._run(self._control, WARMUP)
        self._is_cold = False

    def _one_server_at_a_time(self, order: Order) -> Iterator[Round]:
        """Start a version for its turn, and stop it before the other one takes the port."""
        sides = {side.version: side for side in self._sides}
        if self._is_cold:
            self._warm_up(self._each_alone())
        for version, turn in groupby(order):
            with sides[version].up(self._stops) as target:
                self._warm_up([target])
                for _ in turn:
                    yield self._round(version, target)

    def _each_alone(self) -> Iterator[Scenario]:
        for side in self._sides:
            with side.up(self._stops) as target:
                yield target

    def _at_once(self, order: Order, targets: Mapping[Version, Scenario]) -> Iterator[Round]:
        """A round of each version at the same time, twice."""
        with ThreadPoolExecutor(len(targets)) as pool:
            for pair in (order[:2], order[2:]):
                yield from pool.map(lambda version: self._round(version, targets[version]), pair)

    def _round(self, version: Version, scenario: Scenario) -> Round:
        # another thread may end a round of the other version meanwhile
        self.last = result = self._run(scenario, self._seconds)
        found = round_of(version, result)
        self.metrics |= dict.fromkeys(found.figures)
        for one in result.caveats:
            if one.code in SAID:
                self.caveats.setdefault((version, one.code), one)
        if not self._control:
            return found
        control = round_of(version, self._run(self._control, CONTROL_ROUND))
        figures = {Metric(metric.name, DEMO): value for metric, value in control.figures.items() if not metric.label}
        return replace(found, figures={**found.figures, **figures}, unsound=found.unsound or control.unsound)

    def _run(self, scenario: Scenario, seconds: float) -> Result:
        return run(scenario.replace(duration=seconds), interrupts=self._stops)


def in_rounds(scenario: Scenario) -> Scenario:
    """The scenario as its rounds run it: for as long as they last, without limits, and of a load that changes with
    the highest one."""
    highest = max((max(one.first, one.last) for one in scenario.segments), default=None)
    if highest is not None:
        scenario = scenario.replace(rate=highest) if scenario.is_open else scenario.replace(threads=int(highest))
    return scenario.replace(
        duration=ROUND, iterations=None, iterations_per_thread=None, warmup=0, thresholds=(), phases=()
    )


def _round_seconds(warmed: Iterable[Result]) -> float:
    """How long a round lasts: until the slower version has had enough requests, within limits."""
    slowest = min((one.throughput for one in warmed), default=0.0)
    return min(LONGEST_ROUND, max(ROUND, REQUESTS / slowest)) if slowest else ROUND
