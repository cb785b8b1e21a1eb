"""The row of a URL in reports: its template, so that 50,000 posts are one row."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from loadkit.plan.label import pattern

if TYPE_CHECKING:
    from loadkit.fetcher.item import Task

SHORTEST_HASH: Final = 12
_EXTENSION = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,7}$")
_NUMBER = re.compile(r"[0-9]{2,}")


def label(task: Task) -> str:
    """Method, host and the template of the path.

    >>> template("/posts/17.json"), template("/data/part-00017.csv")
    ('/posts/{id}.json', '/data/part-{n}.csv')
    """
    asked = task.asked
    return f"{task.method} {asked.origin.scheme}://{asked.host}{template(asked.target.partition('?')[0])}"


def template(path: str) -> str:
    """A path with what counts its URLs replaced."""
    if len(path) > 300:
        path = path[:300] + "…"
    found = _EXTENSION.search(path)
    end = found[0] if found else ""
    folder, slash, last = path.removesuffix(end).rpartition("/")
    return f"{_folders(folder)}{slash}{_NUMBER.sub('{n}', _folded(last))}{end}"


@lru_cache(maxsize=1024)
def _folders(path: str) -> str:
    """The template of what is before the last part, which many URLs share."""
    return "/".join(map(_folded, path.split("/")))


def _folded(part: str) -> str:
    """What `pattern` makes of a segment; the plain ones, which are most, are told without its expressions."""
    if part.isdecimal() and part.isascii():
        return "{id}"
    return pattern(part) if len(part) >= SHORTEST_HASH else part
