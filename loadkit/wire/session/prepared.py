"""Requests that `requests` prepared once and that are sent again: what the common call of a session comes down to."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from loadkit.plan.units import SECOND
from loadkit.wire.base import WithPayload
from loadkit.wire.fast import sender
from loadkit.wire.session.call import FOREVER, Asked
from loadkit.wire.session.outgoing import request_of
from loadkit.wire.session.response import Head
from loadkit.wire.session.watched import CONTAINERS, Watched, WatchedCookies, environment

if TYPE_CHECKING:
    import requests
    from requests import PreparedRequest
    from requests.adapters import HTTPAdapter

    from loadkit.wire.base import Request, Send
    from loadkit.wire.connection import HttpConnection
    from loadkit.wire.session.adapter import WireAdapter
    from loadkit.wire.session.call import Inspector

MAX_HEADS: Final = 16
"""Heads of replies that are remembered; a server's differ in their dates and lengths."""
NO_HEAD: Final = Head(b"")
LOOK_AGAIN: Final = 1 * SECOND
"""How long a session that trusts its environment sends the same without a look at .netrc."""

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
    inspect: Inspector | None
    until: int
    """The instant at which it must be prepared anew: a cookie expires, or .netrc may have changed."""
    hooks: Any
    environment: dict[Any, Any] | None
    loose: Loose
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

    __slots__ = ("asked", "extracted", "head", "prepared", "request", "url")
    prepared: PreparedCall

    def __init__(self, prepared: PreparedCall, url: str, target: str | None, name: str | None) -> None:
        self.prepared = prepared
        self.url = url if target else prepared.template.url or ""
        payload = prepared.before + (target.encode() if target else prepared.target) + prepared.after
        self.request = WithPayload(prepared.request, payload)
        """Of one with a body the payload up to the length of that."""
        self.asked = Asked(prepared.request.method, url.partition("?")[0] if target else prepared.request.url, name)
        self.head = NO_HEAD
        """That of the last reply."""
        self.extracted: Head | None = None
        """The head whose cookies are in the jar already."""

    @property
    def adapter(self) -> HTTPAdapter:
        """What sends it."""
        return self.prepared.adapter

    def with_body(self, body: Any) -> Request:
        """The request with a body, bytes or text."""
        begin, end = self.request.payload, self.prepared.end_of_head
        content = body.encode() if body.__class__ is str else body
        return WithPayload(self.prepared.request, b"%b%d%b%b" % (begin, len(content), end, content))

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


def prepare_call(
    session: requests.Session, adapter: WireAdapter, request: requests.Request, *, timeout: Any, span: int, follow: bool
) -> PreparedCall | None:
    """Have `requests` prepare a request once; None for one that is not for the fast path.

    Raises what `requests` raises for a request that cannot be.
    """
    cookies = session.cookies
    hooks = session.hooks.get("response")
    plain_auth = session.auth is None or type(session.auth) is tuple
    if session.stream or hooks or not plain_auth or type(cookies) is not WatchedCookies:
        return None
    template = session.prepare_request(request)
    url = template.url or ""
    settings: dict[str, Any] = dict(session.merge_environment_settings(url, {}, None, None, None))
    if session.get_adapter(url) is not adapter or _is_patched(adapter):
        return None
    if not adapter.takes(template, settings["proxies"]):
        return None
    target = cast(Any, adapter).request_url(template, None)
    found = request_of(template, target, timeout, span, keep=adapter.body_limit, follows=follow)
    connection = adapter.connection(template, found.origin, settings["verify"], settings["cert"])
    parts = _parts(found.payload, template)
    if parts is None:
        return None
    before, target, after, end_of_head = parts
    return PreparedCall(
        send=sender(connection, found),
        request=found,
        before=before,
        target=target,
        after=after,
        end_of_head=end_of_head,
        connection=connection,
        adapter=adapter,
        template=template,
        inspect=adapter.context.inspect,
        until=_until(session, cookies, adapter.context.clock.now()),
        hooks=hooks,
        environment=environment() if session.trust_env else None,
        loose=_loose(session),
        span=span,
        settings={"timeout": timeout, **settings},
        is_general=_is_general(session, cookies),
    )


def _is_general(session: requests.Session, cookies: WatchedCookies) -> bool:
    each: list[Any] = list(cookies)
    paths = {cookie.path for cookie in each}
    return paths <= {"/"} and not session.params and len(session.adapters) == 2


def _is_patched(adapter: WireAdapter) -> bool:
    """True if the user has replaced one of its methods, to look at each request or reply."""
    return not vars(adapter).keys().isdisjoint(("send", "build_response", "request_url"))


def _parts(payload: bytes, template: PreparedRequest) -> tuple[bytes, bytes, bytes, bytes] | None:
    """What a payload consists of, without its body; None if its length is not found in it."""
    head, end, _ = payload.partition(b"\r\n\r\n")
    method, target, after = (head + end).split(b" ", 2)
    if not template.body:
        return method + b" ", target, b" " + after, b""
    length = b"\r\nContent-Length: " + str(template.headers.get("Content-Length")).encode()
    if after.count(length + b"\r\n") != 1:
        return None
    after, _, end = after.partition(length + b"\r\n")
    return method + b" ", target, b" " + after + b"\r\nContent-Length: ", b"\r\n" + end


def _until(session: requests.Session, cookies: WatchedCookies, now: int) -> int:
    until = now + (LOOK_AGAIN if session.trust_env else FOREVER)
    expires = cookies.expires()
    return until if expires is None else min(until, now + round((expires - time.time()) * SECOND))


def _loose(session: requests.Session) -> Loose:
    loose = [each for name in CONTAINERS if not isinstance(each := getattr(session, name), Watched)]
    return tuple((each, dict(each) if isinstance(each, Mapping) else each) for each in loose)
