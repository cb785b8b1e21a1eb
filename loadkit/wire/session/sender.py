"""Send the prepared calls of a session, and do with their replies what `requests` does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from requests import cookies
from requests.models import REDIRECT_STATI

from loadkit.wire.connection import NO_GIL
from loadkit.wire.session.adapter import is_replaced
from loadkit.wire.session.cache import DEFAULTS
from loadkit.wire.session.call import FOREVER, Call
from loadkit.wire.session.prepared import have_changed, prepare_call
from loadkit.wire.session.raw import Pull, raw_of
from loadkit.wire.session.response import Response
from loadkit.wire.session.watched import is_as_it_was

if TYPE_CHECKING:
    import requests

    from loadkit.wire.session.adapter import WireAdapter
    from loadkit.wire.session.cache import CallCache, Given
    from loadkit.wire.session.prepared import AddressedCall, PreparedCall

_new: Any = Response.__new__
_extract: Any = cookies.extract_cookies_to_jar


class CallSender:
    """Sends prepared calls over the adapter that they were prepared for."""

    __slots__ = ("_cache", "_context", "_is_replaceable", "_now", "_wire")

    def __init__(self, wire: WireAdapter, cache: CallCache) -> None:
        self._wire = wire
        self._is_replaceable = wire.heeds_replacements
        self._context = wire.context
        self._now = wire.context.clock.now
        self._cache = cache
        """Cleared when a call has to be prepared anew."""

    def prepare(self, session: requests.Session, request: requests.Request, kind: str, given: Given, span: int) -> None:
        """Prepare what is like a request, to be found in the cache; not for one that is left to `requests`."""
        self._context.check()
        # a change of the session by another thread puts other calls in the place of these
        calls = self._cache.calls
        follow, _, _, timeout, _ = given or DEFAULTS
        prepared = prepare_call(session, self._wire, request, timeout=timeout, span=span, follow=follow)
        if prepared is not None:
            calls.add(prepared, str(request.url), kind, given)

    def send(
        self, session: requests.Session, call: AddressedCall, body: bytes | str | None = None
    ) -> requests.Response | None:
        """Send a call and make its response; None if it has to be prepared anew."""
        # the hot path: each line of it is paid for by every request
        prepared = call.prepared
        if (
            self._now() > prepared.until
            or prepared.hooks
            or (self._is_replaceable and is_replaced())
            or (prepared.environment is not None and not is_as_it_was(prepared.environment))
            or (prepared.loose and have_changed(prepared.loose))
        ):
            self._cache.clear()
            return None
        connection = prepared.connection
        if connection.in_use or (NO_GIL and not connection.lock.acquire(False)):
            # another thread, or a call around this one, has it: the long way takes another connection
            if connection not in self._wire.pool:
                self._cache.clear()
            return None
        connection.in_use = True
        try:
            request = call.request if body is None else call.with_body(body)
            exchange = prepared.send(request)
            last = connection.last
        finally:
            connection.in_use = False
            if NO_GIL:
                connection.lock.release()
        status, sent, arrived, _, _, note = exchange
        if note is not None and note.failure is not None:
            # what was received last is of an exchange before
            last = request, b"", b"", False
        if prepared.inspect is not None:
            prepared.inspect(call.asked, exchange, len(request.payload), last)
        if note is not None and note.failure is not None:
            raise self._wire.failed(exchange, call.prepared_request(body), connection.origin)
        _, raw_head, content, _ = last
        head = call.head
        if head.raw is not raw_head:
            head = call.head = prepared.head_of(raw_head)
        response = _new(Response)
        response.status_code = status
        response._content = content
        response._content_consumed = True
        response._seen = (head, call, body, arrived - sent)
        return self._handled(session, call, response, sent) if head.unusual else response

    def _handled(
        self, session: requests.Session, call: AddressedCall, response: Response, sent: int
    ) -> requests.Response:
        """What `requests.Session.send` does with a reply that has cookies, a redirect or a coding."""
        head, prepared = call.head, call.prepared
        if head.coded:
            method = str(prepared.template.method)
            step = self._wire.deadline_check(sent + prepared.span, call.url)
            response.raw = raw_of(head.raw, method, Pull(head.raw, method, body=response._content), step)
            response._content, response._content_consumed = False, False
            response._limit = self._wire.body_limit
        if head.cookies and call.extracted is not head:
            _extract(session.cookies, response.request, response.raw)
            # a max-age counts from now, each time
            call.extracted = None if head.dated else head
        if response.status_code in REDIRECT_STATI and response.is_redirect:
            deadline = None if prepared.span == FOREVER else sent + prepared.span
            with self._context.during(Call(deadline=deadline, begun=True, follows=prepared.request.follows)):
                return _redirected(session, prepared, response)
        response.content  # noqa: B018 - decoded now, so that what is wrong with it is raised now
        return response


def _redirected(session: requests.Session, prepared: PreparedCall, response: Response) -> requests.Response:
    follow = cast(Any, session).resolve_redirects
    hops = follow(response, response.request, yield_requests=not prepared.request.follows, **prepared.settings)
    last = response
    if prepared.request.follows:
        history = [response, *hops]
        last = history.pop()
        last.history = history
    else:
        response._next = next(hops, None)
    last.content  # noqa: B018 - read now, as requests does
    return last
