"""The calls of a session that are prepared, for as long as nothing that they were prepared from changes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from requests import compat
from requests.models import RequestEncodingMixin

from loadkit.wire.session.prepared import AddressedCall

if TYPE_CHECKING:
    from collections.abc import Hashable

    from loadkit.wire.session.prepared import PreparedCall

MAX_CALLS: Final = 1024
"""Calls that are kept of each kind; beyond them all are dropped."""

Given: TypeAlias = tuple[Any, ...]
"""What a call was given: if redirects are followed, parameters, headers, timeout, deadline; empty for `DEFAULTS`."""
DEFAULTS: Final = (True, (), (), None, None)
_TIMEOUTS: Final = (type(None), int, float, tuple)

NOTHING, JSON, FORM, RAW = "", "json", "form", "raw"
# simplejson if it is installed, as for requests itself
_complexjson: Any = compat.json  # type: ignore[attr-defined]
_form: Callable[[object], str] = RequestEncodingMixin._encode_params  # type: ignore[attr-defined]

# letters, digits and what is never escaped; no empty part of the path and none that begins with a dot
_SIMPLE: Final = re.compile(
    r"(https?://[a-z0-9][a-z0-9.-]*(?::[1-9]\d*)?)(/|(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)+/?)(\?[A-Za-z0-9_.=&-]+)?"
)


class Calls:
    """The calls that were prepared since the session changed last."""

    __slots__ = ("_is_by_url", "_prepared", "addressed")

    def __init__(self) -> None:
        self.addressed: dict[Hashable, AddressedCall] = {}
        """By what the caller gave: a plain GET by its URL alone."""
        self._prepared: dict[Hashable, PreparedCall] = {}
        """By method, origin, kind of body and options; by the URL in place of the origin if `_is_by_url`."""
        self._is_by_url = False
        """Something of the session depends on the path: a cookie, a parameter or an adapter."""

    def find(
        self, method: str, url: str, kind: str, given: Given, name: str | None, join: Callable[[str], str]
    ) -> AddressedCall | None:
        """The call to a URL, which `join` makes absolute; None if nothing like it was prepared."""
        is_plain = kind == NOTHING and not given and name is None and method == "GET"
        key = url if is_plain else (method, url, kind, given, name)
        found = self.addressed.get(key)
        if found is None:
            full = join(url)
            place, target = self._place(full, given)
            prepared = self._prepared.get((method.upper(), place, kind, given))
            if prepared is None:
                return None
            found = AddressedCall(prepared, full, target, name)
            _store(self.addressed, key, found)
        return found

    def add(self, prepared: PreparedCall, url: str, kind: str, given: Given) -> None:
        """Keep what was prepared for an absolute URL."""
        self._is_by_url = self._is_by_url or not prepared.is_general
        place, _ = self._place(url, given)
        _store(self._prepared, (prepared.request.method, place, kind, given), prepared)

    def _place(self, url: str, given: Given) -> tuple[str, str | None]:
        """What the key of a prepared call has of a URL: the origin, and the target that is put in; or all of it.

        A target is put in if `requests` leaves the URL as it is.
        """
        simple = None if self._is_by_url or (given and given[1]) else _SIMPLE.fullmatch(url)
        return (simple[1], simple[2] + (simple[3] or "")) if simple else (url, None)


class CallCache:
    """The calls of a session."""

    __slots__ = ("__weakref__", "calls")

    def __init__(self) -> None:
        self.calls = Calls()

    def clear(self) -> None:
        """Drop all calls; one that another thread is preparing now is stored in what is dropped, and not found."""
        self.calls = Calls()


def _store(calls: dict[Hashable, Any], key: Hashable, call: Any) -> None:
    if len(calls) >= MAX_CALLS:
        calls.clear()
    calls[key] = call


def body_of(data: Any, value: Any) -> tuple[str | None, Any]:
    """The kind of a body, None for what is left to `requests`, and the body as `requests` would send it."""
    if not data:
        if value is None:
            return NOTHING, None
        body = json_body(value)
        return (None, None) if body is None else (JSON, body)
    if type(data) in (bytes, str):
        return RAW, data
    if type(data) in (dict, list):
        form = _form(data)
        return (FORM, form) if form else (None, None)
    return None, None


def json_body(value: Any) -> bytes | None:
    """The JSON of a body as `requests` would send it; None for what is left to `requests`."""
    try:
        return _json_text(value).encode()
    except ValueError:
        return None


def _encoder() -> Callable[[Any], str]:
    """`JSONEncoder.encode` with one encoder in C, which it makes anew for each value: 0.6 us against 1.4."""
    slow = _complexjson.JSONEncoder(allow_nan=False)
    make: Any = getattr(json.encoder, "c_make_encoder", None)
    if _complexjson is not json or make is None:
        return cast("Callable[[Any], str]", slow.encode)
    # no dictionary to find circular references with, for threads cannot share one
    fast = make(None, slow.default, encode_basestring_ascii, None, ": ", ", ", False, False, False)

    def encode(value: Any) -> str:
        try:
            return "".join(fast(value, 0))
        except RecursionError:
            return cast(str, slow.encode(value))

    return encode


_json_text: Final = _encoder()


def options_of(params: Any, headers: Any, timeout: Any, follow: bool, deadline: Any) -> Given | None:
    """Options of a call as a part of a key, empty for none; None if they could look the same and not be."""
    if follow and timeout is None and deadline is None and not (params or headers):
        return ()
    params, headers = _frozen(params), _frozen(headers)
    if params is None or headers is None or type(timeout) not in _TIMEOUTS:
        return None
    return follow, params, headers, timeout, deadline


def _frozen(mapping: Any) -> tuple[Any, ...] | None:
    if not mapping:
        return ()
    if type(mapping) is str:
        return (mapping,)
    if type(mapping) is not dict:
        return None
    items = tuple(mapping.items())
    if all(type(name) is str and type(value) in (str, int) for name, value in items):
        return items
    return None
