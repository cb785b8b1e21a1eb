"""Fetch many URLs on some threads and lose none of them: names, a manifest, retries, resumption, figures."""

from __future__ import annotations

from collections.abc import Callable, Sized
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loadkit.fetcher import sources
from loadkit.fetcher.handle import FetchResult, wait_for_stopped
from loadkit.fetcher.job import FetchJob
from loadkit.fetcher.manifest import FetchReply
from loadkit.fetcher.options import FetchOptions, read_options
from loadkit.fetcher.reader import check_all
from loadkit.plan.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadkit.fetcher.job import Watch
    from loadkit.fetcher.sources import SourceItem, Urls

__all__ = ["FetchReply", "FetchResult", "fetch"]


def fetch(
    urls: Urls,
    *,
    threads: int | str = 20,
    into: str | Path | None = None,
    on_reply: Callable[[FetchReply], Any] | None = None,
    watch: Watch | None = None,
    interrupts: Callable[[], int] | None = None,
    **options: Any,
) -> FetchResult:
    """Fetch URLs into a folder, on some threads, each body in a file of its own.

    >>> fetch("urls.txt", threads=20, into="bodies").wait().files
    49980
    >>> for reply in fetch(urls, threads=20, into="bodies"):
    ...     print(reply.url, reply.status, reply.file, reply.bytes, reply.seconds, reply.error)

    Args:
        urls: a URL, a file of them (lines, CSV, JSON lines; `-` is stdin), or anything that gives URLs or mappings with
            `url` and perhaps `method`, `headers`, `body`, `json`. Read lazily, in a thread of its own.
        threads: how many, or `"auto"` to find out.
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
    plan = read_options({"threads": threads, "into": into, **options})
    wait_for_stopped(plan.into)
    entries, name, expected = _entries(urls, plan)
    fetching = FetchJob(
        entries, plan, name=name, on_reply=on_reply, watch=watch, interrupts=interrupts, expected=expected
    )
    return FetchResult(fetching)


def _entries(urls: Urls, plan: FetchOptions) -> tuple[Iterator[SourceItem], str, int | None]:
    """What to read, what to call it, and how many entries it seems to have."""
    if isinstance(urls, str | Path):
        urls = sources.Sources([str(urls)])
    if isinstance(urls, sources.Sources):
        sources.check(urls)
        stdin = sources.kept() if plan.strict and sources.STDIN in urls else None
        if plan.strict:
            check_all(sources.read(urls, column=plan.column, form=plan.format, stdin=stdin), plan)
        entries = sources.read(urls, column=plan.column, form=plan.format, stdin=stdin)
        return entries, sources.named(urls), sources.count(urls)
    try:
        iterator = iter(urls)
    except TypeError:
        raise UsageError(f"urls takes URLs, a file of them, or '-', not {type(urls).__name__}") from None
    if plan.strict:
        if iterator is urls:
            raise UsageError("strict reads the list twice, and what was given can be read once; give a list or a file")
        check_all(sources.iterate(urls), plan)
    expected = len(urls) if isinstance(urls, Sized) else None
    return sources.iterate(iterator), "URLs", expected
