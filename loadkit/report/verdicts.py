"""What a result, a comparison or a limit comes to, in a word and a sentence, for reports that begin with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadkit.judge.comparison.comparison import Comparison
from loadkit.judge.limit.limit import Limit, describe_limit
from loadkit.report.comparison import TONES, describe_verdict
from loadkit.report.headline import describe_outcome
from loadkit.report.limit import tone_of

if TYPE_CHECKING:
    from loadkit.judge.result import Result
    from loadkit.report.json import Finding
    from loadkit.report.table import Tone


def verdict_of(one: Result | Finding) -> tuple[Tone, str, str]:
    """The tone, the word and the sentence."""
    if isinstance(one, Limit):
        return tone_of(one), one.ending.upper(), describe_limit(one)
    if isinstance(one, Comparison):
        return TONES[one.verdict], one.verdict.upper(), describe_verdict(one)
    word, why, tone = describe_outcome(one)
    return tone, word, why.lstrip(": ")


def name_of(one: Result | Finding) -> str:
    """What it is of."""
    if isinstance(one, Comparison):
        return f"{one.new} against {one.old}"
    return one.name if isinstance(one, Limit) else one.title
