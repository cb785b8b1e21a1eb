"""One line on a terminal, redrawn by whoever brings what it shows: a name, a bar where there is room, figures."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol, TextIO, TypeVar, cast

from loadkit.report.escape import visible
from loadkit.report.layout import Paper, cells
from loadkit.report.stream import Unbreakable

if TYPE_CHECKING:
    from rich.table import Table

News_contra = TypeVar("News_contra", contravariant=True)

GAP: Final = "  "
NARROWEST_BAR: Final = 8
WIDEST_BAR: Final = 40
STOPPING: Final = "stopping, Ctrl-C again ends it at once"


class Shown(Protocol[News_contra]):
    """What shows news of a job."""

    def show(self, news: News_contra) -> None:
        """Show them, at once or later."""

    def close(self) -> None:
        """There is nothing more to come."""


@contextmanager
def watching(
    stream: TextIO | None,
    *,
    quiet: bool,
    screen: Callable[[Unbreakable], Shown[News_contra]],
    log: Callable[[Unbreakable], Shown[News_contra]],
) -> Iterator[Callable[[News_contra], None]]:
    """Who shows news on this stream: `screen` where it can move its cursor, else `log`.

    Nothing that happens to the stream fails the job.
    """
    if quiet or stream is None:
        yield _nothing
        return
    safe = Unbreakable(stream)
    shown = (screen if safe.isatty() and os.environ.get("TERM") not in ("dumb", "unknown") else log)(safe)
    try:
        yield shown.show
    finally:
        shown.close()


def _nothing(_: object) -> None:
    pass


class Line:
    """The line: no thread of ours runs beside the load to draw it."""

    def __init__(self, stream: Unbreakable) -> None:
        from rich.console import Console
        from rich.live import Live

        self._stream = stream
        self._console = Console(
            file=cast(TextIO, stream), force_terminal=True, force_interactive=True, highlight=False, markup=False
        )
        self._live = Live(
            console=self._console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
        )
        self._live.start()

    def draw(self, name: str, figures: Sequence[str], *, done: float, of: float | None, failed: bool) -> None:
        """Show the figures that fit, the most important first; a bar says how much is done of how much."""
        # a full last column would make some terminals wrap
        width = max(1, self._stream.columns() - 1)
        self._console.width = width
        self._live.update(_table(name, list(figures), width, done=done, of=of, failed=failed), refresh=True)

    def close(self) -> None:
        """Wipe the line and show the cursor again."""
        self._live.stop()


def _table(name: str, parts: list[str], width: int, *, done: float, of: float | None, failed: bool) -> Table:
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    name = Paper(width=width).cut(visible(name), max(8, width // 4))
    while parts and cells(GAP.join([name, *parts])) > width:
        parts.pop()
    room = min(WIDEST_BAR, width - cells(GAP.join([name, *parts])) - len(GAP))
    bar = (
        [ProgressBar(of, done, width=room, complete_style="cyan", finished_style="cyan")]
        if of and room >= NARROWEST_BAR
        else []
    )
    texts = [Text(part, style="red" if failed and part.endswith(" failed") else "") for part in parts]
    grid = Table.grid(padding=(0, len(GAP), 0, 0), pad_edge=False)
    for _ in (name, *bar, *texts):
        grid.add_column(no_wrap=True)
    grid.add_row(Text(name, style="bold"), *bar, *texts)
    return grid
