"""Whether a reply is a good one: its status is expected, and its check raises nothing."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from loadkit.plan.errors import message_of
from loadkit.wire.base import Failure
from loadkit.wire.protocols import Connection

if TYPE_CHECKING:
    from loadkit.wire.reply import Reply

MAX_MESSAGE: Final = 2000

CUT: Final = Failure("check", "the run was over")
"""The failure of a journey that the end of the run has cut off; it is counted as cut."""


def is_refusal(failure: Failure | None) -> bool:
    """Whether a request failed because it got no connection."""
    return failure is not None and failure.kind in ("dns", "connect", "tls")


def unexpected(status: int, good: frozenset[int]) -> Failure:
    """The failure of a reply with a status that is not good."""
    return Failure("check", f"status {status}, expected {spans(good)}")


def spans(statuses: frozenset[int]) -> str:
    """Statuses as a person writes them.

    >>> spans(frozenset({200, 201, 202, 404}))
    '200-202 or 404'
    """
    parts: list[list[int]] = []
    for status in sorted(statuses):
        if parts and parts[-1][1] == status - 1:
            parts[-1][1] = status
        else:
            parts.append([status, status])
    return " or ".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)


def verify(check: Callable[[Reply], object], connection: Connection) -> Failure | None:
    """Show the last reply to a check. What it raises, or `False`, fails the request."""
    try:
        verdict = check(connection.reply())
    except AssertionError as error:
        message = message_of(error, is_own=True)
        return Failure("check", _shortened(message or f"assertion failed at {_place(error)}"))
    except BaseException as error:  # noqa: BLE001 - a sys.exit in a check ends one request, not the thread
        return Failure("check", _shortened(f"{type(error).__name__}: {message_of(error)} at {_place(error)}"))
    if verdict is False:
        return Failure("check", f"{getattr(check, '__name__', 'the check')} returned False")
    return None


def _place(error: BaseException) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(frame.filename).name}:{frame.lineno}: {frame.line}"


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_MESSAGE else f"{text[:MAX_MESSAGE]} …"
