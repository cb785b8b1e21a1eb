"""Have `requests` prepare a request of a session, once for all that are like it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from loadkit.plan.units import SECOND
from loadkit.wire.fast import sender
from loadkit.wire.session.call import FOREVER
from loadkit.wire.session.prepared import PreparedCall
from loadkit.wire.session.watched import Watched, WatchedCookies, environment

if TYPE_CHECKING:
    import requests
    from requests import PreparedRequest

    from loadkit.wire.session.adapter import WireAdapter

LOOK_AGAIN: Final = 1 * SECOND
"""How long a session that trusts its environment sends the same without a look at .netrc."""


def prepare_call(
    session: requests.Session,
    adapter: WireAdapter,
    request: requests.Request,
    containers: list[Any],
    *,
    timeout: Any,
    span: int,
    follow: bool,
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
    if (
        session.get_adapter(url) is not adapter
        or _is_patched(adapter)
        or not adapter.takes(template, settings["proxies"])
    ):
        return None
    found = adapter.ready(template, timeout, keep=adapter.body_limit, span=span, follows=follow)
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
        observe=adapter.observe,
        now=adapter.clock.now,
        until=_until(session, cookies, adapter.clock.now()),
        hooks=hooks,
        environment=environment() if session.trust_env else None,
        is_replaceable=adapter.heeds_replacements,
        loose=tuple((each, _copy(each)) for each in containers if not isinstance(each, Watched)),
        follow=follow,
        span=span,
        settings={"timeout": timeout, **settings},
        is_general=_is_general(session, cookies),
    )


def _is_general(session: requests.Session, cookies: WatchedCookies) -> bool:
    each: list[Any] = list(cookies)
    paths = {cookie.path for cookie in each}
    return paths <= {"/"} and not session.params and len(session.adapters) == 2


def _is_patched(adapter: WireAdapter) -> bool:
    """True if an adapter has another method in the place of one of ours, which looks at each request or reply."""
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


def _copy(container: Any) -> Any:
    return dict(container) if isinstance(container, Mapping) else container
