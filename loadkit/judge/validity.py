"""How far to believe figures: as far as the gravest reason to doubt them lets them be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

Level = Literal["grave", "doubt", "note"]
"""What a caveat means for the figures. `grave`: they are of another load than was asked for, or of a part of it.
`doubt`: some of them may be wrong. `note`: they are right, and there is something to know about them."""


Validity = Literal["clean", "doubtful", "invalid"]
"""How far to believe the figures: as far as the gravest caveat lets them be. Notes leave them clean."""


class Caveat(msgspec.Struct, frozen=True):
    """A reason to doubt the figures: a short code to look for, and a sentence with the figure and what to do."""

    code: str
    message: str
    level: Level = "doubt"


_RANKS: dict[Level, int] = {"grave": 0, "doubt": 1, "note": 2}
_COMES_TO: dict[Level, Validity] = {"grave": "invalid", "doubt": "doubtful", "note": "clean"}


def ranked(found: Iterable[Caveat]) -> list[Caveat]:
    """The gravest first, each once."""
    return sorted({(one.code, one.message): one for one in found}.values(), key=lambda one: _RANKS[one.level])


def validity_of(found: Sequence[Caveat]) -> Validity:
    """How far to believe figures with these caveats.

    `invalid`: less than 95 % of what was due was sent, or nothing at all, the plan broke off, the load was not that of
    the plan, or the server ended. `doubtful`: there is a reason to think that some figure is wrong. `clean`: none,
    though there may be notes: where the target runs, what was switched off, a percentile that is shown and not limited
    and rests on few replies.
    """
    gravest: Level = min((one.level for one in found), key=_RANKS.__getitem__, default="note")
    return _COMES_TO[gravest]
