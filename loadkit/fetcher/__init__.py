"""Fetches many URLs on some threads and loses none of them: names, a manifest, retries, resumption, figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sized
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from loadkit.fetcher.handle import FetchReply, FetchResult, reply_of, wait_for_stopped
from loadkit.fetcher.job import FetchJob
from loadkit.fetcher.options import FetchKeywords, FetchOptions, read_options
from loadkit.fetcher.reader import check_all
from loadkit.fetcher.sources import (
    STDIN,
    Sources,
    check_sources,
    count_entries,
    describe_sources,
    read_iterable,
    read_sources,
    spool_stdin,
)
from loadkit.plan.errors import UsageError

if TYPE_CHECKING:
    from loadkit.fetcher.progress import Watch
    from loadkit.fetcher.sources import Entry, Urls

__all__ = ["FetchReply", "FetchResult", "fetch"]


def fetch(
    urls: Urls,
    *,
    on_reply: Callable[[FetchReply], Any] | None = None,
    watch: Watch | None = None,
    interrupts: Callable[[], int] | None = None,
    **keywords: Unpack[FetchKeywords],
) -> FetchResult:
    """Fetch URLs into a folder, on some threads, each body in a file of its own.

    >>> fetch("urls.txt", threads=20, into="bodies").wait().files
    49980
    >>> for reply in fetch(urls, threads=20, into="bodies"):
    ...     print(reply.url, reply.status, reply.file, reply.bytes, reply.seconds, reply.error)

    Args:
        urls: a URL, a file of them (lines, CSV, JSON lines; `-` is stdin), or anything that gives URLs or mappings with
            `url` and perhaps `method`, `headers`, `body`, `json`. Read lazily, in a thread of its own.
        threads: how many, or `"auto"`: the smallest number that gets 95 % of the best throughput, found meanwhile.
        into: the folder, `bodies` if not said.
        on_reply: called with each `FetchReply`, by the thread that fetched it; what it raises ends the fetch.
        append: a file that JSON replies are written to as lines, instead of files.
        name: a template such as `"{host}/{position:06}-{slug}.{ext}"`; a name that is taken fails its URL.
        flat: no subfolders beyond 10,000 files.
        resume, verify: go on with a folder that has a manifest; with `verify` by the content of its files.
        strict: refuse a list with a line that is no URL, before anything is sent.
        duplicates: fetch a URL as often as it is there.
        column, format: the column of the URL, and `"lines"`, `"csv"` or `"jsonl"` where the file's name does not tell.
        method, headers, user_agent: what is asked; `${NAME}` in a header is taken from the environment.
        timeout: seconds to connect, for the reply to begin, and between its parts.
        retries, max_wait: how often a URL is asked for again, and how long a server may ask us to wait.
        back_off: seconds to wait at most before the second try of a URL; each further one may wait twice as long.
        host_pause: seconds that a host which does not answer is left alone at first; each further time twice as long.
        rate, per_host: requests a second, and requests at once to one host, at most.
        max_size, raw: the most a body may have, decoded; save it as it comes, not decoded.
        redirects: how many are followed.
        keep_failed: bodies of failed statuses go to `failed/`.
        ca, cert, insecure: TLS, as in `Scenario`.
        watch: called a few times a second with a `Progress`.
        interrupts: tells how often the user asked to stop: once lets finish what is under way, twice cuts it.

    Raises `UsageError` before anything is sent for what cannot work.
    """
    options = read_options(keywords)
    wait_for_stopped(options.into)
    entries, name, expected = _entries(urls, options)
    on_line = None if on_reply is None else lambda line: on_reply(reply_of(line, options))
    job = FetchJob(entries, options, name=name, on_line=on_line, watch=watch, interrupts=interrupts, expected=expected)
    return FetchResult(job)


def _entries(urls: Urls, options: FetchOptions) -> tuple[Iterator[Entry], str, int | None]:
    """What to read, its name in reports, and how many entries it seems to have."""
    if isinstance(urls, str | Path):
        urls = Sources([str(urls)])
    if isinstance(urls, Sources):
        check_sources(urls)
        stdin = spool_stdin() if options.strict and STDIN in urls else None
        if options.strict:
            check_all(read_sources(urls, column=options.column, form=options.format, stdin=stdin), options)
        entries = read_sources(urls, column=options.column, form=options.format, stdin=stdin)
        return entries, describe_sources(urls), count_entries(urls)
    try:
        iterator = iter(urls)
    except TypeError:
        raise UsageError(f"urls takes URLs, a file of them, or '-', not {type(urls).__name__}") from None
    if options.strict:
        if iterator is urls:
            raise UsageError("strict reads the list twice, and what was given can be read once; give a list or a file")
        check_all(read_iterable(urls), options)
    expected = len(urls) if isinstance(urls, Sized) else None
    return read_iterable(iterator), "URLs", expected
