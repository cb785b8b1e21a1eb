"""Names of rows: raw paths folded to patterns, so that `/users/17` and `/users/18` are one."""

from __future__ import annotations

import re

OTHER = "(other)"
FOLLOWED = " (redirected)"
"""Behind the label of a row of hops that an endpoint's redirects led to, so that it is none of an endpoint's.

Hops are in no total: it is of what the plan asked for, of which each arrival counts once, whatever led to it.
"""
MAX_LABELS = 200
SHORTEST_HASH = 12
"""Characters of a segment from which on it may be a hash or an identifier."""

_ORIGIN = re.compile(r"^([A-Z]+ )https?://[^/]+(?=/)")
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
# long hexadecimal with a digit in it: a hash or object id, not a word like "decade"
_HEX = re.compile(r"(?=.*[0-9])[0-9a-f]+", re.IGNORECASE)


def is_hop(label: str) -> bool:
    """True of a row of hops."""
    return label.endswith(FOLLOWED)


def other(label: str) -> str:
    """The row in which a label is counted for which there is no room."""
    return OTHER + FOLLOWED if is_hop(label) else OTHER


def without_origin(label: str) -> str:
    """A label of a whole URL as that of its path.

    >>> without_origin("GET http://127.0.0.1:8000/items/{id}")
    'GET /items/{id}'
    """
    return _ORIGIN.sub(r"\1", label)


def fold_path(path: str) -> str:
    """A path with the segments that look like identities replaced.

    >>> fold_path("/users/17/orders/3f9a2c1b-0000-4000-8000-000000000000")
    '/users/{id}/orders/{id}'
    """
    return "/".join(map(fold_segment, path.split("/")))


def fold_segment(segment: str) -> str:
    """One segment of a path, replaced if it looks like an identity."""
    # most segments are so plain that no expression is needed
    if segment.isdecimal() and segment.isascii():
        return "{id}"
    is_identity = len(segment) >= SHORTEST_HASH and (_UUID.fullmatch(segment) or _HEX.fullmatch(segment))
    return "{id}" if is_identity else segment
