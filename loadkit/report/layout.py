"""The layout of text: its width, with or without colour, in ASCII or not."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, TextIO

from loadkit.report.escape import visible

Style = Literal["", "bold", "dim", "red", "green", "yellow", "blue"]

NARROWEST: Final = 60
WIDEST: Final = 140

LONGEST: Final = 2000
"""Characters that a report shows of a foreign text, at most."""

_SGR: Final[dict[str, str]] = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The width and the abilities of an output; foreign text goes through `escape`, and colour comes from `style`."""

    width: int
    color: bool = False
    ascii: bool = False

    def escape(self, text: str) -> str:
        """A name, URL or message on one line, without control characters, in ASCII if the layout is.

        The middle of a text of more than `LONGEST` characters is left out.
        """
        shown = visible(_short(text))
        return shown.encode("ascii", "backslashreplace").decode() if self.ascii else shown

    def style(self, text: str, style: Style) -> str:
        """The text in a style if the layout has colour, else as it is."""
        return f"\x1b[{_SGR[style]}m{text}\x1b[0m" if self.color and style and text else text

    def ellipsize(self, text: str, room: int) -> str:
        """The text in no more than `room` cells, the middle left out: both ends of a URL matter."""
        if display_width(text) <= room:
            return text
        dots = "..." if self.ascii else "…"
        kept = max(0, room - len(dots))
        return _head(text, kept - kept // 2) + dots + _tail(text, kept // 2)

    def wrap(self, text: str, *, first: str = "", margin: str = "") -> list[str]:
        """The text in lines no wider than the layout, after `first` on the first of them and `margin` on the others."""
        lines, line = [], first
        room = max(8, self.width - max(display_width(first), display_width(margin)))
        for piece in _pieces(text, room):
            if line not in (first, margin) and display_width(line) + 1 + display_width(piece) > self.width:
                lines.append(line)
                line = margin
            line += piece if line in (first, margin) else f" {piece}"
        # a word that had to be broken may have a command at its new start
        return [visible(line.rstrip()) for line in [*lines, line]]


def layout_of(stream: TextIO | None) -> Layout:
    """The layout of reports on a stream: coloured on a terminal, unless NO_COLOR is set or the terminal is dumb."""
    is_terminal = stream is not None and stream.isatty()
    return Layout(
        width=report_width(),
        color=is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb",
        ascii=needs_ascii(stream.encoding if stream else None),
    )


def report_width(columns: int | None = None, *, widest: int = WIDEST) -> int:
    """The width of a report: `columns` or that of the terminal, at least 60 and at most `widest`."""
    return max(NARROWEST, min(columns or shutil.get_terminal_size((100, 24)).columns, widest))


def needs_ascii(encoding: str | None) -> bool:
    """True if an encoding, say `sys.stdout.encoding`, lacks characters that reports are drawn with."""
    try:
        "━█▏✓✗…".encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return True
    return False


def display_width(text: str) -> int:
    """The number of terminal columns that a text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def ljust(text: str, room: int) -> str:
    """The text padded on its right to `room` columns."""
    return text + " " * (room - display_width(text))


def rjust(text: str, room: int) -> str:
    """The text padded on its left to `room` columns."""
    return " " * (room - display_width(text)) + text


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]}…{text[-LONGEST // 2 :]}"


def _pieces(text: str, room: int) -> Iterable[str]:
    """The words of a text; those wider than `room` in parts."""
    for word in text.split(" "):
        start, taken = 0, 0
        for place, char in enumerate(word):
            width = display_width(char)
            if taken + width > room and place > start:
                yield word[start:place]
                start, taken = place, 0
            taken += width
        yield word[start:]


def _head(text: str, room: int) -> str:
    taken = 0
    for place, char in enumerate(text):
        taken += display_width(char)
        if taken > room:
            return text[:place]
    return text


def _tail(text: str, room: int) -> str:
    return _head(text[::-1], room)[::-1]
