"""One kind of request, and what makes its reply a good one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Unpack

from loadkit.plan.data import Rows
from loadkit.plan.errors import UsageError
from loadkit.plan.fields import (
    Expect,
    check_headers,
    check_name,
    check_share,
    parse_positive_seconds,
    parse_statuses,
    replace_fields,
)
from loadkit.plan.placeholders import check_fed
from loadkit.plan.redact import redacted_repr
from loadkit.plan.units import Duration
from loadkit.plan.urls import check_target, strip_url

if TYPE_CHECKING:
    from loadkit.plan.keywords import EndpointFields

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY"})


GOOD = frozenset(range(200, 400))


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
        follow: follow redirects, 30 at most: each hop has a row of its own, which is in no total, and the endpoint's
            response time is until the last reply, whose status and check count. Credentials stay with host, port and
            scheme; cookies are not kept. Without it a redirect is a reply like any other.
        path_as_is: send the path as it is written, `..` and all.

    Raises `UsageError` for a value it cannot use, when it is made.
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
    follow: bool = False
    path_as_is: bool = False

    def __post_init__(self) -> None:
        keep = object.__setattr__
        if self.path == "" and "/" in str(self.method):
            raise UsageError(f"an endpoint takes a method and a path, like Endpoint('GET', {self.method!r})")
        keep(self, "method", parse_method(self.method))
        keep(self, "path", check_target(self.path, what="path"))
        keep(self, "headers", check_headers(self.headers))
        keep(self, "expect", None if self.expect is None else parse_statuses(self.expect))
        if self.timeout is not None:
            keep(self, "timeout", parse_positive_seconds(self.timeout, what="timeout"))
        check_name(self.name)
        _one_body(self)
        check_share(self)
        if self.check is not None and not callable(self.check):
            raise UsageError(f"check takes a function of the reply, not {self.check!r}")
        _check_feed(self)

    def __repr__(self) -> str:
        return redacted_repr(self)

    @property
    def label(self) -> str:
        """The name of its row in reports: the query is left out, and so is a password in the URL."""
        return self.name or f"{self.method} {strip_url(self.path)}"

    @property
    def good(self) -> frozenset[int]:
        """The statuses of a good reply."""
        return GOOD if self.expect is None else parse_statuses(self.expect)

    def replace(self, **changes: Unpack[EndpointFields]) -> Endpoint:
        """The same endpoint with some fields changed."""
        return replace_fields(self, changes)


def parse_method(method: object) -> str:
    """An HTTP method in capitals; raises `UsageError` for anything else."""
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
