"""A `requests.Session` on loadkit's own wire: the requests API at the speed of a socket.

The common call takes a fast path: the request is prepared once and sent again as bytes for as long as nothing of the
session has changed, and the parts of its reply are made when they are looked at. Everything else goes through
`requests` itself, with our wire as its adapter. The path is a matter of cost alone, never of the result.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, cast

import requests
from requests.exceptions import InvalidSchema, InvalidURL
from requests.utils import default_user_agent

from loadkit._version import __version__
from loadkit.clock import SystemClock
from loadkit.plan.errors import UsageError
from loadkit.plan.units import SECOND, Duration, Size, nanoseconds, seconds
from loadkit.plan.units import size as size_of
from loadkit.plan.urls import strip_url
from loadkit.wire.base import Clock
from loadkit.wire.resolver import Resolver
from loadkit.wire.session.adapter import WireAdapter
from loadkit.wire.session.cache import DEFAULTS, JSON, NOTHING, CallCache, Given, body_of, json_body, options_of, store
from loadkit.wire.session.call import FOREVER, Asked, Call, Observer
from loadkit.wire.session.prepared import AddressedCall, prepare_call
from loadkit.wire.session.redirects import Chain, check_scheme, redirect_target, strip_credentials
from loadkit.wire.session.response import Response
from loadkit.wire.session.sender import CallSender
from loadkit.wire.session.watched import Watched, WatchedCookies, WatchedDict, WatchedHeaders

BODY_LIMIT: Final = 256_000_000

_ABSOLUTE: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")

_CONTAINERS: Final = ("headers", "cookies", "params", "proxies", "hooks", "adapters")
# of whoever changes these in a subclass or on an instance, every request asks them
_METHODS: Final = ("request", "send", "prepare_request", "merge_environment_settings", "resolve_redirects")
_TELLING: Final = frozenset((*requests.Session.__attrs__, *_METHODS, "base_url", "deadline", "get_adapter"))


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
    - `observe`: told of each exchange; see `Observer`. It may be set and changed later.
    - `clock`: another clock, for tests.
    """

    __attrs__ = (*requests.Session.__attrs__, "base_url", "deadline")
    _cache: CallCache
    _forget: Callable[[], None]

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
        self._begin()
        super().__init__()
        for name in _CONTAINERS:
            setattr(self, name, _watched(getattr(self, name)))
        self._wire = WireAdapter(clock or SystemClock(), resolver, size_of(body_limit, what="body_limit"))
        self._wire.forget = self._forget
        self._sender = CallSender(self._wire, self._cache)
        for prefix in ("https://", "http://"):
            self.mount(prefix, self._wire)
        self.headers["User-Agent"] = f"loadkit/{__version__} {default_user_agent()}"
        self.base_url = base_url
        self.deadline = deadline
        self.observe = observe

    def __repr__(self) -> str:
        # no address: the message of an assertion that holds it is the same in each thread
        return f"<Session {strip_url(self.base_url)}>" if self.base_url else "<Session>"

    def _begin(self) -> None:
        cache = CallCache()
        vars(self)["_cache"] = cache
        vars(self)["_forget"] = cache.clear
        self._halt: type[BaseException] | None = None
        self._plain = all(getattr(type(self), name) is getattr(Session, name) for name in (*_METHODS, "get_adapter"))

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "base_url":
            value = _checked(value)
        elif name == "deadline" and value is not None:
            value = _span(value)
        object.__setattr__(self, name, value)
        if name in _TELLING:
            if isinstance(value, Watched):
                value.bind(self._forget)
            if name in _METHODS:
                self._plain = False
            self._forget()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._begin()
        cast(Any, super()).__setstate__(state)
        for name in _CONTAINERS:
            setattr(self, name, _watched(getattr(self, name)))
        ours = [adapter for adapter in self.adapters.values() if isinstance(adapter, WireAdapter)]
        self._wire = ours[0] if ours else WireAdapter(SystemClock())
        self._wire.forget = self._forget
        self._sender = CallSender(self._wire, self._cache)

    # -- what requests does not have

    @property
    def observe(self) -> Observer | None:
        """Who is told of each exchange, failed ones and each hop of a redirect too, once it is over."""
        return self._wire.observe

    @observe.setter
    def observe(self, observer: Observer | None) -> None:
        """Tell somebody else from now on, or nobody."""
        self._wire.observe = observer
        self._forget()

    def abort(self) -> None:
        """End the request under way in another thread, and fail all later ones at once with a `ConnectionError`.

        For good: there is no way back. What urllib3 does (proxies) ends at its own timeout.
        """
        self._wire.abort()

    @property
    def halted(self) -> bool:
        """True if no request may begin any more."""
        return self._halt is not None or self._wire.aborted

    def halt(self, error: type[BaseException] | None) -> None:
        """Raise `error` from each request that begins later, until None is given; what is under way goes on.

        Another thread may call it.
        """
        self._halt = error
        self._forget()

    # -- the calls

    def get(self, url: Any, params: Any = None, **options: Any) -> requests.Response:
        """Send a GET; see `requests.Session.get`."""
        if params is None and not options and self._plain and url.__class__ is str:
            call = self._cache.calls.addressed.get(url)
            if call is not None:
                response = self._sender.send(self, call, call.request, None)
                if response is not None:
                    return response
        return super().get(url, params=params, **options)

    def post(self, url: Any, data: Any = None, json: Any = None, **options: Any) -> requests.Response:
        """Send a POST; see `requests.Session.post`."""
        if json is not None and not data and not options and self._plain and url.__class__ is str:
            call = self._cache.calls.addressed.get(("POST", url, JSON, (), None))
            if call is not None and (body := json_body(json)) is not None:
                response = self._sender.send(self, call, call.with_body(body), body)
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
                call = self._addressed(method, url, kind, given, name)
                if call is None:
                    parts = (method.upper(), self._joined(url), headers, None, data or {}, params or {})
                    self._prepare(requests.Request(*parts, json=json), method, kind, given)
                    call = self._addressed(method, url, kind, given, name)
                if call is not None:
                    message = call.request if body is None else call.with_body(_bytes(body))
                    response = self._sender.send(self, call, message, body)
                    if response is not None:
                        return response
        with self._call(name, deadline, follows=allow_redirects):
            return super().request(
                *(method, self._joined(url), params, data, headers, cookies, files, auth, timeout, allow_redirects),
                *(proxies, hooks, stream, verify, cert, json),
            )

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Send a prepared request; see `requests.Session.send`, and this class for `deadline` and `name`."""
        name, deadline = options.pop("name", None), options.pop("deadline", None)
        if self._wire.calls.current.begun and name is None and deadline is None:
            return super().send(request, **options)
        with self._call(name, deadline, follows=options.get("allow_redirects", True)):
            return super().send(request, **options)

    def get_adapter(self, url: Any) -> Any:
        """The adapter for a URL; one that is not ours is timed while somebody observes."""
        if str(url).lower().startswith("http+unix://"):
            if chain := self._wire.calls.current.chain:
                # once more where it cannot be replaced: on the way only what the caller named is spoken to
                check_scheme(str(url), chain.first.url or "", chain.first)
            return self._wire
        adapter = cast(Any, super()).get_adapter(url)
        if self.observe is None or not self._wire.calls.current.begun or isinstance(adapter, WireAdapter):
            return adapter
        return _Timed(adapter, self._wire)

    def mount(self, prefix: Any, adapter: Any) -> None:
        """Use an adapter for URLs that begin so."""
        super().mount(prefix, adapter)
        self._forget()

    def close(self) -> None:
        """Close all connections; a request that comes later opens its own."""
        for adapter in {id(adapter): adapter for adapter in [self._wire, *self.adapters.values()]}.values():
            cast(Any, adapter).close()

    # -- redirects

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Where a reply leads, None if nowhere; raises `InvalidURL` and `InvalidSchema` for what is not followed."""
        if not resp.is_redirect:
            return None
        return redirect_target(resp.url, resp.headers["location"], resp.request)

    def resolve_redirects(
        self, resp: requests.Response, req: requests.PreparedRequest, *args: Any, **options: Any
    ) -> Iterator[Any]:
        """The replies that a redirect leads to; or with `yield_requests` the next request, if it can be made."""
        hops = cast(Any, super()).resolve_redirects(resp, req, *args, **options)
        call = self._wire.calls.current
        before, call.chain = call.chain, call.chain or Chain(req)
        try:
            # a call that does not follow raises nothing for where it leads
            with suppress(*(_UNFIT if options.get("yield_requests") else ())):
                yield from hops
        finally:
            call.chain = before

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """Lead to http and https only, and let nothing that may be a credential go to another host, port or scheme."""
        check_scheme(prepared_request.url or "", response.url, response.request)
        strip_credentials(prepared_request, self._wire.calls.current.chain or Chain(response.request), self.cookies)
        cast(Any, super()).rebuild_auth(prepared_request, response)

    # -- the fast path

    def _addressed(self, method: str, url: str, kind: str, given: Given, name: str | None) -> AddressedCall | None:
        """The call to a URL, None if nothing like it was prepared."""
        calls = self._cache.calls
        is_plain = kind == NOTHING and not given and name is None and method == "GET"
        key = url if is_plain else (method, url, kind, given, name)
        found = calls.addressed.get(key)
        if found is None:
            full = self._joined(url)
            place, target = calls.place(full, given)
            prepared = calls.prepared.get((method, place, kind, given))
            if prepared is None:
                return None
            found = AddressedCall(prepared, full, target, name)
            store(calls.addressed, key, found)
        return found

    def _prepare(self, request: requests.Request, method: str, kind: str, given: Given) -> None:
        """Prepare what is like a request, for `_addressed`; not for one that is left to `requests`."""
        if self._halt is not None:
            raise self._halt
        calls = self._cache.calls
        follow, _, _, timeout, deadline = given or DEFAULTS
        containers = [getattr(self, name) for name in _CONTAINERS]
        span = self._span_of(deadline)
        prepared = prepare_call(self, self._wire, request, containers, timeout=timeout, span=span, follow=follow)
        if prepared is None:
            return
        calls.is_by_url = calls.is_by_url or not prepared.is_general
        place, _ = calls.place(request.url, given)
        store(calls.prepared, (method, place, kind, given), prepared)

    # --

    def _joined(self, url: Any) -> Any:
        if self.base_url is None or not isinstance(url, str) or _ABSOLUTE.match(url):
            return url
        return self.base_url + (url if url.startswith("/") else f"/{url}" if url else "")

    def _span_of(self, deadline: Duration | None) -> int:
        chosen = self.deadline if deadline is None else _span(deadline)
        # as it is set it is made a number
        return FOREVER if chosen is None else nanoseconds(cast(float, chosen))

    @contextmanager
    def _call(self, name: str | None, deadline: Duration | None, *, follows: bool) -> Iterator[None]:
        if self._halt is not None:
            raise self._halt
        span = self._span_of(deadline)
        until = None if span == FOREVER else self._wire.clock.now() + span
        with self._wire.calls.during(Call(name, until, follows=follows)):
            yield


class _Timed:
    """Somebody else's adapter, timed by our clock."""

    def __init__(self, adapter: Any, wire: WireAdapter) -> None:
        self._adapter = adapter
        self._wire = wire

    def __getattr__(self, name: str) -> Any:
        return getattr(self._adapter, name)

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        return self._wire.time(request, lambda: self._adapter.send(request, **options))


_UNFIT: Final = (InvalidURL, InvalidSchema)


def _bytes(body: str | bytes) -> bytes:
    return body.encode() if isinstance(body, str) else body


def _watched(container: Any) -> Any:
    if isinstance(container, Watched):
        return container
    if isinstance(container, requests.cookies.RequestsCookieJar):
        jar = WatchedCookies()
        jar.update(container)
        return jar
    if isinstance(container, requests.structures.CaseInsensitiveDict):
        return WatchedHeaders(container)
    return WatchedDict(container)


def _checked(base_url: str | None) -> str | None:
    if base_url is None:
        return None
    if not re.match(r"(?i)https?://.|http\+unix://.", base_url):
        raise UsageError(f"cannot use base_url={base_url!r}; write it like 'http://127.0.0.1:8000'")
    return base_url.rstrip("/")


def _span(deadline: Duration) -> float:
    span = seconds(deadline, what="deadline")
    if not 0 < span <= FOREVER / SECOND:
        raise UsageError(f"cannot use deadline={deadline!r}; write it like '2s'")
    return span


__all__ = ["Asked", "Observer", "Response", "Session"]
