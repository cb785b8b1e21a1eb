"""One kind of request, and what makes its reply a good one."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar
from urllib.parse import urlsplit

from loadkit.plan.data import Rows
from loadkit.plan.errors import UsageError, unknown
from loadkit.plan.placeholders import check_fed
from loadkit.plan.redact import masked_url, told
from loadkit.plan.units import Duration, seconds

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY"})
Values = TypeVar("Values", bound="Any")

SCHEMES = ("http", "https", "http+unix")

Expect: TypeAlias = int | str | Iterable[int]
"""Statuses that are good: `200`, `(200, 404)`, `"2xx"` or `"200-299"`."""

GOOD = frozenset(range(200, 400))

_UNSAFE = re.compile(r"[\x00-\x20\x7f]")
_CLASS = re.compile(r"([1-5])xx", re.IGNORECASE)
_SPAN = re.compile(r"([0-9]{3})\s*-\s*([0-9]{3})")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One kind of request.

    >>> Endpoint("POST", "/orders", json={"sku": "tea"}, expect=201).label
    'POST /orders'

    Args:
        method: an HTTP method, in any case.
        path: a path to join to the scenario's `base_url`, or a full URL.
        params, headers, json, data, files, auth: as `requests` takes them.
        expect: the statuses of a good reply; any from 200 to 399 if not said.
        check: called with each reply, a `requests.Response`; what it raises fails the request, and an
            `assert` is reported with its values.
        weight: the share of the scenario's requests, against the other endpoints' weights.
        threads: threads of its own, beside those that the scenario's endpoints share.
        timeout: the deadline of one request in all, from the start of connecting or sending to its last byte.
        feed: rows of data (`loadkit.rows`): each request takes the next and puts its columns where the path, `params`,
            `headers`, `json`, `data` and `files` name them, as in `/users/{id}`. `{{id}}` is the text `{id}`.
        name: the label in reports; method and path if not said.

    Raises `UsageError` for a value it cannot use, when it is made. A redirect is a reply like any other:
    it is not followed.
    """

    method: str
    path: str = ""
    _: dataclasses.KW_ONLY
    params: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    json: Any = None
    data: Any = None
    files: Any = None
    auth: Any = field(default=None, repr=False)
    expect: Expect | None = None
    check: Callable[[Any], object] | None = None
    weight: float = 1
    threads: int | None = None
    timeout: Duration | None = None
    feed: Rows | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        keep = object.__setattr__
        if self.path == "" and "/" in str(self.method):
            raise UsageError(f"an endpoint takes a method and a path, like Endpoint('GET', {self.method!r})")
        keep(self, "method", _method(self.method))
        keep(self, "path", target(self.path, what="path"))
        keep(self, "headers", headers(self.headers))
        keep(self, "expect", None if self.expect is None else statuses(self.expect))
        if self.timeout is not None:
            keep(self, "timeout", positive_seconds(self.timeout, what="timeout"))
        label(self.name)
        _one_body(self)
        check_share(self)
        if self.check is not None and not callable(self.check):
            raise UsageError(f"check takes a function of the reply, not {self.check!r}")
        _check_feed(self)

    def __repr__(self) -> str:
        return told(self)

    @property
    def label(self) -> str:
        """The name of its row in reports: the query is left out, and so is a password in the URL."""
        return self.name or f"{self.method} {bare(self.path)}"

    @property
    def good(self) -> frozenset[int]:
        """The statuses of a good reply."""
        return GOOD if self.expect is None else statuses(self.expect)

    def replace(self, **changes: Any) -> Endpoint:
        """The same endpoint with some fields changed."""
        return replace(self, changes)


def replace(value: Values, changes: Mapping[str, Any]) -> Values:
    """`dataclasses.replace` that names the fields there are when one is asked for that is not."""
    known = [f.name for f in dataclasses.fields(value) if not f.name.startswith("_")]
    for name in changes:
        if name not in known:
            raise UsageError(unknown(type(value).__name__, name, known))
    changed: Values = dataclasses.replace(value, **changes)
    return changed


def bare(url: str) -> str:
    """A URL or path without query, fragment, user and password: fit to be shown."""
    if url.startswith("/"):  # urlsplit would take the x of //x/y for a host
        return re.split(r"[?#]", url, maxsplit=1)[0]
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path or '/'}" if host else parts.path


def target(url: object, *, what: str) -> str:
    """Accept an absolute path or a full URL.

    Raises `UsageError` when it is neither, or would smuggle a line into the request.
    """
    if not isinstance(url, str) or not url:
        raise UsageError(f"{what} takes a path like '/search' or a URL like 'http://127.0.0.1:8000/', not {url!r}")
    if _UNSAFE.search(url):
        raise UsageError(f"{what} {masked_url(url)!r} holds a space or control character; percent-encode it")
    if "://" not in url and not url.startswith("/"):
        shown = masked_url(url)
        raise UsageError(f"{what} {shown!r} is neither a path like '/{shown}' nor a URL like 'http://{shown}'")
    return url if url.startswith("/") else full_url(url, what=what)


def full_url(url: object, *, what: str) -> str:
    """Accept a URL with a scheme loadkit speaks and a host.

    Raises `UsageError` for everything else.
    """
    if not isinstance(url, str) or not url:
        raise UsageError(f"{what} takes a URL like 'http://127.0.0.1:8000', not {url!r}")
    shown = masked_url(url)
    if _UNSAFE.search(url):
        raise UsageError(f"{what} {shown!r} holds a space or control character; percent-encode it")
    scheme, separator, rest = url.partition("://")
    if not separator:
        raise UsageError(f"{what} {shown!r} has no scheme; write it like 'http://{shown.lstrip('/')}'")
    if scheme.lower() not in SCHEMES:
        raise UsageError(f"{what} {shown!r} has the scheme {scheme!r}; loadkit speaks {', '.join(SCHEMES)}")
    try:
        _, host = urlsplit(url).port, urlsplit(url).hostname
    except ValueError as error:
        # the reason quotes the port, which is a password where the host is missing
        raise UsageError(f"{what} {shown!r} is not a URL: {str(error).partition(' as ')[0]}") from None
    if not host or rest.startswith("/"):
        right = "http+unix://%2Ftmp%2Fapp.sock/" if scheme.lower() == "http+unix" else "http://127.0.0.1:8000/"
        raise UsageError(f"{what} {shown!r} names no host; write it like {right!r}")
    return url


def headers(given: object) -> dict[str, str]:
    """Accept header names and values that cannot end their line.

    Raises `UsageError` naming the header; never its value, which may be a secret.
    """
    if not isinstance(given, Mapping):
        raise UsageError(f"headers takes a mapping like {{'Accept': 'text/html'}}, not {type(given).__name__}")
    for name, value in given.items():
        if not isinstance(name, str) or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
            raise UsageError(f"{name!r} is not a header name")
        if not isinstance(value, str) or re.search(r"[\r\n\x00]", value):
            raise UsageError(f"the header {name!r} takes a string without line breaks")
    return dict(given)


def statuses(expect: Expect) -> frozenset[int]:
    """Read the statuses of a good reply.

    >>> sorted(statuses((200, 404))), len(statuses("2xx"))
    ([200, 404], 100)

    Raises `UsageError` for anything that is not a status, several, a class or a span.
    """
    found = _statuses(expect)
    if not found or not all(isinstance(code, int) and 100 <= code <= 599 for code in found):
        raise UsageError(f"cannot read the expected status {expect!r}; write 200, (200, 404), '2xx' or '200-299'")
    return found


def _statuses(expect: object) -> frozenset[int]:
    if isinstance(expect, int):
        return frozenset({expect})
    if isinstance(expect, str):
        if found := _CLASS.fullmatch(expect):
            return frozenset(range(int(found[1]) * 100, int(found[1]) * 100 + 100))
        if found := _SPAN.fullmatch(expect):
            return frozenset(range(int(found[1]), int(found[2]) + 1))
        return frozenset({int(expect)}) if expect.isdecimal() else frozenset()
    try:
        return frozenset(expect) if isinstance(expect, Iterable) else frozenset()
    except TypeError:  # a list in a list
        return frozenset()


def label(name: object) -> None:
    """Accept a name for reports, or None; `UsageError` for others."""
    if name is not None and (not isinstance(name, str) or not name.strip()):
        raise UsageError(f"name takes text like 'search', not {name!r}")


def positive_seconds(value: Duration, *, what: str) -> float:
    """A span of time that is more than nothing; `UsageError` for others."""
    span = seconds(value, what=what)
    if not span:
        raise UsageError(f"{what} must be more than 0, not {value!r}")
    return span


def whole(value: object, *, what: str, least: int = 1) -> int:
    """A whole number of at least `least`; `UsageError` for others."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise UsageError(f"{what} takes a whole number of at least {least}, not {value!r}")
    return value


def _method(method: object) -> str:
    name = method.upper() if isinstance(method, str) else None
    if name not in METHODS:
        raise UsageError(f"{method!r} is not an HTTP method; use one of {', '.join(sorted(METHODS))}")
    return name


def _one_body(endpoint: Endpoint) -> None:
    if endpoint.json is not None and (endpoint.data is not None or endpoint.files is not None):
        raise UsageError(f"{endpoint.label} has json beside data or files; a request has one body")
    if endpoint.data is not None and not isinstance(endpoint.data, str | bytes | Mapping | list | tuple):
        raise UsageError(
            f"{endpoint.label} has data of type {type(endpoint.data).__name__}; it is sent many times, "
            "so give text, bytes, a mapping or pairs"
        )


def _check_feed(endpoint: Endpoint) -> None:
    if endpoint.feed is None:
        return
    if not isinstance(endpoint.feed, Rows):
        kind = type(endpoint.feed).__name__
        raise UsageError(f"feed takes rows like rows('users.csv'), not {kind}; write feed=rows(…)")
    check_fed(endpoint)


def check_share(one: Any) -> None:
    """Accept the weight and the threads of an endpoint or journey; `UsageError` for others."""
    weight = one.weight
    if not isinstance(weight, int | float) or isinstance(weight, bool) or not 0 < weight < float("inf"):
        raise UsageError(f"weight takes a number above 0, not {weight!r}")
    if one.threads is not None:
        whole(one.threads, what="threads")
