"""Containers of a session that tell when they are changed, and the part of the environment that `requests` heeds."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable
from http.cookiejar import Cookie, CookieJar
from typing import Any, Final, TypeAlias, cast

from requests.cookies import RequestsCookieJar
from requests.structures import CaseInsensitiveDict

MAX_COOKIES: Final = 3000
"""What browsers keep at least (RFC 6265, 6.1), and we at most: a server may set one more with each reply."""

Forget: TypeAlias = Callable[[], object]


class Watched:
    """What all of them can: `bind` who is told of changes, several if several sessions share it."""

    _told: tuple[Forget, ...] = ()

    def bind(self, forget: Forget) -> None:
        """Call `forget` with each change from now on."""
        if forget not in self._told:
            self._told = (*self._told, forget)

    def changed(self) -> None:
        """Tell of a change."""
        for forget in self._told:
            forget()


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


def _telling(name: str) -> Callable[..., Any]:
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
    setattr(WatchedDict, _name, _telling(_name))


class WatchedCookies(Watched, RequestsCookieJar):  # type: ignore[misc] # as in requests itself
    """Cookies; beyond `MAX_COOKIES` those that were set first are dropped."""

    def set_cookie(self, cookie: Cookie, *args: Any, **options: Any) -> None:
        """Keep a cookie; the same again is no change."""
        before = self._found(cookie)
        super().set_cookie(cookie, *args, **options)
        if before is None or vars(before) != vars(cookie):
            if before is None:
                self._make_room()
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
        """When the first of them does, in seconds of the wall clock."""
        cookies: list[Any] = list(self)
        return min((cookie.expires for cookie in cookies if cookie.expires is not None), default=None)

    def __getstate__(self) -> dict[str, Any]:
        state: Any = super().__getstate__()
        state.pop("_told", None)
        return cast("dict[str, Any]", state)

    def _found(self, cookie: Cookie) -> Cookie | None:
        kept: Any = vars(self)["_cookies"]
        found: Cookie | None = kept.get(cookie.domain, {}).get(cookie.path, {}).get(cookie.name)
        return found

    def _make_room(self) -> None:
        cookies: list[Any] = list(self)
        for surplus in cookies[:-MAX_COOKIES]:
            self.clear(surplus.domain, surplus.path, surplus.name)


_HEEDED: Final = (
    *("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"),
    *("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NETRC", "REQUEST_METHOD"),
)
# the dictionary within, which is compared in 0.1 to 0.3 us; to ask os.environ for each of them takes 6
_variables: Any = getattr(os.environ, "_data", os.environ)
_names: frozenset[Any] = frozenset(
    os.environ.encodekey(name) if _variables is not os.environ else name for name in _HEEDED
)


def environment() -> dict[Any, Any]:
    """What to compare with later: nothing if the environment says nothing of proxies, authorities and passwords."""
    return {} if _variables.keys().isdisjoint(_names) else dict(_variables)


def is_as_it_was(before: dict[Any, Any]) -> bool:
    """Whether the environment says what it said."""
    return bool(_variables == before) if before else bool(_variables.keys().isdisjoint(_names))
