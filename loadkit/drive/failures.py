"""Why a request or a journey of the user's failed, and what of that is the end of the run."""

from __future__ import annotations

import functools
import linecache
import os
import sysconfig
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final

import loadkit
from loadkit.plan.errors import Halt, message_of
from loadkit.plan.redact import redact_message
from loadkit.wire.base import Failure

if TYPE_CHECKING:
    from requests import Response

MAX_CHECK_MESSAGE: Final = 2000
"""Characters of what is said of a check that failed, its place among them."""

MAX_MESSAGE: Final = 1000
"""Characters of what an exception in a journey says; those of its places come on top."""
MAX_PLACES: Final = 8
MAX_LINE: Final = 200
MAX_KNOWN: Final = 1000
"""Different places that are remembered."""

CUT: Final = Failure("check", "the run was over")
"""The failure of a journey that the end of the run has cut off; it is counted as cut."""

_OURS: Final = str(loadkit.__path__[0])
_LIBRARIES: Final = tuple(
    dict.fromkeys(sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib"))
)


class Stopped(BaseException):
    """Raised in a journey at its next request or pause when the run is over; no `except Exception` holds it up."""


class Interrupted(Halt):
    """A journey raised KeyboardInterrupt, which ends the run as Ctrl-C does."""

    is_interrupt = True

    def __init__(self) -> None:
        super().__init__("a journey raised KeyboardInterrupt")


def is_refusal(failure: Failure | None) -> bool:
    """True if a request failed because it got no connection."""
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


def failure_of_check(check: Callable[[Response], object], reply: Callable[[], Response]) -> Failure | None:
    """Show the last reply to a check. What it raises, or `False`, fails the request."""
    try:
        verdict = check(reply())
    except AssertionError as error:
        said = message_of(error, is_own=True) or f"assertion failed at {_last_place(error)}"
        return Failure("check", _cut(said, MAX_CHECK_MESSAGE))
    except BaseException as error:  # noqa: BLE001 - a sys.exit in a check ends one request, not the thread
        said = f"{type(error).__name__}: {message_of(error)} at {_last_place(error)}"
        return Failure("check", _cut(said, MAX_CHECK_MESSAGE))
    if verdict is False:
        return Failure("check", f"{getattr(check, '__name__', 'the check')} returned False")
    return None


def failure_of_journey(error: BaseException) -> Failure:
    """What ended a journey: an assertion by its message, anything else by its type; its place, and the way there."""
    error = _only(error)
    places = _places(error)
    if isinstance(error, AssertionError):
        message = _message(error, is_own=True) or "assertion failed"
        return Failure("check", "\n".join([message, *_notes(error), *places[-1:]]))
    name = type(error).__name__
    message = _message(error)
    lines = [f"{name}: {message}" if message else name, *_notes(error), *places]
    return Failure(name, "\n".join(lines))


def place_of(frame: FrameType) -> str:
    """Where a thread is now, in a file of the user's if it came through one: `shop.py:12 in buy: item = …`."""
    frames = [(one.f_code.co_filename, line, one.f_code.co_name) for one, line in traceback.walk_stack(frame)]
    return _place(*_of_user(frames[::-1])[-1]).removeprefix("  at ")


def is_end_of_run(error: BaseException, *, is_ending: bool) -> bool:
    """True if it was raised because the run is over, or while a journey dealt with that.

    `is_ending` tells that its tasks are being cancelled.
    """
    seen: set[int] = set()
    cause: BaseException | None = _only(error)
    while cause is not None and id(cause) not in seen:
        if isinstance(cause, Stopped) or (is_ending and type(cause).__name__ == "CancelledError"):
            return True
        seen.add(id(cause))
        cause = cause.__cause__ or cause.__context__
    return False


def _only(error: BaseException) -> BaseException:
    """What a group of one holds, as a TaskGroup raises it."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _message(error: BaseException, *, is_own: bool = False) -> str:
    text = message_of(error, is_own=is_own)
    return _cut(text, MAX_MESSAGE, f" ({len(text):,} characters)")


def _notes(error: BaseException) -> list[str]:
    """What was added to an exception by `add_note`."""
    notes = getattr(error, "__notes__", ())
    return [_cut(redact_message(str(note), is_own=False), MAX_MESSAGE) for note in notes]


def _cut(text: str, most: int, note: str = "") -> str:
    return text if len(text) <= most else f"{text[:most]} …{note}"


def _last_place(error: BaseException) -> str:
    file, number, _ = _of_user(_frames(error))[-1]
    return f"{Path(file).name}:{number}: {linecache.getline(file, number).strip()}"


def _frames(error: BaseException) -> list[tuple[str, int, str]]:
    """File, line and function of each call on the way to an error."""
    return [
        (frame.f_code.co_filename, line, frame.f_code.co_name) for frame, line in traceback.walk_tb(error.__traceback__)
    ]


def _of_user(frames: list[tuple[str, int, str]]) -> list[tuple[str, int, str]]:
    """Those in files of the user's: where a library raised says less than who called it."""
    theirs = [frame for frame in frames if not frame[0].startswith(_OURS)]
    return [frame for frame in theirs if not frame[0].startswith(_LIBRARIES)] or theirs or frames[-1:]


def _places(error: BaseException) -> list[str]:
    """The way through files of the user's: `  at shop.py:12 in buy: item = …`."""
    theirs = _of_user(_frames(error))
    if len(theirs) <= MAX_PLACES:
        return [_place(*frame) for frame in theirs]
    half = MAX_PLACES // 2
    first, last = theirs[:half], theirs[-half:]
    return [
        *(_place(*frame) for frame in first),
        f"  … {len(theirs) - 2 * half:,} more",
        *(_place(*one) for one in last),
    ]


@functools.lru_cache(maxsize=MAX_KNOWN)
def _place(file: str, number: int, function: str) -> str:
    """Remembered: a failure takes 17 us so, and 80 to 290 where `traceback` looks whether each file has changed."""
    line = _cut(linecache.getline(file, number).strip(), MAX_LINE)
    return f"  at {Path(file).name}:{number} in {function}: {line}".rstrip(": ")
