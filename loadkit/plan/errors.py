"""What can go wrong, split by whose mistake it is.

    LoadkitError
    +-- UsageError        the user's: one line, no traceback, exit code 4
    |   +-- NothingToRun  no scenario where one was looked for, exit code 5
    |   +-- FeedError     a row of data that cannot be used, before the start or in the middle of a run
    |   +-- SetupError    what sets a scenario or a journey up failed: 4, or 6
    +-- Interrupted       nobody's: Ctrl-C or SIGTERM before there was anything to report, exit code 2
    +-- OutputError       the machine's: a report could not be saved, exit code 3

`Halt`, which `FeedError` and `SetupError` are too, ends a run that is under way; what was measured stays.

What a *request* meets on the wire is none of these: a failed request is a value (`wire.base.Failure`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

_OURS: Final = os.path.dirname(os.path.dirname(__file__)) + os.sep  # noqa: PTH120 - compared with names of files


class Halt(Exception):
    """Raised within a run by what the plan draws from, when it cannot go on; what was measured stays.

    `is_fault` tells a source that broke from one that has simply come to its end.
    """

    is_fault = True
    is_interrupt = False
    """Whoever raised it wants what Ctrl-C does."""


def unknown(what: str, name: str, known: Sequence[str]) -> str:
    """What is said of a name that there is not, with the one that may have been meant.

    >>> unknown("Scenario", "thread", ["threads", "rate"])
    "Scenario has no 'thread'; did you mean threads?"
    """
    import difflib  # 1 ms, which every pytest beside loadkit would pay

    close = difflib.get_close_matches(name, known, 1)
    return f"{what} has no {name!r}; " + (f"did you mean {close[0]}?" if close else f"it has {', '.join(known)}")


def raised(error: BaseException) -> str:
    """What the user's code raised, without secrets, and the line of it.

    >>> raised(error)
    "KeyError: 'token' at shop.py:12: return tokens['token']"
    """
    name, message = type(error).__name__, message_of(error)
    return " at ".join(filter(None, [f"{name}: {message}" if message else name, _place(error)]))


def message_of(error: BaseException, *, is_own: bool = False) -> str:
    """The message of an exception of the user's, without secrets; `is_own` says that it is of the user's own assert."""
    from loadkit.plan.redact import redact_message

    try:
        return redact_message(str(error), is_own=is_own)
    except Exception as worse:  # noqa: BLE001 - it is the user's
        return f"(its message cannot be shown: {type(worse).__name__})"


def reason_of(error: OSError) -> str:
    """Why the system refused something, as the end of a sentence: `no such file or directory`."""
    return (error.strerror or str(error)).lower()


def _place(error: BaseException) -> str:
    """The last line in the first file that is not loadkit's: libraries that it called are not the user's."""
    import traceback  # 5 ms, which every pytest beside loadkit would pay

    frames = [one for one in traceback.extract_tb(error.__traceback__) if not one.filename.startswith(_OURS)]
    if not frames:
        return ""
    last = [one for one in frames if one.filename == frames[0].filename][-1]
    return f"{os.path.basename(last.filename)}:{last.lineno}: {last.line}".rstrip(": ")  # noqa: PTH119 - no file


class LoadkitError(Exception):
    """The root of everything loadkit raises on purpose."""

    exit_code = 3


class UsageError(LoadkitError):
    """A scenario, option or file says something loadkit cannot do; the message names the value."""

    exit_code = 4


class NothingToRun(UsageError):
    """The file or folder is sound, but there is no scenario in it."""

    exit_code = 5


class FeedError(UsageError, Halt):
    """A row of data cannot be read or put into a request; the message names the file and line, or the row."""


class SetupError(UsageError, Halt):
    """What sets a scenario or a journey up raised something; the message says what, and where.

    The exit code is 4 where the file names what there is not; else 6, for the load was not applied:
    the server refused it, or did not answer.
    """

    def __init__(self, message: str, cause: BaseException) -> None:
        super().__init__(message)
        if not isinstance(cause, NameError | ImportError | SyntaxError | UsageError):
            self.exit_code = 6


class Interrupted(LoadkitError):
    """The user stopped it before anything was measured; the message says what it was at."""

    exit_code = 2


class OutputError(LoadkitError):
    """A result was made and could not be written; the message names the path and the reason."""
