"""The live page on the command line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from loadkit.cli.console import say
from loadkit.cli.options import whole_number
from loadkit.plan.errors import UsageError

if TYPE_CHECKING:
    from loadkit.jobs.live import LivePage


@contextmanager
def shown_live(port: str | None, *, is_wanted: bool) -> Iterator[LivePage | None]:
    """Serve the live page, if it is wanted, until the block is left, and say where it is."""
    if not is_wanted:
        if port is not None:
            raise UsageError("--live-port is that of --live; write both")
        yield None
        return
    from loadkit.jobs.live import live_page

    number = whole_number("--live-port", port)
    if number is not None and not 1 <= number <= 65535:
        raise UsageError(f"--live-port takes a number from 1 to 65535, not {port!r}")
    with live_page(number) as page:
        say(f"the run is shown at {page.url}")
        yield page
