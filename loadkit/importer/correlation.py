"""Values that a reply handed out and a later request sent back, found by being the same.

What was sent before it came was typed by somebody, and only echoed. A value that may be the same by chance (a small
number, a word) counts only where its names say that it is about the same thing: the `id` of one of the `items` in
`/items/7`, in `item_id=7`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from loadkit.importer.bodies import body_arguments
from loadkit.importer.har import Exchange
from loadkit.importer.kept import Kept
from loadkit.importer.replies import Source, handed_out, is_plain, singular
from loadkit.plan.redact import is_secret

MOST: Final = 5
"""Places of a reply that are kept of one value, to choose from."""

SHORTEST: Final = 4
"""Characters of a secret, or of a value from a form or cookie, that is the same by no chance."""


class Correlation:
    """What replies handed out of that which later requests send."""

    def __init__(self, kept: Sequence[Kept]) -> None:
        sent = _first_sent(kept)
        self._sources: defaultdict[str, list[Source]] = defaultdict(list)
        for position, one in enumerate(kept):
            # of a value the first reply that has it counts
            for source in handed_out(position, one):
                text = str(source.value)
                known = self._sources.get(text, [])
                is_first = all(other.request == position for other in known)
                if sent.get(text, -1) > position and is_first and len(known) < MOST:
                    self._sources[text].append(source)

    def source(self, position: int, name: str, value: Any) -> Source | None:
        """Where the value of a field comes from that this request sends, by the name of the field."""
        found = [
            one
            for one in self._sources.get(str(value), ())
            if one.request < position and _is_the_same(one, singular(name), name)
        ]
        alike = [one for one in found if one.words & singular(name)]
        return next(iter(alike or found), None)


def _is_the_same(source: Source, words: frozenset[str], name: str) -> bool:
    text = str(source.value)
    if len(text) >= SHORTEST and (is_secret(source.name) or is_secret(name)):
        return True
    is_of_form = source.code.startswith(("fields(", "http.cookies", "unquote("))
    if is_of_form:
        return len(text) >= SHORTEST and (source.name == name or not is_plain(source.value))
    if not is_plain(source.value):
        return True
    return bool(source.words & words) and (text.isdigit() or source.is_identity)


def _first_sent(kept: Sequence[Kept]) -> dict[str, int]:
    """The position of the first request that sends a value."""
    found: dict[str, int] = {}
    for position, one in enumerate(kept):
        for text in _texts(one.exchange):
            found.setdefault(text, position)
    return found


def _texts(one: Exchange) -> Iterator[str]:
    """All that a request says which a reply may have said before."""
    parts = urlsplit(one.url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    yield from (one.url, target, *map(unquote, parts.path.split("/")))
    yield from (value for _, value in parse_qsl(parts.query))
    for name, value in one.headers:
        if name.lower() != "cookie":
            yield from (value, value.rpartition(" ")[2])
    yield from _leaves(body_arguments(one.body, one.content_type))


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for inside in value.values():
            yield from _leaves(inside)
    elif isinstance(value, list | tuple):
        for inside in value:
            yield from _leaves(inside)
    elif isinstance(value, str | int) and not isinstance(value, bool):
        yield str(value)
