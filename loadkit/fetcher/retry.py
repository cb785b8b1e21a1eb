"""When to ask again, and how long to wait before."""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING, Final

from loadkit.fetcher.task import IDEMPOTENT
from loadkit.plan.units import SECOND
from loadkit.wire.attempt import UNASKED

if TYPE_CHECKING:
    from loadkit.fetcher.task import Task
    from loadkit.wire.base import Failure

LONGEST: Final = 30 * SECOND
AGAIN: Final = frozenset({429, 502, 503, 504})
PATIENT: Final = 10
"""How many more times a request is sent that a living server only asked to wait."""
PASSING: Final = frozenset({"dns", "connect", "tls", "send", "timeout", "disconnect"})


def back_off(tries: int, first: int) -> int:
    """Nanoseconds to wait after so many tries, `first` at most after none: exponential with full jitter.

    That spreads those who were turned away together best (M. Brooker, AWS Architecture Blog, 2015).
    """
    return random.randint(0, min(LONGEST, first << min(max(tries, 0), 20)))


def retry_after(value: bytes | None, now: float) -> int | None:
    """What a Retry-After header asks for, in nanoseconds from `now` (seconds since 1970); None if it says nothing."""
    if value is None:
        return None
    text = value.decode("latin-1").strip()
    if re.fullmatch(r"[0-9]{1,12}", text):
        return int(text) * SECOND
    from email.utils import parsedate_to_datetime

    try:
        return max(0, round((parsedate_to_datetime(text).timestamp() - now) * SECOND))
    except (ValueError, TypeError, OverflowError):
        return None


def is_transient(failure: Failure) -> bool:
    """Whether trying again may help: not where the name or the certificate is wrong, or the reply is no HTTP."""
    if failure.kind == "tls":
        return "certificate" not in failure.message
    if failure.kind == "dns":
        return "temporary" in failure.message.lower()
    # what was on the connection is to blame, and that is closed: another one may be sound
    return failure.kind in PASSING or failure == UNASKED or "more than the reply announced" in failure.message


def is_safe_to_resend(item: Task, failure: Failure | None, *, sent: bool) -> bool:
    """Whether sending it twice does no harm: a POST only if nothing of it was sent, or its status says not now."""
    return item.method in IDEMPOTENT or not sent or (failure is None and item.status in (429, 503))
