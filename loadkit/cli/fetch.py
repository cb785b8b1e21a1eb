"""`loadkit fetch` on the command line."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from loadkit.cli.console import complain, print_report, print_text, store
from loadkit.cli.options import (
    Authorities,
    ClientCertificate,
    Headers,
    Insecure,
    file_option,
    list_option,
    load_option,
    output_option,
    read_header,
    request_option,
    whole_number,
)
from loadkit.cli.outputs import Outputs
from loadkit.cli.parser import Parameter, argument, given_values, is_argument
from loadkit.plan.errors import LoadkitError, UsageError
from loadkit.plan.redact import HIDDEN

if TYPE_CHECKING:
    from loadkit.fetcher import FetchResult

_LITERAL: Final = re.compile(r"\$\{\w+\}|\b(?:Bearer|Basic|Token)\b|\s", re.IGNORECASE)
"""What is no secret in the value of a header: variables of the environment, and the scheme before one."""


def fetch(
    context: typer.Context,
    sources: Annotated[list[str], argument(help="Files of URLs (lines, .csv, .jsonl), - for stdin, or URLs.")],
    threads: Annotated[str, load_option("--threads", "-c", help="How many, or auto: as many as are enough.")] = "20",
    single: Annotated[bool, load_option("--single", help="One thread.")] = False,
    into: Annotated[Path | None, file_option("--into", "-d", help="The folder for the bodies: bodies.")] = None,
    append: Annotated[Path | None, file_option(help="Write JSON replies as lines into this file instead.")] = None,
    name: Annotated[
        str | None,
        file_option(help="A template such as '{host}/{position:06}-{slug}.{ext}'; also {path} {last} {hash}."),
    ] = None,
    flat: Annotated[bool, file_option("--flat", help="No subfolders beyond 10,000 files.")] = False,
    resume: Annotated[bool, file_option("--resume", help="Skip what the manifest proves, do the rest.")] = False,
    verify: Annotated[bool, file_option("--verify", help="With --resume: by the content of the files.")] = False,
    strict: Annotated[bool, list_option("--strict", help="Refuse a list with a line that is no URL.")] = False,
    duplicates: Annotated[bool, list_option("--duplicates", help="Fetch a URL as often as it is in the list.")] = False,
    column: Annotated[str | None, list_option(help="The column or key of the URL: url.")] = None,
    form: Annotated[str | None, list_option("--format", help="lines, csv or jsonl.")] = None,
    method: Annotated[str | None, request_option("--method", "-X", help="GET unless the row says another.")] = None,
    header: Headers = None,
    user_agent: Annotated[str | None, request_option("--user-agent", "-A", help="The header User-Agent.")] = None,
    timeout: Annotated[
        str | None, request_option(help="To connect, until the reply begins, and between its parts: 30s.")
    ] = None,
    retries: Annotated[str | None, request_option(help="How often a URL is asked for again: 4.")] = None,
    max_wait: Annotated[str | None, request_option(help="How long a server may ask us to wait: 5m.")] = None,
    rate: Annotated[str | None, load_option(help="At most so many requests: 100/s.")] = None,
    per_host: Annotated[str | None, load_option(help="Requests at once to one host, at most.")] = None,
    max_size: Annotated[str | None, file_option(help="The most a body may have: 16GB.")] = None,
    redirects: Annotated[str | None, request_option(help="How many are followed: 10.")] = None,
    failed: Annotated[str, file_option(help="Bodies of failed statuses: keep (in failed/) or drop.")] = "keep",
    raw: Annotated[bool, file_option("--raw", help="Save bodies as they come, not decoded.")] = False,
    ca: Authorities = None,
    cert: ClientCertificate = None,
    insecure: Insecure = False,
    output: Annotated[Path | None, output_option("--output", "-o", help="Store the result as JSON.")] = None,
    quiet: Annotated[bool, output_option("--quiet", "-q", help="No progress, no report.")] = False,
) -> int:
    """Fetch URLs into a folder: each body in a file of its own, none lost, every URL accounted for.

    Exit code: 0 all is there, 1 something failed for good, 2 interrupted, 3 the disk took no more or a fault of
    ours, 4 wrong usage, 5 the list is empty.
    """
    options = {
        "threads": _threads(threads, single=single),
        "into": into,
        "append": append,
        "name": name,
        "flat": flat,
        "resume": resume,
        "verify": verify,
        "strict": strict,
        "duplicates": duplicates,
        "column": column,
        "format": form,
        "method": method,
        "headers": dict(map(read_header, header)) if header else None,
        "user_agent": user_agent,
        "timeout": timeout,
        "retries": whole_number("--retries", retries),
        "max_wait": max_wait,
        "rate": rate,
        "per_host": whole_number("--per-host", per_host),
        "max_size": max_size,
        "redirects": whole_number("--redirects", redirects),
        "keep_failed": _kept(failed),
        "raw": raw,
        "ca": ca,
        "cert": cert,
        "insecure": insecure,
    }
    return _run(sources, options, Outputs.of(output=output), again=_again(context), quiet=quiet)


def _run(sources: list[str], options: dict[str, Any], outputs: Outputs, *, again: list[str], quiet: bool) -> int:
    from loadkit.fetcher import fetch
    from loadkit.fetcher.progress import watcher
    from loadkit.fetcher.sources import Sources
    from loadkit.jobs.interrupts import counted_signals

    outputs.check()
    fault: LoadkitError | None = None
    with counted_signals() as signals, watcher(sys.stderr, quiet=quiet) as watch:
        fetched = fetch(Sources(sources), watch=None if quiet else watch, interrupts=signals, **options)
        try:
            fetched.wait()
        except UsageError:
            raise
        except LoadkitError as error:
            fault = error
    return _report(fetched, fault, outputs, again=again, quiet=quiet)


def _report(
    fetched: FetchResult, fault: LoadkitError | None, outputs: Outputs, *, again: list[str], quiet: bool
) -> int:
    """Say what was found, whatever ended it."""
    from loadkit.fetcher.progress import summary_text
    from loadkit.report.layout import layout_of

    job = fetched.job
    result = job.result()
    codes = [fetched.exit_code]
    if outputs.stored:
        codes.append(store(outputs.stored, [result]))
    if not quiet:
        with outputs.text_on_stderr():
            codes.append(print_text(summary_text(layout_of(sys.stdout), job.summary(), again)))
            if result.requests:
                codes.append(print_text(""))
                codes.append(print_report(result, full=True))
    codes.append(outputs.print([result]))
    if fault:
        complain(fault)
        codes.append(fault.exit_code)
    return 3 if 3 in codes else codes[0]


def _again(context: typer.Context) -> list[str]:
    """The command that does the rest: the same one as it was understood, with --resume and without secrets."""
    values = given_values(context)
    parameters = [one for one in context.command.params if one.name in values and one.name != "resume"]
    words = (word for one in parameters for word in _words(one, values[str(one.name)]))
    return ["loadkit", "fetch", *words, "--resume"]


def _words(one: Parameter, value: Any) -> list[str]:
    from loadkit.fetcher.sources import printable_source

    if is_argument(one):
        return [printable_source(source) for source in value]
    option = max(one.opts, key=len)
    if isinstance(value, bool):
        return [option]
    if one.name == "header":
        return [word for header in value for word in (option, _shown_header(header))]
    return [option, str(value)]


def _shown_header(header: str) -> str:
    """A header without its value, unless that is harmless or comes from the environment."""
    from loadkit.wire.base import HARMLESS

    name, value = read_header(header)
    is_shown = name.lower() in HARMLESS or not _LITERAL.sub("", value)
    return f"{name}: {value if is_shown else HIDDEN}"


def _threads(given: str, *, single: bool) -> str:
    if single and given not in ("20", "1"):
        raise UsageError(f"--single is one thread, and --threads {given} is not; give one of them")
    return "1" if single else given


def _kept(failed: str) -> bool:
    if failed not in ("keep", "drop"):
        raise UsageError(f"--failed takes keep or drop, not {failed!r}")
    return failed == "keep"
