"""Why requests failed: each reason once, with a count; messages that differ in values alone are one reason."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from loadkit.wire.base import Failure

if TYPE_CHECKING:
    from loadkit.wire.failed_reply import FailedReply

MAX_REASONS = 20
"""Different messages kept of each kind of failure; the rest is counted as one."""
MORE_REASONS = f"… more than {MAX_REASONS} different messages"

FEW: Final = 3
"""So many messages that differ in numbers alone may be looked at one by one."""

ALIKE: Final = "\n  (others differ in ids or times)"
ROUGHLY_ALIKE: Final = "\n  (others differ in numbers or quoted text)"
"""What stands behind the first message of several."""

_PLACE: Final = "  at "
"""How a line begins that says where a message is from."""

_VALUE: Final = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"  # a UUID
    r"|\b0x[0-9a-f]+"  # an address
    r"|\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d[\d:.+Z-]*"  # a time
    r"|\d{1,20}\.\d{3,}(?:e-?\d+)?"  # a measured one
    r"|(?<![a-z])(?=[a-f]*\d)[0-9a-f]{8,128}(?![a-z])"  # a digest
    r"|(?<![\d:.])(?<!port=)\d{5,}",  # an id, and no port
    re.IGNORECASE,
)
_ANY_VALUE: Final = re.compile(rf"{_VALUE.pattern}|\d+|'[^'\n]*'|\"[^\"\n]*\"", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Reason:
    """How often something failed for one reason."""

    count: int
    first: int
    """When first: nanoseconds of the monotonic clock."""
    reply: FailedReply | None = None
    """The first reply of those that had one and were looked at."""

    def joined(self, other: Reason) -> Reason:
        """Both together."""
        early, late = (self, other) if self.first <= other.first else (other, self)
        return Reason(self.count + other.count, early.first, early.reply or late.reply)


def add_reason(reasons: dict[Failure, Reason], failure: Failure, reason: Reason, *, most: int = MAX_REASONS) -> None:
    """Count what has failed so, or alike; where there are `most` different messages of a kind, the others are one."""
    alike = failure if failure in reasons else _alike(reasons, failure, by=_is_alike)
    if alike is not None:
        _join(reasons, alike, failure, reason)
    elif len(of_kind := _of_kind(reasons, failure.kind)) < most:
        reasons[failure] = reason
    elif (rest := Failure(failure.kind, MORE_REASONS)) in reasons:
        reasons[rest] = reasons[rest].joined(reason)
    else:
        for one, its in [*((one, reasons.pop(one)) for one in of_kind), (failure, reason)]:
            _add_roughly(reasons, one, its)


def _add_roughly(reasons: dict[Failure, Reason], failure: Failure, reason: Reason) -> None:
    alike = _alike(reasons, failure, by=_is_roughly_alike)
    if alike is not None:
        _join(reasons, alike, failure, reason, ROUGHLY_ALIKE)
    elif len(_of_kind(reasons, failure.kind)) < MAX_REASONS:
        reasons[failure] = reason
    else:
        rest = Failure(failure.kind, MORE_REASONS)
        reasons[rest] = reasons[rest].joined(reason) if rest in reasons else reason


def summed(reasons: Mapping[Failure, Reason]) -> dict[Failure, Reason]:
    """The same, where several that came about once each and are roughly alike are one: their numbers are ids."""
    found: dict[Failure, Reason] = {}
    groups: dict[tuple[str, str], list[Failure]] = {}
    for one in reasons:
        groups.setdefault((one.kind, _outline(one.message, is_rough=True)), []).append(one)
    for ones in groups.values():
        is_one = len(ones) >= FEW and sum(reasons[one].count for one in ones) < 2 * len(ones)
        for one in ones:
            if is_one:
                _add_roughly(found, one, reasons[one])
            else:
                found[one] = reasons[one]
    return found


def _of_kind(reasons: Iterable[Failure], kind: str) -> list[Failure]:
    return [one for one in reasons if one.kind == kind]


def _alike(reasons: Iterable[Failure], failure: Failure, by: Callable[[str, str], bool]) -> Failure | None:
    return next((one for one in _of_kind(reasons, failure.kind) if by(one.message, failure.message)), None)


def _join(reasons: dict[Failure, Reason], one: Failure, other: Failure, reason: Reason, note: str = ALIKE) -> None:
    """Count both as the one that was first."""
    known = reasons.pop(one)
    first = one if known.first <= reason.first else other
    if one != other:
        note = ROUGHLY_ALIKE if _is_rough(one.message, other.message) else note
        first = Failure(one.kind, _without_note(first.message) + note)
    reasons[first] = known.joined(reason)


def _is_alike(one: str, other: str) -> bool:
    is_rough = _is_rough(one, other)
    return _outline(one, is_rough=is_rough) == _outline(other, is_rough=is_rough)


def _is_rough(one: str, other: str) -> bool:
    return one.endswith(ROUGHLY_ALIKE) or other.endswith(ROUGHLY_ALIKE)


def _is_roughly_alike(one: str, other: str) -> bool:
    return _outline(one, is_rough=True) == _outline(other, is_rough=True)


@functools.lru_cache(maxsize=1000)
def _outline(message: str, *, is_rough: bool) -> str:
    """A message without its values; places in files are kept as they are."""
    values = _ANY_VALUE if is_rough else _VALUE
    lines = _without_note(message).split("\n")
    return "\n".join(line if line.startswith(_PLACE) else values.sub("…", line) for line in lines)


def _without_note(message: str) -> str:
    return message.removesuffix(ALIKE).removesuffix(ROUGHLY_ALIKE)
