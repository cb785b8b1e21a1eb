"""Foreign text made harmless: nothing a server, URL or name says moves a cursor, forges a line or commands a CI."""

from __future__ import annotations

import re

# GitHub's runner takes `::error::` after leading blanks too, so indenting is no protection; `[::1]` stays as it is
_GITHUB = re.compile(r"(?<!\S):(?=:[A-Za-z])")

# GitHub's runner finds `##[error]` anywhere in a line; `##vso[` (Azure), `##teamcity[` are taken as no better
_HASHES = re.compile(r"#(?=#[A-Za-z]*\[)")

# A cell that begins so, also in full width, is a formula to a spreadsheet. Where the comma is the sign of decimals a
# semicolon begins another cell, and quotes within one mean nothing.
_FORMULA = re.compile(r"(^|;)(?=\s*[=+\-@\uff1d\uff0b\uff0d\uff20])")

# both belong to words and emoji, and move nothing
_JOINERS = "\u200c\u200d"


def visible(text: str) -> str:
    r"""One line of foreign text with all that is not plainly a character written as an escape.

    >>> visible("a\x1b[2Jb\n::error::c")
    'a\\x1b[2Jb\\n::error::c'

    That is: controls (C0, C1, DEL), bidirectional overrides, other invisible marks, line and paragraph
    separators, odd blanks, lone surrogates, and the start of what a CI takes for a command. Doing it
    twice changes nothing; backslashes stay single, so it is for reading, not for reading back.
    """
    if not text.isprintable():
        text = "".join(map(_shown, text))
    return _HASHES.sub(r"\\x23", _GITHUB.sub(r"\\x3a", text))


def cell_text(text: str) -> str:
    """Foreign text on one line, which no spreadsheet takes for a formula: an apostrophe stands before what is one.

    >>> cell_text("=1+1")
    "'=1+1"
    """
    return _FORMULA.sub(r"\1'", visible(text))


def visible_text(text: str) -> str:
    """Foreign text of several lines, each made visible; tabs become blanks."""
    return "\n".join(visible_lines(text))


def visible_lines(text: str) -> list[str]:
    """The lines of foreign text, each made visible; tabs become blanks."""
    return [visible(line.expandtabs(4)) for line in text.replace("\r\n", "\n").split("\n")]


def _shown(char: str) -> str:
    if char.isprintable() or char in _JOINERS:
        return char
    return char.encode("unicode_escape").decode("ascii")
