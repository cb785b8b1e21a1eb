"""The calls of a session that are prepared, for as long as nothing that they were prepared from changes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Hashable

    from loadkit.wire.session.bodies import Given
    from loadkit.wire.session.prepared import AddressedCall, PreparedCall

MAX_CALLS: Final = 1024
"""Calls that are kept of each kind; beyond them all are dropped."""

Key: TypeAlias = "Hashable"

# letters, digits and what is never escaped; no empty part of the path and none that begins with a dot
_SIMPLE: Final = re.compile(
    r"(https?://[a-z0-9][a-z0-9.-]*(?::[1-9]\d*)?)(/|(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)+/?)(\?[A-Za-z0-9_.=&-]+)?"
)


class Calls:
    """The calls that were prepared since the session changed last."""

    __slots__ = ("addressed", "is_by_url", "prepared")

    def __init__(self) -> None:
        self.prepared: dict[Key, PreparedCall] = {}
        """By method, origin, kind of body and options; by the URL in place of the origin if `is_by_url`."""
        self.addressed: dict[Key, AddressedCall] = {}
        """By what the caller gave: a plain GET by its URL alone."""
        self.is_by_url = False
        """Something of the session depends on the path: a cookie, a parameter or an adapter."""

    def place(self, url: str, given: Given) -> tuple[str, str | None]:
        """What the key of a prepared call has of a URL: the origin, and the target that is put in; or all of it."""
        is_by_url = self.is_by_url or (given and given[1])
        return (url, None) if is_by_url else simple(url) or (url, None)


class CallCache:
    """Where a session has its calls."""

    __slots__ = ("__weakref__", "calls")

    def __init__(self) -> None:
        self.calls = Calls()

    def clear(self) -> None:
        """Drop all calls; one that another thread is preparing now is stored in what is dropped, and not found."""
        self.calls = Calls()


def store(calls: dict[Key, Any], key: Key, call: Any) -> None:
    """Keep a call, and not too many."""
    if len(calls) >= MAX_CALLS:
        calls.clear()
    calls[key] = call


def simple(url: str) -> tuple[str, str] | None:
    """Origin and target of a URL that `requests` leaves as it is; None for one it may have to mend."""
    found = _SIMPLE.fullmatch(url)
    return (found[1], found[2] + (found[3] or "")) if found else None
