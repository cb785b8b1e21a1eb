"""What fields of several values accept, each as it is kept."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias, TypeVar

from loadkit.plan.errors import UsageError, unknown
from loadkit.plan.labels import FOLLOWED, is_hop
from loadkit.plan.units import Duration, seconds

Values = TypeVar("Values", bound="Any")

Expect: TypeAlias = int | str | Iterable[int]
"""Statuses that are good: `200`, `(200, 404)`, `"2xx"` or `"200-299"`."""

_CLASS = re.compile(r"([1-5])xx", re.IGNORECASE)
_SPAN = re.compile(r"([0-9]{3})\s*-\s*([0-9]{3})")


def replace_fields(value: Values, changes: Mapping[str, Any]) -> Values:
    """`dataclasses.replace` that names the fields there are when one is asked for that is not."""
    known = [f.name for f in dataclasses.fields(value) if not f.name.startswith("_")]
    for name in changes:
        if name not in known:
            raise UsageError(unknown(type(value).__name__, name, known))
    changed: Values = dataclasses.replace(value, **changes)
    return changed


def check_headers(given: object) -> dict[str, str]:
    """Accept header names and values that cannot end their line.

    Raises `UsageError` naming the header; never its value, which may be a secret.
    """
    if not isinstance(given, Mapping):
        raise UsageError(f"headers takes a mapping like {{'Accept': 'text/html'}}, not {type(given).__name__}")
    for name, value in given.items():
        if not isinstance(name, str) or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
            raise UsageError(f"{name!r} is not a header name")
        if not isinstance(value, str) or re.search(r"[\r\n\x00]", value):
            raise UsageError(f"the header {name!r} takes a string without line breaks")
    return dict(given)


def parse_statuses(expect: Expect) -> frozenset[int]:
    """Read the statuses of a good reply.

    >>> sorted(parse_statuses((200, 404))), len(parse_statuses("2xx"))
    ([200, 404], 100)

    Raises `UsageError` for anything that is not a status, several, a class or a span.
    """
    found = _statuses(expect)
    if not found or not all(isinstance(code, int) and 100 <= code <= 599 for code in found):
        raise UsageError(f"cannot read the expected status {expect!r}; write 200, (200, 404), '2xx' or '200-299'")
    return found


def _statuses(expect: object) -> frozenset[int]:
    if isinstance(expect, int):
        return frozenset({expect})
    if isinstance(expect, str):
        if found := _CLASS.fullmatch(expect):
            return frozenset(range(int(found[1]) * 100, int(found[1]) * 100 + 100))
        if found := _SPAN.fullmatch(expect):
            return frozenset(range(int(found[1]), int(found[2]) + 1))
        return frozenset({int(expect)}) if expect.isdecimal() else frozenset()
    try:
        return frozenset(expect) if isinstance(expect, Iterable) else frozenset()
    except TypeError:  # a list in a list
        return frozenset()


def check_name(name: object) -> None:
    """Accept a name for reports, or None; `UsageError` for others."""
    if name is not None and (not isinstance(name, str) or not name.strip()):
        raise UsageError(f"name takes text like 'search', not {name!r}")
    if isinstance(name, str) and is_hop(name):
        raise UsageError(f"names that end with {FOLLOWED!r} are those of redirects, not {name!r}")


def parse_positive_seconds(value: Duration, *, what: str) -> float:
    """A span of time that is more than nothing; `UsageError` for others."""
    span = seconds(value, what=what)
    if not span:
        raise UsageError(f"{what} must be more than 0, not {value!r}")
    return span


def check_whole_number(value: object, *, what: str, least: int = 1) -> int:
    """A whole number of at least `least`; `UsageError` for others."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise UsageError(f"{what} takes a whole number of at least {least}, not {value!r}")
    return value


def check_share(one: Any) -> None:
    """Accept the weight and the threads of an endpoint or journey; `UsageError` for others."""
    weight = one.weight
    if not isinstance(weight, int | float) or isinstance(weight, bool) or not 0 < weight < float("inf"):
        raise UsageError(f"weight takes a number above 0, not {weight!r}")
    if one.threads is not None:
        check_whole_number(one.threads, what="threads")
