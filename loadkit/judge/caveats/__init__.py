"""Reasons to doubt a result, each with its figure and what to do about it, and what they come to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from loadkit.judge.activity import differs
from loadkit.judge.caveats.figures import OF_FIGURES, of_figures
from loadkit.judge.caveats.generator import of_generator, of_surroundings
from loadkit.judge.caveats.machine import of_machine
from loadkit.judge.evidence import percent
from loadkit.judge.rows import journeys_among
from loadkit.judge.threshold_results import unfinished
from loadkit.judge.validity import Caveat, Level, ranked, validity_of
from loadkit.plan.labels import MAX_LABELS, OTHER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from loadkit.judge.description import ScenarioInfo
    from loadkit.judge.evidence import Evidence
    from loadkit.judge.result import Result
    from loadkit.judge.rows import Row, Timing

__all__ = ["OF_FIGURES", "caveats", "doubted", "of_figures"]

POLITE = 50.0
"""Replies a second that a public server may be asked for without a word."""


def caveats(run: Evidence) -> list[Caveat]:
    """What the figures themselves, and the machine, give reason to doubt; the gravest first."""
    stats, context = run.stats, run.context
    return ranked(
        [
            *_made((("server-lost", loss) for loss in [context.server_loss] if loss), "grave"),
            *_made(_unreachable(stats.unreachable)),
            *_made(_halted(stats.halted), "grave" if stats.is_fault else "note"),
            *_made(_lost(stats.lost), "grave"),
            *_made(_differing(run), "grave"),
            *_made(_silent(stats.silent)),
            *_made(_same_process(run)),
            *of_generator(run),
            *_made(_stuck(stats.stuck)),
            *_made(_unfinished(run.timings)),
            *_made(("redirects", sentence) for sentence in context.redirects),
            *_made((("teardown", fault) for fault in dict.fromkeys([*stats.faults, *context.faults])), "note"),
            *_made(_untimed(run.total, run.timings), "note"),
            *of_machine(run),
            *of_figures(run.total, run.endpoints, run.phases, run.timings, limits=run.limits),
            *of_surroundings(),
            *_made(_folded([row.name for row in run.endpoints]), "note"),
            *_made(_security(run.scenario), "note"),
            *_made(_public(context.public_hosts, run.total), "note"),
            *_made(context.notes, "note"),
            *_made(_unended(run), "note"),
        ]
    )


def doubted(result: Result, more: Iterable[Caveat]) -> Result:
    """A result with what somebody else has found to doubt in it."""
    found = ranked([*result.caveats, *more])
    return msgspec.structs.replace(result, caveats=found, validity=validity_of(found))


def _made(found: Iterable[tuple[str, str]], level: Level = "doubt") -> list[Caveat]:
    return [Caveat(code=code, message=message, level=level) for code, message in found]


def _unreachable(unreachable: bool) -> Iterator[tuple[str, str]]:
    if unreachable:
        yield "unreachable", "stopped early, for no thread ever got a connection; --keep-going goes on trying"


def _halted(reason: str) -> Iterator[tuple[str, str]]:
    if reason:
        yield "halted", f"the run ended before its time: {reason}"


def _same_process(run: Evidence) -> Iterator[tuple[str, str]]:
    if not run.context.is_in_process:
        return
    if run.processes > 1:
        shared = "by the process that directs the workers and merges what they count, so each slows the other down"
    else:
        share = f" (together they used {percent(run.stats.use.cpu_share)} of it)" if run.stats.use.seconds else ""
        shared = f"by loadkit's own process, so both share one interpreter{share} and every figure is of both"
    advice = "Serve it in a process of its own: the setting load_server, or loadkit.serving(…)"
    yield "same-process", f"the target is served {shared}. {advice}"


def _lost(lost: Sequence[str]) -> Iterator[tuple[str, str]]:
    for loss in lost:
        yield "worker-lost", f"{loss}; what it had told until then is counted, the rest of its load was not applied"


def _differing(run: Evidence) -> Iterator[tuple[str, str]]:
    if run.activity:
        found = differs(run.scenario, run.duration, run.activity, run.total, run.phases, run.timings)
        if found:
            yield "load-differs", found


def _silent(silent: Sequence[str]) -> Iterator[tuple[str, str]]:
    for silence in silent:
        yield "worker-silent", f"{silence}, stopped or starved of CPU; what it sent was late or missing meanwhile"


def _untimed(total: Row, timings: Sequence[Timing]) -> Iterator[tuple[str, str]]:
    """Journeys that use another client than the one they are given, and do not say when."""
    ran = [one.name for one in journeys_among(timings) if one.count]
    if ran and not (total.requests or total.cut) and len(ran) == len([one for one in timings if one.count]):
        yield (
            "no-requests",
            (
                f"{', '.join(ran)} made no request with the session given as http, so the whole of each call is timed, "
                "its own code, too: call http.get(…), or put what another client does in a timer('…')"
            ),
        )


def _stuck(stuck: Sequence[str]) -> Iterator[tuple[str, str]]:
    for place in stuck:
        yield "stuck", f"a thread did not end within 2 s of being cut off, and was left behind at {place}"


def _unfinished(timings: Sequence[Timing]) -> Iterator[tuple[str, str]]:
    for one in unfinished(timings):
        was = f"{one.cut:,} were" if one.cut > 1 else "1 was"
        yield (
            "unfinished",
            (
                f"{one.name} never came to its end: {was} cut when the run was over, and nothing is known of its time; "
                "let it return after one visit, and measure for longer than a visit takes"
            ),
        )


def _unended(run: Evidence) -> Iterator[tuple[str, str]]:
    if not run.is_over:
        yield (
            "partial",
            (
                f"written after {run.duration:g} s that were measured, and the run went on; the rest is not in it, "
                "nor the last replies of threads that then waited for another or paused"
            ),
        )


def _folded(labels: Sequence[str]) -> Iterator[tuple[str, str]]:
    if OTHER in labels:
        yield (
            "labels-folded",
            (
                f"there were more than {MAX_LABELS} different endpoints; the rest is counted as {OTHER}: "
                "give those that belong together the same name"
            ),
        )


def _security(scenario: ScenarioInfo) -> Iterator[tuple[str, str]]:
    if not scenario.verify:
        yield "insecure", "certificates were not verified (verify=False)"


def _public(hosts: Sequence[str], total: Row) -> Iterator[tuple[str, str]]:
    if hosts and total.throughput > POLITE:
        yield (
            "public-target",
            f"{', '.join(dict.fromkeys(hosts))} is on the public internet: load it only if its owner has agreed",
        )
