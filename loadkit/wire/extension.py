"""The extension in C, which does the common exchange: optional, and all that it does is done in Python without it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

if TYPE_CHECKING:
    from loadkit.wire.base import Exchange

REVISION: Final = 10
"""That of the extension which this Python was written for; one that was built before a change is not used."""

Known: TypeAlias = tuple[bytes, int, int, int, bytes]
"""Head, size and status of a reply that is ordinary, how many bytes of its body are wanted, -1 for none, and what the
heads of others are like that are ordinary, too: see `head_pattern`."""
Unusual: TypeAlias = tuple[int, int, bytes | None, int, int, int]
"""How far an exchange went that is left to Python: when the request was sent (0 where the connection had something
before it was), how many bytes of it went, what came, its stamp, when it was taken, the number of an error or 0."""
Found: TypeAlias = "tuple[Exchange | None, Any, Any, Any]"
"""An ordinary exchange, the head of its reply, what is wanted of the body, and whether that is not all of it."""
NativeExchange: TypeAlias = "Callable[[int, bytes, Known | None, int, int], Found]"
"""Sends and receives on a connection that rests between two exchanges; where it is not ordinary None comes first, and
then what is `Unusual`. Called with its descriptor, the payload, what is known of the reply, the wall offset, and until
when the connection is fresh. Raises what the handler of a signal raises."""
NativeFold: TypeAlias = "Callable[[Sequence[int], tuple[dict[int, int], ...], dict[int, int]], tuple[Any, ...]]"
"""Counts samples, which are a list or a buffer of 64-bit integers. Adds to a dict by bucket for the response time, the
service time, the lateness and the pickup, and to one by status; returns sum, least and most of each time, and how many
bytes came."""


class Extension(Protocol):
    """The functions of the extension; its loop is in `exchange_loop.native_loop`."""

    exchange: NativeExchange
    fold: NativeFold

    def bounds(self, samples: Sequence[int], /) -> tuple[int, int, int]:
        """The first and the last due of samples, and the longest response time."""


def _find() -> Extension | None:
    if os.environ.get("LOADKIT_NO_EXTENSION", "0") not in ("", "0"):
        return None
    try:
        from loadkit.wire import _exchange
    except ImportError:
        return None
    return _exchange if _exchange.REVISION == REVISION else None


EXTENSION: Final = _find()
"""None where it was not built, or `LOADKIT_NO_EXTENSION` is set."""
