"""A request that was prepared once and is sent again: what the common call of a session comes down to."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import requests

from loadkit.plan.units import SECOND
from loadkit.wire.base import WithPayload
from loadkit.wire.fast import sender
from loadkit.wire.session.adapter import FOREVER, Asked, WireAdapter
from loadkit.wire.session.response import Head
from loadkit.wire.session.watched import WatchedCookies, environment

if TYPE_CHECKING:
    from requests import PreparedRequest

    from loadkit.wire.base import Request, Send
    from loadkit.wire.connection import HttpConnection

LOOK_AGAIN: Final = 1 * SECOND
"""How long a session that trusts its environment sends the same without a look at .netrc."""

# letters, digits and what is never escaped; no empty part of the path and none that begins with a dot
_SIMPLE: Final = re.compile(
    r"(https?://[a-z0-9][a-z0-9.-]*(?::[1-9]\d*)?)(/|(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)+/?)(\?[A-Za-z0-9_.=&-]+)?"
)


@dataclass(slots=True, eq=False)
class Shot:
    """One request of a session, with everything that sending it again takes."""

    send: Send
    message: Request
    """As it is sent; of one with a body the template of its payload is in `before` and `after`."""
    before: bytes
    after: bytes
    connection: HttpConnection
    adapter: WireAdapter
    prepared: PreparedRequest
    asked: Asked
    now: Callable[[], int]
    until: int
    """The instant at which it must be prepared anew: a cookie expires, or .netrc may have changed."""
    hooks: Any
    environment: dict[Any, Any] | None
    follow: bool
    span: int
    """The deadline of each call, in nanoseconds."""
    settings: dict[str, Any]
    head: Head
    general: bool
    """Another URL of the same origin would be prepared alike: nothing of the session depends on the path."""
    url: str | None = None
    """The URL, if it is not the one that was prepared."""
    baked: Head | None = None
    """The head whose cookies are in the jar already."""

    def payload_of(self, content: bytes) -> bytes:
        """The payload of the message with another body."""
        return b"%b%d%b%b" % (self.before, len(content), self.after, content)

    def aimed_at(self, target: str, url: str, name: str | None) -> Shot:
        """The same request of another URL of the same origin, sent by the same function."""
        line = b"%b %b HTTP/1.1" % (self.asked.method.encode(), target.encode())
        payload = self.message.payload
        return replace(
            self,
            message=WithPayload(self.message, line + payload[payload.index(b"\r\n") :]),
            before=line + self.before[self.before.index(b"\r\n") :] if self.before else b"",
            asked=Asked(self.asked.method, url.partition("?")[0], name),
            head=Head(b""),
            baked=None,
            url=url,
        )

    def request(self, body: Any) -> PreparedRequest:
        """A request of its own for a reply, as if it had been prepared for it."""
        prepared = self.prepared.copy()
        if self.url is not None:
            prepared.url = self.url
        if body is not None:
            prepared.body = body
            size = len(body.encode() if isinstance(body, str) else body)
            prepared.headers["Content-Length"] = str(size)
        return prepared


def simple(url: str) -> tuple[str, str] | None:
    """Origin and target of a URL that `requests` leaves as it is; None for one it may have to mend."""
    found = _SIMPLE.fullmatch(url)
    return (found[1], found[2] + (found[3] or "")) if found else None


def prepare_shot(
    session: requests.Session,
    adapter: WireAdapter,
    request: requests.Request,
    *,
    timeout: Any,
    span: int,
    name: str | None,
    follow: bool,
) -> Shot | None:
    """Have `requests` prepare a request once; None for one that is not for the fast path.

    Raises what `requests` raises for a request that cannot be.
    """
    cookies = session.cookies
    hooks = session.hooks.get("response")
    plain_auth = session.auth is None or type(session.auth) is tuple
    if session.stream or hooks or not plain_auth or type(cookies) is not WatchedCookies:
        return None
    prepared = session.prepare_request(request)
    url = prepared.url or ""
    settings: dict[str, Any] = dict(session.merge_environment_settings(url, {}, None, None, None))
    if (
        session.get_adapter(url) is not adapter
        or _is_patched(adapter)
        or not adapter.takes(prepared, settings["proxies"])
    ):
        return None
    found = adapter.ready(prepared, timeout, keep=adapter.body_limit, span=span, follows=follow)
    connection = adapter.connection(prepared, found.origin, settings["verify"], settings["cert"])
    template = _template(found.payload, prepared)
    if template is None:
        return None
    before, after = template
    return Shot(
        send=sender(connection, found),
        message=found,
        before=before,
        after=after,
        connection=connection,
        adapter=adapter,
        prepared=prepared,
        asked=Asked(found.method, found.url, name),
        now=adapter.clock.now,
        until=_until(session, cookies, adapter.clock.now()),
        hooks=hooks,
        environment=environment() if session.trust_env else None,
        follow=follow,
        span=span,
        settings={"timeout": timeout, **settings},
        head=Head(b""),
        general=_is_general(session, cookies),
    )


def _is_general(session: requests.Session, cookies: WatchedCookies) -> bool:
    each: list[Any] = list(cookies)
    paths = {cookie.path for cookie in each}
    return paths <= {"/"} and not session.params and len(session.adapters) == 2


def _is_patched(adapter: WireAdapter) -> bool:
    """Whether somebody put a method of his own in the place of ours, to look at each request or reply."""
    return not vars(adapter).keys().isdisjoint(("send", "build_response", "request_url"))


def _template(payload: bytes, prepared: PreparedRequest) -> tuple[bytes, bytes] | None:
    if not prepared.body:
        return b"", b""
    head, end, _ = payload.partition(b"\r\n\r\n")
    length = b"\r\nContent-Length: " + str(prepared.headers.get("Content-Length")).encode()
    if (head + end).count(length + b"\r\n") != 1:
        return None
    before, _, after = (head + end).partition(length + b"\r\n")
    return before + b"\r\nContent-Length: ", b"\r\n" + after


def _until(session: requests.Session, cookies: WatchedCookies, now: int) -> int:
    until = now + (LOOK_AGAIN if session.trust_env else FOREVER)
    expires = cookies.expires()
    return until if expires is None else min(until, now + round((expires - time.time()) * SECOND))


def loose_copy(container: Any) -> Any:
    """A copy to compare with, of a container that does not tell of changes."""
    return dict(container) if isinstance(container, Mapping) else container
