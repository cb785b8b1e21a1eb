"""What is known of a run once its figures are made: what caveats and the bottleneck are derived from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from loadkit.judge.activity import UNRECORDED, Activity
from loadkit.judge.rows import journeys_among
from loadkit.plan.part import WHOLE, Part
from loadkit.plan.units import SECOND
from loadkit.wire.exchange_loop.native_loop import NativeLoop

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadkit.drive.stats import RunStats
    from loadkit.judge.description import ScenarioInfo
    from loadkit.judge.environment import Environment, Server
    from loadkit.judge.rows import Phase, Row, Timing
    from loadkit.judge.threshold_results import ThresholdResult
    from loadkit.plan.scenario import Scenario
    from loadkit.plan.threshold import Threshold

BUSY = 0.8
"""Share of what one interpreter can use above which the interpreter itself may be what was measured."""

LONG_ENOUGH = 1.0
"""Seconds: of a shorter run the start is too large a part for its CPU to say anything."""

LATE = 0.001
"""Seconds that a request may be sent after it was due, in an open workload, for its arrival to be the planned one."""

OWN_SHARE = 0.5
"""Of the limit of a response time, by which requests may be sent late without being the reason that it is missed."""

MOSTLY = 0.5
"""With less than this share of their threads' time spent at the server, the rest is what held the run back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """What is known of a run beside what its threads recorded: its time, its target, its clock."""

    started_at: str
    measured_at: str
    """UTC, ISO 8601, like `started_at`: the end of the warm-up."""
    server: Server | None = None
    """What the server used, where loadkit started it."""
    server_loss: str = ""
    """How the server ended during the run or before, if it did and loadkit had started it."""
    is_in_process: bool = False
    """The target is served by this process."""
    is_same_host: bool = False
    """The target runs on this machine."""
    public_hosts: Sequence[str] = ()
    """Hosts of the target on the public internet."""
    clock_steps: Sequence[int] = ()
    """By how much the wall clock was set during the run, nanoseconds."""
    redirects: Sequence[str] = ()
    """A sentence for each endpoint that answered with redirects."""
    faults: Sequence[str] = ()
    """Why the tear-down of the scenario failed."""
    notes: Sequence[tuple[str, str]] = ()
    """Further notes: code and message."""
    windows: Sequence[ThresholdResult] = ()
    """What came of thresholds that hold over a time."""
    companions: Sequence[Scenario] = ()
    """What this process ran at the same time."""
    part: Part = WHOLE
    """What this machine had of the load."""
    addresses: Sequence[str] = ()
    """From which it sent, where several machines share the load."""
    clock_ahead: tuple[float, float] | None = None
    """Seconds that its clock is ahead of that of the target, and by how many that may be wrong; None if not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The figures of a run, what was asked for, and how it went."""

    scenario: ScenarioInfo
    environment: Environment
    context: RunContext
    stats: RunStats
    duration: float
    """Seconds that were measured."""
    total: Row
    endpoints: Sequence[Row] = ()
    phases: Sequence[Phase] = ()
    timings: Sequence[Timing] = ()
    limits: Sequence[Threshold] = ()
    activity: Activity = UNRECORDED
    """What its threads did."""
    is_over: bool = True
    """False for figures that are made while the run goes on."""

    @property
    def is_aborted(self) -> bool:
        """It was ended for a threshold that was missed."""
        return any(one.aborted for one in self.context.windows)

    @property
    def is_ended_by_server(self) -> bool:
        """It was ended for a response time, and not because loadkit sent late: its threads waited for replies."""
        aborted = [one.threshold for one in self.context.windows if one.aborted]
        limit = next((one for one in self.limits if one.text in aborted), None)
        if limit is None or self.is_generator_busy:
            return False
        return self.stats.was_short or (limit.is_time and self.lateness < OWN_SHARE * limit.limit)

    @property
    def is_open(self) -> bool:
        """Requests were due by the clock."""
        return self.scenario.rate is not None

    @property
    def processes(self) -> int:
        """How many sent, on whatever machines; of those asked for with `auto` the run has said how many."""
        if self.stats.machines:
            return sum(one.processes for one in self.stats.machines)
        return self.scenario.processes if isinstance(self.scenario.processes, int) else 1

    @property
    def shares_interpreter(self) -> bool:
        """What loadkit used, and where its threads were, is the server's, too."""
        return self.context.is_in_process and self.processes == 1 and not self.stats.machines

    @property
    def more_processes(self) -> str:
        """What gives loadkit more CPUs: an option, or processes of their own for those that ran together."""
        if self.context.companions:
            return "a loadkit of its own for each scenario"
        if self.stats.machines:
            return "more workers"
        return "--processes" if self.processes == 1 else "more --processes"

    @property
    def rests(self) -> bool:
        """Threads of a closed workload paused as they were told to."""
        return bool(self.scenario.think_time or self.scenario.pacing)

    @property
    def is_long_enough(self) -> bool:
        """Long enough for shares of it to mean something."""
        return self.duration >= LONG_ENOUGH

    @property
    def most_threads(self) -> int:
        """How many requests could be under way at a time."""
        return self.scenario.max_threads or self.scenario.threads

    @property
    def sent(self) -> int:
        """Requests that were sent, whatever came of them, without those that redirects of endpoints led to."""
        return self.total.requests + self.total.cut

    @property
    def due(self) -> int:
        """Requests that should have been."""
        return self.sent + self.total.unsent

    @property
    def begun(self) -> int:
        """Journeys that began, whatever came of them."""
        return sum(one.count + one.cut for one in journeys_among(self.timings))

    @property
    def not_begun(self) -> int:
        """Journeys that were due and did not."""
        return sum(one.unsent for one in self.timings)

    @property
    def sent_rate(self) -> float:
        """A second."""
        return self.sent / self.duration if self.duration else 0.0

    @property
    def asked_rate(self) -> float:
        """A second, the mean; what was due, so that one that was interrupted is not blamed for the rest."""
        return self.due / self.duration if self.duration else 0.0

    @property
    def lateness(self) -> float:
        """Seconds, p99."""
        return self.total.lateness.p99 or 0.0

    @property
    def cpu_share(self) -> float:
        """Of what `cpu_user` can use; 0 where it is not known or says nothing yet."""
        return self.stats.use.cpu_share if self.is_long_enough and not self.shares_interpreter else 0.0

    @property
    def cpu_user(self) -> str:
        """What has the CPUs that loadkit can use: the interpreter, or loops in C where all users are carried."""
        if set(self.stats.engines) != {NativeLoop.name}:
            return "one interpreter"
        return "its exchange loops" if self.stats.use.capacity > 1 else "its exchange loop"

    @property
    def is_generator_busy(self) -> bool:
        """loadkit used nearly all the CPU that it can."""
        return self.cpu_share > BUSY

    @property
    def at_server(self) -> float:
        """Requests that the network and the server had, the mean: Little's law, from the service times."""
        spent = self.total.service_time.sum_ns + self.total.failure_time.sum_ns
        return spent / SECOND / self.duration if self.duration else 0.0

    @property
    def server_share(self) -> float | None:
        """The share of its threads' time with a request that the server had; the rest was loadkit's own.

        None with journeys, whose own code and other clients have a part of it, too, and where a server that stalls has
        ended the run: what it has not answered is not known to be its own.
        """
        # only with the kernel's clock has a service time no wait for the interpreter in it
        is_kernel_timed, in_flight = self.environment.clock != "own", self.stats.in_flight
        if not in_flight or not is_kernel_timed or self.scenario.journeys or self.shares_interpreter or self.is_aborted:
            return None
        return min(1.0, self.at_server / in_flight)

    @property
    def is_generator_slow(self) -> bool:
        """More of the threads' time went by in loadkit than at the server, for want of CPU or in checks."""
        share = self.server_share
        return share is not None and share < MOSTLY
