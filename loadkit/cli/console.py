"""What the command line writes: reports and messages to the terminal, results and pages into files.

What may fail without being a mistake of the user gives an exit code, 0 when all was well.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from loadkit.plan.errors import LoadkitError, OutputError, UsageError, reason_of

if TYPE_CHECKING:
    from loadkit.jobs.live import LivePage
    from loadkit.jobs.partial import Partial
    from loadkit.jobs.samples import SampleFile
    from loadkit.judge.history.kept_run import Revision
    from loadkit.judge.result import Result
    from loadkit.report.json import Finding
    from loadkit.wire.exchange_log import ExchangeLog


def print_report(result: Result, *, once: bool = False, full: bool = False, is_first: bool = True) -> int:
    """Print a report, one of a line each for a run of each `once`; the exit code is that of `print_text`."""
    from loadkit.report.layout import layout_of
    from loadkit.report.once import once_report
    from loadkit.report.text import text_report

    if sys.stdout is None:
        return 0
    layout = layout_of(sys.stdout)
    text = once_report(result, layout) if once else text_report(result, layout, full=full)
    return print_text(text if is_first else f"\n{text}")


@contextlib.contextmanager
def showing(log: ExchangeLog | None) -> Iterator[None]:
    """Print on stderr, when the block has ended, what was logged in it, if there is a log."""
    try:
        yield
    finally:
        if log:
            from loadkit.report.exchanges import exchange_lines

            for number, one in enumerate(log.exchanges, 1):
                _print_error("\n".join([*exchange_lines(number, one), ""]))


def sample_file(path: Path | None) -> AbstractContextManager[SampleFile | None]:
    """The file for a line a request, if there is to be one."""
    if path is None:
        return contextlib.nullcontext()
    from loadkit.jobs.samples import SampleFile

    return SampleFile(path)


def check_samples(file: SampleFile, results: Sequence[Result]) -> int:
    """Say what is not in the file; 3 if anything is not, which costs nothing else."""
    missing = file.missing(sum(result.requests for result in results))
    if missing:
        complain(OutputError(missing))
    return OutputError.exit_code if missing else 0


def print_finding(found: Finding, *, is_first: bool = True) -> int:
    """Print a comparison or a limit; the exit code is that of `print_text`."""
    from loadkit.judge.comparison.comparison import Comparison
    from loadkit.report.comparison import comparison_report
    from loadkit.report.layout import layout_of
    from loadkit.report.limit import limit_report

    if sys.stdout is None:
        return 0
    layout = layout_of(sys.stdout)
    text = comparison_report(found, layout) if isinstance(found, Comparison) else limit_report(found, layout)
    return print_text(text if is_first else f"\n{text}")


def print_last_word(results: Sequence[Result], errors: Mapping[str, str] | None = None, *, once: bool = False) -> int:
    """Print a table of rounds of one load, and one of all results and `errors`, by name, if there are several."""
    from loadkit.report.all_results import last_word
    from loadkit.report.layout import layout_of
    from loadkit.report.rounds import rounds_report

    if sys.stdout is None:
        return 0
    layout = layout_of(sys.stdout)
    rounds = rounds_report(results, layout)
    several = len({result.identity for result in results}) > 1 or (results and errors)
    word = last_word(layout, results, without_secrets(errors), once=once) if several else ""
    return max((print_text(f"\n{text}") for text in (rounds, word) if text), default=0)


def print_text(text: str) -> int:
    """Print; 3 if the output cannot take it, which costs nothing else, and 0 where there is no output."""
    if sys.stdout is None:
        return 0
    # a name may have letters that the terminal's encoding lacks
    return _print(f"{text}\n".encode(sys.stdout.encoding, "backslashreplace").decode(sys.stdout.encoding))


def print_document(text: str) -> int:
    """Print a format for other programs, in UTF-8 whatever the terminal has, as `print_text` does."""
    if sys.stdout is None:
        return 0
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    return _print(text)


def _print(text: str) -> int:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        # so that Python does not complain again when it flushes at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            # whoever read our output has seen enough, as `| head` does
            return 0
        complain(OutputError(f"cannot print the report: {reason_of(error)}"))
        return OutputError.exit_code
    return 0


def complain(error: LoadkitError) -> None:
    """Print the message of an error to stderr, without the secrets in it."""
    say(str(error))


def say_waiting(message: str, *, quiet: bool) -> None:
    """Tell a person at a terminal what is waited for, before there is anything to show of it."""
    if not quiet and sys.stderr is not None and sys.stderr.isatty():
        say(message)


def say(message: str) -> None:
    """Print a message to stderr, without the secrets in it."""
    from loadkit.plan.redact import redact_message
    from loadkit.report.escape import visible

    lines = redact_message(message, is_own=True).split("\n")
    _print_error("\n".join([f"loadkit: {visible(lines[0])}", *(visible(line) for line in lines[1:])]))


def print_traceback(error: BaseException) -> None:
    """Print a fault of ours to stderr, without the secrets in it."""
    import traceback

    from loadkit.plan.redact import redact_message
    from loadkit.report.escape import visible

    lines = redact_message("".join(traceback.format_exception(error)), is_own=True).splitlines()
    _print_error("\n".join(map(visible, lines)))


def _print_error(text: str) -> None:
    with contextlib.suppress(OSError):
        if sys.stderr is not None:
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()


def store(output: Path, results: list[Result], partials: Sequence[Partial] = ()) -> int:
    """Store results as JSON; `partials` are what was kept of them while they were measured."""
    from loadkit.report.json import dump

    fault = write(output, dump(results))
    for partial in partials:
        partial.finished = tuple(results)
        if not fault:
            partial.remove()
    return fault


def without_secrets(errors: Mapping[str, str] | None) -> dict[str, str]:
    """Names and messages with what is secret in these masked."""
    from loadkit.plan.redact import redact_message

    return {name: redact_message(message, is_own=True) for name, message in (errors or {}).items()}


def partial_of(output: Path | None, live: LivePage | None) -> Partial | None:
    """What keeps what is counted so far of a result that is stored here, or shown on a page, if either."""
    if output is None and live is None:
        return None
    from loadkit.jobs.pacing import SHARE, SHARE_SHOWN
    from loadkit.jobs.partial import Partial

    return Partial(output, copy=live.snapshot() if live else None, share=SHARE_SHOWN if live else SHARE)


def partials_of(output: Path | None, live: LivePage | None, count: int) -> list[Partial]:
    """The same for results that are made at the same time, in a file each, with a share of the time each."""
    if output is None and live is None:
        return []
    from loadkit.jobs.pacing import SHARE, SHARE_SHOWN
    from loadkit.jobs.partial import Partial

    is_file = output is not None and (not output.exists() or output.is_file())
    return [
        Partial(
            output.with_name(f"{output.name}.{number}") if output and is_file else None,
            copy=live.snapshot(number) if live else None,
            share=(SHARE_SHOWN if live else SHARE) / count,
        )
        for number in range(1, count + 1)
    ]


def revision_of_history(history: Path) -> Revision:
    """The revision that runs are kept with in this folder, which is made."""
    from loadkit.jobs.history import open_history

    return open_history(history)


def keep_run(history: Path, result: Result, revision: Revision) -> int:
    """Add a run to the history; 3 if the disk cannot take it, which costs nothing else."""
    from loadkit.jobs.history import keep

    try:
        keep(history, result, revision)
    except OutputError as error:
        complain(error)
        return error.exit_code
    return 0


def summarize(found: Sequence[Result | Finding]) -> None:
    """Append what was found to the summary of a job on GitHub where there is one; a warning if that fails."""
    from loadkit.report.summary import append_summary, summary_file

    if not summary_file():
        return
    from loadkit.report.markdown import markdown

    if warning := append_summary(markdown(found)):
        complain(OutputError(warning))


def write(path: Path, text: str) -> int:
    """Write a file; 3 if the disk cannot take it, which costs nothing else."""
    from loadkit.report.files import write_text

    try:
        write_text(path, text)
    except OutputError as error:
        complain(error)
        return error.exit_code
    return 0


def check_file(option: str, path: Path | None) -> None:
    """See that a file can be written where an option names one; `UsageError` if not."""
    from loadkit.report.files import check_writable

    if path is None:
        return
    if str(path) == "-":
        raise UsageError(f"{option} takes the name of a file like result.json, not '-'")
    check_writable(path)


def exit_code(results: Sequence[Result], faults: Sequence[int]) -> int:
    """The exit code of results, and of what went wrong with writing them or was concluded beside them.

    A fault comes before interrupted before wrong usage before not applied before failed before passed.
    """
    from loadkit.judge.threshold_results import EXIT_CODES

    codes = {*faults, *(EXIT_CODES[result.outcome] for result in results)}
    return next((code for code in (3, 2, 4, 6, 1) if code in codes), 0)
