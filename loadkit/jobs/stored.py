"""Rounds of two versions that were measured one after the other, and stored: is the new version worse?"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Final

import msgspec

from loadkit.jobs.tolerances import TOLERANCE, default_tolerances, named_tolerances
from loadkit.judge.comparison.blocks import Block, Metric
from loadkit.judge.comparison.changes import ERROR, changes_between, overall, shown_between
from loadkit.judge.comparison.comparison import Comparison, comparison
from loadkit.judge.comparison.figures import SERVER_CPU, round_of
from loadkit.judge.comparison.procedure import Conclusion, all_failed, verdict_without
from loadkit.judge.fingerprint import fingerprint
from loadkit.judge.other_load import other_load
from loadkit.judge.rows import journeys_among
from loadkit.judge.validity import Caveat
from loadkit.plan.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from loadkit.judge.comparison.blocks import Round, Version
    from loadkit.judge.result import Result
    from loadkit.judge.rows import Row, Timing

REASONS: Final[Mapping[str, str]] = {
    "other-machine": "the machines or programs differ",
    "other-load": "the loads differ",
    "one-round": "one round alone does not show how much rounds differ",
    "few-rounds": "the rounds are too few",
}
"""Caveats that keep it from being decided, and what they come to."""


def compare_stored(
    before: Sequence[Result],
    after: Sequence[Result],
    *,
    tolerances: Mapping[str, float] | None = None,
    strict_machine: bool = False,
    old: str = "before",
    new: str = "after",
    seconds: float = 0.0,
) -> Comparison:
    """Say whether the rounds of `after` are worse than those of `before`.

    Nothing is decided (*cannot tell*, with the exit code 0) where they are of different machines or loads, or too few;
    `caveats` says why.

    Args:
        before: runs of the old version, one a round.
        after: runs of the new version.
        tolerances: as those of `loadkit.compare`.
        strict_machine: where nothing is decided, the exit code is 6.
        old: what the old version is called, such as the name of a file.
        new: the same of the new version.
        seconds: how long it took, if anything was measured for it.

    Raises `UsageError` for a tolerance that names no figure or endpoint, and for rounds that are in both.
    """
    _check(before, after, old, new)
    rounds = [*_rounds("old", before), *_rounds("new", after)]
    sound = [one for one in rounds if one.unsound is None]
    known = [metric for metric in _metrics(sound, "old") if metric in _metrics(sound, "new")]
    has_server = SERVER_CPU in known
    labels = list(dict.fromkeys(row.name for result in [*before, *after] for row in _rows(result)))
    defaults = default_tolerances(is_open=after[0].scenario.rate is not None, has_server=has_server)
    decide = {**defaults, **named_tolerances(tolerances or {}, defaults, labels=labels, has_server=has_server)}
    caveats = list(_differing(before, after, old, new))
    conclusion = _failed(rounds)
    if conclusion is None:
        caveats += _few(len(before), len(after), len(decide), old, new)
        conclusion = _concluded(rounds, sound, decide)
    found = comparison(
        replace(
            _undecided(conclusion, caveats) if caveats else conclusion,
            # each round is a block of its own
            blocks=tuple(Block((one,)) for one in rounds),
        ),
        [shown_between(sound, metric, TOLERANCE) for metric in known if metric not in decide],
        new=new,
        old=old,
        seconds=seconds,
        notes=list(_notes(rounds, before, after, old, new)),
        environment=after[-1].environment,
    )
    return msgspec.structs.replace(found, in_turns=False, caveats=caveats, is_strict=strict_machine)


def _rows(result: Result) -> list[Row | Timing]:
    return [*result.endpoints, *journeys_among(result.timings)]


def _check(before: Sequence[Result], after: Sequence[Result], old: str, new: str) -> None:
    for name, results in ((old, before), (new, after)):
        if not results:
            raise UsageError(f"there is no round of {name} to compare")
    if any(one in before for one in after):
        raise UsageError(f"{old} and {new} have the same rounds, which say nothing of a change; measure again")


def _rounds(version: Version, results: Sequence[Result]) -> Iterator[Round]:
    for result in results:
        found = round_of(version, result)
        is_whole = result.outcome != "interrupted" and all(one.code != "partial" for one in result.caveats)
        yield found if is_whole else replace(found, unsound="it was broken off")


def _metrics(rounds: Sequence[Round], version: Version) -> dict[Metric, None]:
    return {metric: None for one in rounds if one.version == version for metric in one.figures}


def _differing(before: Sequence[Result], after: Sequence[Result], old: str, new: str) -> Iterator[Caveat]:
    pairs = list(product(before, after))
    machines = [
        fingerprint(two.environment, two.machines).differences(fingerprint(one.environment, one.machines))
        for one, two in pairs
    ]
    if differences := next(filter(None, machines), None):
        message = f"{new} was measured on another machine or with other programs than {old}: {'; '.join(differences)}"
        yield Caveat("other-machine", message, "grave")
    if other := next(filter(None, (other_load(one, two) for one, two in pairs)), None):
        yield Caveat("other-load", f"{new} was measured with another load than {old}: {other}", "grave")


def _few(before: int, after: int, metrics: int, old: str, new: str) -> Iterator[Caveat]:
    """That rounds are too few for the surest outcome to be sure enough for *worse*."""
    if min(before, after) == 1:
        alone = old if before == 1 else new
        message = f"{alone} is one round alone: how much rounds differ is not known; run --repeat 5 stores several"
        yield Caveat("one-round", message, "grave")
    elif not _is_enough(before, after, metrics):
        message = f"{before} rounds of {old} and {after} of {new} are too few to tell; run --repeat 5 stores 5"
        yield Caveat("few-rounds", message, "grave")


def _is_enough(old: int, new: int, metrics: int) -> bool:
    return 1 / math.comb(old + new, new) <= ERROR / metrics


def _failed(rounds: Sequence[Round]) -> Conclusion | None:
    """What needs no statistics: that a version fails altogether."""
    versions: tuple[Version, ...] = ("old", "new")
    failed = [one for one in versions if all(found.has_failed for found in rounds if found.version == one)]
    if not failed:
        return None
    return Conclusion(verdict=verdict_without(failed), changes=(), blocks=(), reason=all_failed(failed, rounds))


def _concluded(rounds: Sequence[Round], sound: Sequence[Round], decide: Mapping[Metric, float]) -> Conclusion:
    changes = tuple(changes_between(sound, decide))
    old = sum(one.version == "old" for one in sound)
    if len(sound) == len(rounds) or _is_enough(old, len(sound) - old, len(decide)):
        return Conclusion(verdict=overall(changes), changes=changes, blocks=())
    unsound = [one.unsound for one in rounds if one.unsound]
    reason = f"{len(unsound)} of {len(rounds)} rounds were not sound: {unsound[-1]}"
    return Conclusion(verdict="cannot tell", changes=changes, blocks=(), reason=reason)


def _undecided(conclusion: Conclusion, caveats: Sequence[Caveat]) -> Conclusion:
    """The same as *cannot tell*, with what it would have been."""
    why = " and ".join(REASONS[one.code] for one in caveats)
    alone = "" if conclusion.verdict == "cannot tell" else f"; by the rounds alone it would be {conclusion.verdict}"
    reason = f" ({conclusion.reason})" if conclusion.reason else ""
    return replace(conclusion, verdict="cannot tell", reason=f"nothing is decided, for {why}{alone}{reason}")


def _notes(
    rounds: Sequence[Round], before: Sequence[Result], after: Sequence[Result], old: str, new: str
) -> Iterator[str]:
    began = [min(one.started_at for one in results)[:16].replace("T", " ") for results in (before, after)]
    yield (
        f"the rounds were not measured in turns, but those of {old} from {began[0]} and those of {new} from {began[1]} "
        "(UTC): what else changed between is in the change, too"
    )
    versions: tuple[tuple[Version, str], ...] = (("old", old), ("new", new))
    for version, name in versions:
        found = [one.unsound for one in rounds if one.version == version]
        unsound = [one for one in found if one]
        if unsound:
            yield f"{len(unsound)} of {len(found)} rounds of {name} are left out: {unsound[-1]}"
