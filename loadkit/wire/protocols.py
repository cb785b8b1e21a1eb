"""What a client of loadkit must be able to do.

A plug-in is one file with a `Wire`. The threads know nothing of sockets: they hold a `Send` for each request and
call it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from requests import Response

    from loadkit.wire.base import Note, Origin, Request, Seen, Send
    from loadkit.wire.failed_reply import FailedReply
    from loadkit.wire.resolver import Resolver


class Connection(Protocol):
    """One thread's connection to one origin. Made for one thread; only `abort` may be called by another."""

    @property
    def unstamped(self) -> int:
        """Replies whose arrival the kernel did not stamp."""

    def open(self) -> Note:
        """Connect before the first request is due; a failure is told, and met again by the first request."""

    def sender(self, request: Request) -> Send:
        """The function that sends this request, and others that differ from it only in their payload."""

    def reply(self) -> Response:
        """The last reply of a request that keeps bodies, for a check to look at."""

    def failed_reply(self) -> FailedReply | None:
        """What is shown of the last reply that was kept: an error, or any of a request that keeps bodies."""

    def seen(self) -> Seen:
        """The last reply that was kept, with its request."""

    def abort(self) -> None:
        """End an exchange under way in another thread, for good: what is sent on it later fails."""

    def close(self) -> None:
        """Close; nothing is sent after it."""


class Wire(Protocol):
    """A client: opens connections, and says beforehand what will not work."""

    resolver: Resolver
    """That of its sessions, too."""

    def resolve(self, origin: Origin) -> None:
        """Look names up and read certificates, once, before the start; `UsageError` for what will never work."""

    def connect(self, origin: Origin) -> Connection:
        """A connection for one thread, not opened yet."""
