"""Containers of a session that report each change, and the part of the environment that `requests` reads."""

from __future__ import annotations

import os
import threading
import weakref
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from http.cookiejar import Cookie, CookieJar
from typing import Any, Final, TypeAlias, cast

import requests
from requests.cookies import RequestsCookieJar
from requests.structures import CaseInsensitiveDict

from loadkit.wire.session.redirects import Site, key_of, set_by, site_of

MAX_COOKIES: Final = 3000
"""What browsers keep at least (RFC 6265, 6.1), and we at most: a server may set one more with each reply."""
MAX_OF_DOMAIN: Final = 180
"""Cookies of one domain and its subdomains, as in browsers."""
MAX_BYTES: Final = 64_000
"""Names and values of the cookies of one domain and its subdomains: servers accept no head with more."""
MAX_COOKIE: Final = 4096
"""Bytes of a cookie, name and value, as in browsers; a longer one is not kept."""
MAX_ATTRIBUTES: Final = 1024
"""Bytes of its attributes, domain and path included."""
LATEST: Final = 253_402_300_799
"""The end of the year 9999, in seconds of the wall clock: no cookie lasts longer."""


Key: TypeAlias = tuple[str, str, str]


class Watched:
    """A container whose changes clear the calls that were prepared with it, of all sessions that share it."""

    _forgets: tuple[weakref.WeakMethod[Callable[[], None]], ...] = ()

    def bind(self, forget: Callable[[], None]) -> None:
        """Call the method `forget` with each change from now on, for as long as its object exists."""
        others = (other for other in self._forgets if other() not in (None, forget))
        self._forgets = (*others, weakref.WeakMethod(forget))

    def changed(self) -> None:
        """Clear the calls that were prepared with it."""
        for each in self._forgets:
            if forget := each():
                forget()


CONTAINERS: Final = ("headers", "cookies", "params", "proxies", "hooks", "adapters")
"""The attributes of a session that hold one."""


def watch(session: requests.Session) -> None:
    """Put watched containers in the place of those that are not."""
    for name in CONTAINERS:
        container = getattr(session, name)
        if not isinstance(container, Watched):
            setattr(session, name, _watched(container))


def _watched(container: Any) -> Watched:
    if isinstance(container, RequestsCookieJar):
        jar = WatchedCookies()
        jar.update(container)
        return jar
    return WatchedHeaders(container) if isinstance(container, CaseInsensitiveDict) else WatchedDict(container)


class WatchedHeaders(Watched, CaseInsensitiveDict[Any]):
    """Headers."""

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        self.changed()

    def __delitem__(self, key: str) -> None:
        super().__delitem__(key)
        self.changed()

    def __reduce__(self) -> tuple[Any, ...]:
        return CaseInsensitiveDict, (list(self.items()),)


class WatchedDict(Watched, OrderedDict[Any, Any]):
    """Adapters, parameters, proxies or hooks."""

    def __reduce__(self) -> tuple[Any, ...]:
        return OrderedDict, (list(self.items()),)

    def __repr__(self) -> str:
        return repr(dict(self))


def _reporting(name: str) -> Callable[..., Any]:
    change = getattr(OrderedDict, name)

    def method(self: WatchedDict, *args: Any, **options: Any) -> Any:
        try:
            return change(self, *args, **options)
        finally:
            self.changed()

    method.__name__ = name
    return method


for _name in (
    *("__setitem__", "__delitem__", "__ior__", "clear", "move_to_end", "pop"),
    *("popitem", "setdefault", "update"),
):
    setattr(WatchedDict, _name, _reporting(_name))


class WatchedCookies(Watched, RequestsCookieJar):  # type: ignore[misc] # as in requests itself
    """Cookies; beyond the limits above the ones that servers set longest ago are dropped."""

    _site: Site | None = None
    """The site whose reply is being read."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._order: dict[Key, int] = {}
        """The size of each cookie that a server set, the one set last at the end."""

    def extract_cookies(self, response: Any, request: Any) -> None:
        """Keep the cookies of a reply, and the site that set them."""
        with self._lock:
            known = len(self._order)
            self._site = site_of(request.get_full_url())
            try:
                super().extract_cookies(response, request)
            finally:
                self._site = None
            if len(self._order) > known:
                self._make_room()

    def set_cookie(self, cookie: Cookie, *args: Any, **options: Any) -> None:
        """Keep a cookie; the same again is no change."""
        with self._lock:
            if self._site and not self._is_taken(cookie, self._site):
                return
            before = self._found(key_of(cookie))
            super().set_cookie(cookie, *args, **options)
        if before is None or vars(before) != vars(cookie):
            self.changed()

    def clear(self, domain: str | None = None, path: str | None = None, name: str | None = None) -> None:
        """Drop all, or those of a domain, path and name."""
        CookieJar.clear(self, domain, path, name)
        self.changed()

    def set_policy(self, policy: Any) -> None:
        """Decide anew which cookies are taken and sent."""
        super().set_policy(policy)
        self.changed()

    def expires(self) -> float | None:
        """When the first cookie expires, in seconds of the wall clock."""
        cookies: list[Any] = list(self)
        expires = min((cookie.expires for cookie in cookies if cookie.expires is not None), default=None)
        return None if expires is None else min(expires, LATEST)

    def __getstate__(self) -> dict[str, Any]:
        state: Any = super().__getstate__()
        state.pop("_forgets", None)
        return cast("dict[str, Any]", state)

    @property
    def _lock(self) -> threading.RLock:
        """That of every jar, for threads may share one."""
        return cast("threading.RLock", vars(self)["_cookies_lock"])

    def _found(self, key: Key) -> Cookie | None:
        domain, path, name = key
        kept: Any = vars(self)["_cookies"]
        found: Cookie | None = kept.get(domain, {}).get(path, {}).get(name)
        return found

    def _is_taken(self, cookie: Cookie, site: Site) -> bool:
        size = len(cookie.name) + len(cookie.value or "")
        if size > MAX_COOKIE or _length(vars(cookie).values()) - size > MAX_ATTRIBUTES:
            return False
        set_by(cookie, site)
        if cookie.expires is not None:
            cookie.expires = min(cookie.expires, LATEST)
        key = key_of(cookie)
        # behind all others
        self._order.pop(key, None)
        self._order[key] = size
        return True

    def _make_room(self) -> None:
        """Drop what is beyond the limits, counting from the cookie set last."""
        kept: dict[Key, int] = {}
        of_domain: Counter[str] = Counter()
        bytes_of: Counter[str] = Counter()
        for key, size in reversed(self._order.items()):
            if self._found(key) is None:
                continue
            group = _group(key[0])
            of_domain[group] += 1
            bytes_of[group] += size
            if len(kept) < MAX_COOKIES and of_domain[group] <= MAX_OF_DOMAIN and bytes_of[group] <= MAX_BYTES:
                kept[key] = size
            else:
                self.clear(*key)
        self._order = dict(reversed(kept.items()))


def _length(values: Iterable[Any]) -> int:
    """Characters of all the text in them, and in mappings among them."""
    texts = [value for value in values if isinstance(value, str)]
    inner = [value for value in values if isinstance(value, dict)]
    return sum(map(len, texts)) + sum(_length([*one, *one.values()]) for one in inner)


def _group(domain: str) -> str:
    """What all the domains have in common whose cookies one request may carry."""
    labels = domain.rsplit(".", 2)
    return domain if labels[-1].isdigit() else ".".join(labels[-2:])


_READ: Final = (
    *("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"),
    *("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NETRC", "REQUEST_METHOD"),
)
# the dictionary within, which is compared in 0.1 to 0.3 us; to ask os.environ for each of them takes 6
_variables: Any = getattr(os.environ, "_data", os.environ)
_names: frozenset[Any] = frozenset(
    os.environ.encodekey(name) if _variables is not os.environ else name for name in _READ
)


def environment() -> dict[Any, Any]:
    """What to compare the environment with later: nothing if no variable that `requests` reads is set."""
    return {} if _variables.keys().isdisjoint(_names) else dict(_variables)


def is_as_it_was(before: dict[Any, Any]) -> bool:
    """True if the environment is what it was."""
    return bool(_variables == before) if before else bool(_variables.keys().isdisjoint(_names))
