"""Reasons to doubt a result, each with its figure and what to do about it, and what they come to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from loadkit.judge.caveats.figures import of_figures
from loadkit.judge.caveats.generator import of_generator, of_surroundings
from loadkit.judge.caveats.load import differs
from loadkit.judge.caveats.machine import of_machine
from loadkit.judge.caveats.machines import of_each_machine
from loadkit.judge.parts import TOGETHER, late_start
from loadkit.judge.rows import journeys_among
from loadkit.judge.threshold_results import unfinished
from loadkit.judge.validity import Caveat, ranked, validity_of
from loadkit.plan.labels import FOLLOWED, MAX_LABELS, OTHER
from loadkit.plan.units import show_percent, show_seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from loadkit.judge.evidence import Evidence
    from loadkit.judge.result import Result

POLITE = 50.0
"""Replies a second that a public server may be asked for without a word."""

NO_REQUESTS = "no-requests"
"""Of journeys within which no request was seen."""


def caveats(run: Evidence) -> list[Caveat]:
    """What the figures themselves, and the machine, give reason to doubt; the gravest first."""
    return ranked(
        [
            *_of_course(run),
            *of_generator(run),
            *_of_end(run),
            *of_machine(run),
            *of_each_machine(run),
            *of_figures(run.total, run.endpoints, run.phases, run.timings, limits=run.limits),
            *of_surroundings(),
            *_of_target(run),
        ]
    )


def doubted(result: Result, more: Iterable[Caveat]) -> Result:
    """A result with what somebody else has found to doubt in it."""
    found = ranked([*result.caveats, *more])
    return msgspec.structs.replace(result, caveats=found, validity=validity_of(found))


def _of_course(run: Evidence) -> Iterator[Caveat]:
    """What broke the run off, or made its load another."""
    stats, context = run.stats, run.context
    if context.server_loss:
        yield Caveat("server-lost", context.server_loss, "grave")
    if stats.unreachable:
        yield Caveat("unreachable", "stopped early, for no thread ever got a connection; --keep-going goes on trying")
    if stats.halted:
        yield Caveat("halted", f"the run ended before its time: {stats.halted}", "grave" if stats.is_fault else "note")
    for loss in stats.lost:
        message = f"{loss}; what it had told until then is counted, the rest of its load was not applied"
        yield Caveat("worker-lost", message, "grave")
    if sentence := differs(run):
        yield Caveat("load-differs", sentence, "grave")
    for silence in stats.silent:
        message = f"{silence}, stopped or starved of CPU; what it sent was late or missing meanwhile"
        if stats.machines:
            message = f"{silence}, stopped, starved of CPU or cut off; what it sent may have been late or missing then"
        yield Caveat("worker-silent", message)
    if context.is_in_process:
        yield Caveat("same-process", _same_process(run))
    if (late := late_start(run)) > TOGETHER:
        yield Caveat(
            "late-start",
            f"it began {show_seconds(late)} after the instant at which all parts begin (--at), for it was not ready: "
            "the load was not all there from the start; choose a later instant, or set up less",
        )
    if context.companions:
        names = ", ".join(one.name or "scenario" for one in context.companions)
        message = (
            f"ran together with {names} in one process: what is said of loadkit's CPU and memory, and of the machine "
            "and the server, is of all of them; its requests and times are its own"
        )
        yield Caveat("together", message, "note")


def _same_process(run: Evidence) -> str:
    if not run.shares_interpreter:
        shared = "by the process that directs the workers and merges what they count, so each slows the other down"
    else:
        share = f" (together they used {show_percent(run.stats.use.cpu_share)} of it)" if run.stats.use.seconds else ""
        shared = f"by loadkit's own process, so both share one interpreter{share} and every figure is of both"
    advice = "Serve it in a process of its own: the setting load_server, or loadkit.serving(…)"
    return f"the target is served {shared}. {advice}"


def _of_end(run: Evidence) -> Iterator[Caveat]:
    """What did not come to its end, or was not done as it should be."""
    for place in run.stats.stuck:
        message = f"a thread did not end within 2 s of being cut off, and was left behind at {place}"
        yield Caveat("stuck", message)
    for one in unfinished(run.timings):
        was = f"{one.cut:,} were" if one.cut > 1 else "1 was"
        yield Caveat(
            "unfinished",
            f"{one.name} never came to its end: {was} cut when the run was over, and nothing is known of its time; "
            "let it return after one visit, and measure for longer than a visit takes",
        )
    for sentence in run.context.redirects:
        yield Caveat("redirects", sentence)
    for fault in (*run.stats.faults, *run.context.faults):
        yield Caveat("teardown", fault, "note")
    # journeys that use another client than the one they are given, and do not say when
    ended = [one for one in run.timings if one.count]
    if ended and not run.sent and ended == journeys_among(ended):
        yield Caveat(
            NO_REQUESTS,
            f"{', '.join(one.name for one in ended)} made no request with the session given as http, so the whole of "
            "each call is timed, its own code, too: call http.get(…), or put what another client does in a timer('…')",
            "note",
        )


def _of_target(run: Evidence) -> Iterator[Caveat]:
    """What there is to know of the target, and of how it was looked at."""
    if any(row.name in (OTHER, OTHER + FOLLOWED) for row in run.endpoints):
        yield Caveat(
            "labels-folded",
            f"there were more than {MAX_LABELS} different endpoints; the rest is counted as {OTHER}: give those that "
            "belong together the same name",
            "note",
        )
    if not run.scenario.verify:
        yield Caveat("insecure", "certificates were not verified (verify=False)", "note")
    if run.context.public_hosts and run.total.throughput > POLITE:
        hosts = ", ".join(dict.fromkeys(run.context.public_hosts))
        message = f"{hosts} is on the public internet: load it only if its owner has agreed"
        yield Caveat("public-target", message, "note")
    for code, message in run.context.notes:
        yield Caveat(code, message, "note")
    if not run.is_over:
        yield Caveat(
            "partial",
            f"written after {run.duration:g} s that were measured, and the run went on; the rest is not in it, "
            "nor the last replies of threads that then waited for another or paused",
            "note",
        )
