"""Requests that `requests` prepared once and that are sent again: what the common call of a session comes down to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from loadkit.wire.base import WithPayload
from loadkit.wire.session.call import Asked
from loadkit.wire.session.head import Head

if TYPE_CHECKING:
    from collections.abc import Callable

    from requests import PreparedRequest
    from requests.adapters import HTTPAdapter

    from loadkit.wire.base import Request, Send
    from loadkit.wire.connection import HttpConnection
    from loadkit.wire.session.call import Observer

MAX_HEADS: Final = 16
"""Heads of replies that are remembered; a server's differ in their dates and lengths."""
NO_HEAD: Final = Head(b"")

Loose: TypeAlias = tuple[tuple[Any, Any], ...]
"""Containers of the session that do not report changes, each with a copy to compare it with."""


@dataclass(frozen=True, slots=True, eq=False)
class PreparedCall:
    """What `requests` made of one request, to send it again to whatever URL of its origin."""

    send: Send
    request: Request
    before: bytes
    """The payload up to its target, which is put in for each URL, as `target` is for that of `request`."""
    target: bytes
    after: bytes
    """The payload behind the target; of one with a body up to the length of that."""
    end_of_head: bytes
    """The rest of the head of one with a body."""
    connection: HttpConnection
    adapter: HTTPAdapter
    template: PreparedRequest
    observe: Observer | None
    now: Callable[[], int]
    until: int
    """The instant at which it must be prepared anew: a cookie expires, or .netrc may have changed."""
    hooks: Any
    environment: dict[Any, Any] | None
    is_replaceable: bool
    """It is left to `requests` while something is in the place of a part of that."""
    loose: Loose
    follow: bool
    span: int
    """The deadline of each call, in nanoseconds."""
    settings: dict[str, Any]
    is_general: bool
    """Another URL of the same origin would be prepared alike: nothing of the session depends on the path."""
    heads: dict[bytes, Head] = field(default_factory=dict)
    """Of the last replies."""

    def head_of(self, raw: bytes) -> Head:
        """The head of a reply; the same again is the same object, and need not be read again."""
        found = self.heads.get(raw)
        if found is None:
            if len(self.heads) >= MAX_HEADS:
                self.heads.clear()
            found = self.heads[raw] = Head(raw)
        return found


class AddressedCall:
    """A prepared call with its URL."""

    __slots__ = ("asked", "extracted", "head", "prepared", "request", "start", "url")
    prepared: PreparedCall

    def __init__(self, prepared: PreparedCall, url: str, target: str | None, name: str | None) -> None:
        self.prepared = prepared
        self.url = url if target else prepared.template.url or ""
        self.start = prepared.before + (target.encode() if target else prepared.target) + prepared.after
        """The payload, of one with a body up to the length of that."""
        self.request = WithPayload(prepared.request, self.start)
        self.asked = Asked(prepared.request.method, url.partition("?")[0] if target else prepared.request.url, name)
        self.head = NO_HEAD
        """That of the last reply."""
        self.extracted: Head | None = None
        """The head whose cookies are in the jar already."""

    @property
    def adapter(self) -> HTTPAdapter:
        """What sends it."""
        return self.prepared.adapter

    def with_body(self, content: bytes) -> Request:
        """The request with a body."""
        prepared = self.prepared
        return WithPayload(prepared.request, b"%b%d%b%b" % (self.start, len(content), prepared.end_of_head, content))

    def prepared_request(self, body: Any) -> PreparedRequest:
        """A request of its own for a reply, as if it had been prepared for it."""
        made = self.prepared.template.copy()
        made.url = self.url
        if body is not None:
            made.body = body
            size = len(body.encode() if isinstance(body, str) else body)
            made.headers["Content-Length"] = str(size)
        return made


def have_changed(loose: Loose) -> bool:
    """True if one of them is not what it was."""
    return any(each != copy for each, copy in loose)
