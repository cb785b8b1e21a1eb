"""A run as a whole, in tables of two columns: its totals, its settings, and the machine."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from loadkit.judge.description import ScenarioInfo
from loadkit.judge.environment import Environment, Server
from loadkit.judge.merge.sums import all_journeys
from loadkit.judge.result import Result
from loadkit.judge.rows import Row
from loadkit.plan.labels import is_hop
from loadkit.plan.recorded import RECORDED
from loadkit.plan.units import show_count, show_size, show_span
from loadkit.report.figures import show_share, show_throughput, show_time
from loadkit.report.table import Cell, Column, Table


def totals(result: Result) -> Table:
    """Requests, throughput, errors, data, connections, and the cost of server and generator."""
    return _pairs("In all", _totals(result))


def _totals(result: Result) -> Iterator[tuple[str, Cell]]:
    total, timed = result.total, all_journeys(result)
    if timed:
        yield "journeys", Cell(f"{timed.count:,} in {show_time(result.duration)}, without a request of loadkit's own")
        yield "throughput", Cell(f"{show_throughput(timed.throughput)} of journeys that came through")
    else:
        yield "requests", Cell(f"{total.requests:,} in {show_time(result.duration)}")
        yield "throughput", Cell(f"{show_throughput(total.throughput)} of good replies")
    if hops := sum(row.requests for row in result.endpoints if is_hop(row.name)):
        yield "redirects", Cell(f"{hops:,} followed, in rows of their own and in no total")
    if (shown := timed or total).requests:
        failed = sum(shown.failures.values())
        yield (
            "errors",
            Cell(f"{failed:,} ({show_share(shown.error_rate)})" if failed else "0", tone="bad" if failed else ""),
        )
    if total.bytes_received or total.bytes_sent:
        yield "data", Cell(_data(total, result.duration))
    if total.connects:
        yield "connections", Cell(_connections(total))
    yield from _left_out(total)
    if result.server is not None:
        yield "server", Cell(_server(result.server, result))
    yield "generator", Cell(_generator(result.environment, result))


def _data(total: Row, duration: float) -> str:
    parts = ((total.bytes_received, "received"), (total.bytes_sent, "sent"))
    return ", ".join(f"{show_size(count)} {verb}{_a_second(count, duration)}" for count, verb in parts)


def _a_second(count: int, duration: float) -> str:
    return f" ({show_size(count / duration)}/s)" if duration > 0 else ""


def _connections(total: Row) -> str:
    again = f" ({total.reconnects:,} of them to reconnect)" if total.reconnects else ""
    mean = f", {show_time(total.connect_seconds / total.connects)} each to open" if total.connect_seconds else ""
    return f"{total.connects:,} opened{again}{mean}"


def _left_out(total: Row) -> Iterator[tuple[str, Cell]]:
    """What is in no count of requests, and requests that are not in the throughput."""
    if total.unsent:
        yield "unsent", Cell(f"{total.unsent:,} {_were(total.unsent)} due and never sent", tone="doubt")
    if total.cut:
        yield "cut", Cell(f"{total.cut:,} {_were(total.cut)} still unanswered when the run ended", tone="doubt")
    if total.drained:
        yield "drained", Cell(f"{total.drained:,} came in after the stop, so not in the throughput")


def _were(count: int) -> str:
    return "was" if count == 1 else "were"


def _server(server: Server, result: Result) -> str:
    """CPU and memory of the server."""
    return ", ".join([*_cpu(server.cpu_seconds, result), show_size(server.peak_memory)])


def _cpu(spent: float, result: Result, more: str = "") -> Iterator[str]:
    if result.duration > 0 and math.isfinite(spent):
        each = f", {show_time(spent / result.total.requests)} a request" if result.total.requests else ""
        yield f"{show_time(spent)} of CPU ({spent / result.duration * 100:.0f} % of one core{each}{more})"


def _busiest(environment: Environment, result: Result) -> str:
    """The share of a CPU that the busiest of several processes used."""
    if not environment.cpu_by_process or not result.duration:
        return ""
    share = max(environment.cpu_by_process) / result.duration
    count = len(environment.cpu_by_process)
    many = show_count(count, "machine") if _is_steered(result) else show_count(count, "process", "processes")
    return f"; {many}, the busiest {share * 100:.0f} %"


def _is_steered(result: Result) -> bool:
    """True for a run on machines that one directs, which have a process each."""
    return bool(result.machines) and result.scenario.processes == 1


def _generator(environment: Environment, result: Result) -> str:
    """CPU and memory of loadkit itself, which tell whether it or the server was the limit."""
    parts = [*_cpu(environment.cpu_seconds, result, _busiest(environment, result))]
    parts.append(show_size(environment.peak_memory))
    parts.append(f"Python {environment.python}" if environment.python[:1].isdigit() else environment.python)
    parts.append(f"{environment.cpu_count} CPU{'s' * (environment.cpu_count != 1)}")
    return ", ".join(parts)


def setup_tables(result: Result) -> Iterator[Table]:
    """The settings of the run, and the machine it ran on."""
    yield _pairs("What was asked", ((name, Cell(value)) for name, value in _asked(result.scenario)))
    yield _ran([*_machine(result.environment), *_used(result)])


def machine_table(environment: Environment) -> Table:
    """The machine, and the programs on it."""
    return _ran(_machine(environment))


def _ran(facts: Iterable[tuple[str, str]]) -> Table:
    return _pairs("Where it ran", ((name, Cell(value)) for name, value in facts))


def _pairs(caption: str, found: Iterable[tuple[str, Cell]]) -> Table:
    names, facts = zip(*found, strict=True)
    return Table(caption=caption, names=names, columns=[Column("", facts)], words=1)


def _asked(scenario: ScenarioInfo) -> Iterator[tuple[str, str]]:
    if scenario.rate is None:
        yield "threads", f"{scenario.threads:,}"
    else:
        is_mean = scenario.phases or scenario.arrivals == RECORDED
        yield "rate", f"{show_throughput(scenario.rate)}{' in the mean' if is_mean else ''}"
        yield "arrivals", scenario.arrivals or "-"
        yield "threads", f"up to {scenario.max_threads or scenario.threads:,}"
    if scenario.duration is not None:
        yield "duration", show_span(scenario.duration)
    for plan in scenario.phases:
        yield f"phase {plan.name}", f"{plan.start:g} to {plan.end:g} in {show_span(plan.duration)}"
    if scenario.iterations is not None:
        yield "iterations", f"{scenario.iterations:,}"
    if scenario.iterations_per_thread is not None:
        yield "iterations a thread", f"{scenario.iterations_per_thread:,}"
    yield "processes", str(scenario.processes)
    yield "warm-up", show_span(scenario.warmup)
    yield "think time", scenario.think_time or "none"
    yield "pacing", show_span(scenario.pacing) if scenario.pacing else "none"
    yield "timeout of a request", show_span(scenario.timeout)
    yield "seed", str(scenario.seed)
    yield "certificates", "verified" if scenario.verify else "not verified"
    for name, value in scenario.options.items():
        yield name, str(value)


def _machine(environment: Environment) -> Iterator[tuple[str, str]]:
    yield "loadkit", environment.loadkit
    yield "Python", environment.python
    yield "system", f"{environment.system}, {environment.machine}"
    yield "CPUs", str(environment.cpu_count)
    yield (
        "transport",
        f"{environment.transport}, {'with the extension in C' if environment.extension else 'pure Python'}",
    )
    if environment.engine:
        yield "engine", environment.engine
    yield "clock of arrivals", environment.clock


def _used(result: Result) -> Iterator[tuple[str, str]]:
    environment, worker = result.environment, "machine" if _is_steered(result) else "process"
    yield "CPU of the generator", show_time(environment.cpu_seconds)
    for k, spent in enumerate(environment.cpu_by_process, 1):
        yield f"CPU of {worker} {k}", show_time(spent)
    yield "memory of the generator", show_size(environment.peak_memory)
