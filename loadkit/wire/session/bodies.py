"""Bodies, parameters and headers of the common calls, as `requests` would send them."""

from __future__ import annotations

import json
from collections.abc import Callable
from json.encoder import encode_basestring_ascii
from typing import Any, Final, TypeAlias, cast

from requests import compat
from requests.models import RequestEncodingMixin

Given: TypeAlias = tuple[Any, ...]
"""What a call was given: if redirects are followed, parameters, headers, timeout, deadline; empty for `DEFAULTS`."""
DEFAULTS: Final = (True, (), (), None, None)
_TIMEOUTS: Final = (type(None), int, float, tuple)

NOTHING, JSON, FORM, RAW = "", "json", "form", "raw"
# simplejson if it is installed, as for requests itself
_complexjson: Any = compat.json  # type: ignore[attr-defined]
_form: Callable[[object], str] = RequestEncodingMixin._encode_params  # type: ignore[attr-defined]


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
