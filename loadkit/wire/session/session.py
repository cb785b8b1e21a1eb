"""A `requests.Session` on loadkit's own wire: the requests API at the speed of a socket.

The life of a call, whose path is a matter of cost alone, never of the result:

1. `session` takes it, and looks in `cache` for a call like it: same method, origin, kind of body and options.
2. If there is none, `prepared` has `requests` prepare the request once, and keeps it as bytes.
3. `sender` puts target and body in, sends it on a connection of `pool`, and gives the reply as a `response`, the parts
   of which are made when they are looked at.
4. A change of the session, which `watched` containers report, clears the cache.
5. All else (streams, files, hooks, proxies) goes through `requests`, with our wire as its `adapter`: `outgoing` makes
   the bytes, `flow` pulls the body of the reply, and `raw` shows it as urllib3 would.
6. `redirects` says where a reply may lead, and what goes along; `exceptions` has the words of `requests` for a failure.
7. `call` knows what `requests` does not: the deadline, the name, and the observer of each exchange.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, cast

import requests
from requests.utils import default_user_agent

from loadkit._version import __version__
from loadkit.clock import SystemClock
from loadkit.plan.units import Duration, Size, nanoseconds
from loadkit.plan.units import size as size_of
from loadkit.plan.urls import strip_url
from loadkit.wire.base import Clock
from loadkit.wire.resolver import Resolver
from loadkit.wire.session.adapter import WireAdapter
from loadkit.wire.session.cache import JSON, CallCache, body_of, json_body, options_of
from loadkit.wire.session.call import (
    FOREVER,
    CallContext,
    Chain,
    Inspector,
    Observer,
    TimedAdapter,
    checked_deadline,
)
from loadkit.wire.session.outgoing import checked_base_url, joined
from loadkit.wire.session.pool import ConnectionPool
from loadkit.wire.session.redirects import check_scheme, followed, redirect_target, strip_credentials
from loadkit.wire.session.sender import CallSender
from loadkit.wire.session.watched import Watched, watch

BODY_LIMIT: Final = 256_000_000

# of whoever changes these in a subclass or on an instance, every request asks them
_METHODS: Final = ("request", "send", "prepare_request", "merge_environment_settings", "resolve_redirects")
_TELLING: Final = frozenset((*requests.Session.__attrs__, *_METHODS, "base_url", "deadline", "get_adapter"))
_CHECKED: Final[dict[str, Any]] = {"base_url": checked_base_url, "deadline": checked_deadline}


class Session(requests.Session):
    """A `requests.Session` that costs a thirtieth: same calls, same replies, same exceptions.

    >>> with Session(base_url="http://127.0.0.1:8000") as http:
    ...     http.get("/users/17", name="/users/{id}").json()

    Threads may share one, as with `requests`: an exchange has its connection for itself. A session for each thread is
    faster. It keeps one connection to each place, and more only while `stream=True` replies are unread or several
    threads use it.

    Beside what `requests` takes, each call takes `deadline=` (seconds, or text such as "2s", from the call to the last
    byte, redirects included; `timeout=` keeps its meaning) and `name=` (what an observer calls it).

    - `base_url`: what URLs without a scheme are joined to.
    - `deadline`: of each call that does not say one.
    - `body_limit`: bytes of a body that `.content` may have, decoded or not; beyond it a `BodyTooLarge` is raised.
    - `resolver`: addresses and TLS contexts, shared by the sessions that are given the same.
    - `observe`: called with each exchange; see `Observer`. It may be set and changed later.
    - `clock`: another clock, for tests.
    """

    __attrs__ = (*requests.Session.__attrs__, "base_url", "deadline")
    _heeds_replacements = True
    """What `responses`, `vcrpy` and their like put in the place of parts of `requests` is in the place of ours."""

    def __init__(
        self,
        *,
        base_url: str | None = None,
        deadline: Duration | None = None,
        body_limit: Size = BODY_LIMIT,
        resolver: Resolver | None = None,
        observe: Observer | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._cache = CallCache()
        super().__init__()
        clock = clock or SystemClock()
        pool = ConnectionPool(resolver or Resolver(), clock)
        limit = size_of(body_limit, what="body_limit")
        self._set_up(WireAdapter(CallContext(clock), pool, limit, heeds_replacements=self._heeds_replacements))
        for prefix in ("https://", "http://"):
            self.mount(prefix, self._wire)
        self.headers["User-Agent"] = f"loadkit/{__version__} {default_user_agent()}"
        self.base_url = base_url
        self.deadline = deadline
        self.observe = observe

    def _set_up(self, wire: WireAdapter) -> None:
        self._wire = wire
        self._context = wire.context
        self._sender = CallSender(wire, self._cache)
        self._plain = all(getattr(type(self), name) is getattr(Session, name) for name in (*_METHODS, "get_adapter"))
        watch(self)

    def __repr__(self) -> str:
        # no address: the message of an assertion that holds it is the same in each thread
        return f"<Session {strip_url(self.base_url)}>" if self.base_url else "<Session>"

    def __setattr__(self, name: str, value: Any) -> None:
        if value is not None and name in _CHECKED:
            value = _CHECKED[name](value)
        object.__setattr__(self, name, value)
        if name in _TELLING:
            if isinstance(value, Watched):
                value.bind(self._cache.clear)
            if name in _METHODS:
                self._plain = False
            self._cache.clear()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._cache = CallCache()
        cast(Any, super()).__setstate__(state)
        ours = [adapter for adapter in self.adapters.values() if isinstance(adapter, WireAdapter)]
        clock = SystemClock()
        self._set_up(ours[0] if ours else WireAdapter(CallContext(clock), ConnectionPool(Resolver(), clock)))

    # -- what requests does not have

    @property
    def observe(self) -> Observer | None:
        """Called with each exchange, failed ones and each hop of a redirect too, once it is over."""
        return self._observer

    @observe.setter
    def observe(self, observer: Observer | None) -> None:
        """Call another one from now on, or none."""
        self._observer = observer
        self._inspect(None if observer is None else lambda asked, exchange, size, _: observer(asked, exchange, size))

    def _inspect(self, inspector: Inspector | None) -> None:
        """Show each exchange to this one from now on, in the place of an observer."""
        self._context.inspect = inspector
        self._cache.clear()

    def abort(self) -> None:
        """End the request under way in another thread, and fail all later ones at once with a `ConnectionError`.

        For good: there is no way back. What urllib3 does (proxies) ends at its own timeout.
        """
        self._wire.pool.abort()

    @property
    def halted(self) -> bool:
        """True if no request may begin any more."""
        return self._context.halt is not None or self._wire.pool.is_aborted

    def halt(self, error: type[BaseException] | None) -> None:
        """Raise `error` from each request that begins later, until None is given; what is under way goes on.

        Another thread may call it.
        """
        self._context.halt = error
        self._cache.clear()

    # -- the calls

    def get(self, url: Any, params: Any = None, **options: Any) -> requests.Response:
        """Send a GET; see `requests.Session.get`."""
        if params is None and not options and self._plain and url.__class__ is str:
            call = self._cache.calls.addressed.get(url)
            if call is not None:
                response = self._sender.send(self, call)
                if response is not None:
                    return response
        return super().get(url, params=params, **options)

    def post(self, url: Any, data: Any = None, json: Any = None, **options: Any) -> requests.Response:
        """Send a POST; see `requests.Session.post`."""
        if json is not None and not data and not options and self._plain and url.__class__ is str:
            call = self._cache.calls.addressed.get(("POST", url, JSON, (), None))
            if call is not None and (body := json_body(json)) is not None:
                response = self._sender.send(self, call, body)
                if response is not None:
                    return response
        return super().post(url, data=data, json=json, **options)

    def request(  # type: ignore[override]
        self,
        method: str,
        url: Any,
        params: Any = None,
        data: Any = None,
        headers: Any = None,
        cookies: Any = None,
        files: Any = None,
        auth: Any = None,
        timeout: Any = None,
        allow_redirects: bool = True,
        proxies: Any = None,
        hooks: Any = None,
        stream: bool | None = None,
        verify: Any = None,
        cert: Any = None,
        json: Any = None,
        *,
        deadline: Duration | None = None,
        name: str | None = None,
    ) -> requests.Response:
        """Send a request; see `requests.Session.request`, and this class for `deadline` and `name`."""
        unusual = cookies or files or proxies or hooks or stream or auth is not None
        if self._plain and not unusual and verify is None and cert is None and url.__class__ is str:
            kind, body = body_of(data, json)
            given = options_of(params, headers, timeout, allow_redirects, deadline)
            if kind is not None and given is not None:
                call = self._cache.calls.find(method, url, kind, given, name, self._joined)
                if call is None:
                    parts = (method.upper(), self._joined(url), headers, None, data or {}, params or {})
                    request = requests.Request(*parts, json=json)
                    self._sender.prepare(self, request, kind, given, self._span_of(deadline))
                    call = self._cache.calls.find(method, url, kind, given, name, self._joined)
                if call is not None:
                    response = self._sender.send(self, call, body)
                    if response is not None:
                        return response
        with self._context.begin(name, self._span_of(deadline), follows=allow_redirects):
            return super().request(
                *(method, self._joined(url), params, data, headers, cookies, files, auth, timeout, allow_redirects),
                *(proxies, hooks, stream, verify, cert, json),
            )

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Send a prepared request; see `requests.Session.send`, and this class for `deadline` and `name`."""
        name, deadline = options.pop("name", None), options.pop("deadline", None)
        if self._context.current.begun and name is None and deadline is None:
            return super().send(request, **options)
        with self._context.begin(name, self._span_of(deadline), follows=options.get("allow_redirects", True)):
            return super().send(request, **options)

    def get_adapter(self, url: Any) -> Any:
        """The adapter for a URL; one that is not ours is timed while somebody observes."""
        if str(url).lower().startswith("http+unix://"):
            if chain := self._context.current.chain:
                # once more where it cannot be replaced: on the way only what the caller named is spoken to
                check_scheme(str(url), chain.first.url or "", chain.first)
            return self._wire
        adapter = cast(Any, super()).get_adapter(url)
        if self._context.inspect is None or not self._context.current.begun or isinstance(adapter, WireAdapter):
            return adapter
        return TimedAdapter(adapter, self._context)

    def mount(self, prefix: Any, adapter: Any) -> None:
        """Use an adapter for URLs that begin so."""
        super().mount(prefix, adapter)
        self._cache.clear()

    def close(self) -> None:
        """Close all connections; a request that comes later opens its own."""
        for adapter in {id(adapter): adapter for adapter in [self._wire, *self.adapters.values()]}.values():
            cast(Any, adapter).close()

    # -- redirects

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Where a reply leads, None if nowhere; raises `InvalidURL` and `InvalidSchema` for what is not followed."""
        return redirect_target(resp.url, resp.headers["location"], resp.request) if resp.is_redirect else None

    def resolve_redirects(
        self, resp: requests.Response, req: requests.PreparedRequest, *args: Any, **options: Any
    ) -> Iterator[Any]:
        """The replies that a redirect leads to; or with `yield_requests` the next request, if it can be made."""
        hops = cast(Any, super()).resolve_redirects(resp, req, *args, **options)
        # a call that does not follow raises nothing for where it leads
        return followed(hops, self._context.current, req, is_lenient=bool(options.get("yield_requests")))

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """Lead to http and https only, and let nothing that may be a credential go to another host, port or scheme."""
        check_scheme(prepared_request.url or "", response.url, response.request)
        strip_credentials(prepared_request, self._context.current.chain or Chain(response.request), self.cookies)
        cast(Any, super()).rebuild_auth(prepared_request, response)

    # --

    def _joined(self, url: Any) -> Any:
        return joined(self.base_url, url)

    def _span_of(self, deadline: Duration | None) -> int:
        chosen = self.deadline if deadline is None else deadline
        return FOREVER if chosen is None else nanoseconds(checked_deadline(chosen))
