"""An endpoint as bytes: `requests` prepares it (query, bodies, authentication), and it is written out once."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from loadkit._version import __version__
from loadkit.plan.errors import UsageError, raised
from loadkit.plan.placeholders import plain, plain_headers
from loadkit.plan.redact import redact_message
from loadkit.plan.units import nanoseconds
from loadkit.plan.urls import strip_url
from loadkit.wire.base import DEFAULT_PORTS, Origin, Request
from loadkit.wire.failed_reply import KEPT
from loadkit.wire.resolver import ascii_host

if TYPE_CHECKING:
    from requests import PreparedRequest

    from loadkit.plan.endpoint import Endpoint
    from loadkit.plan.scenario import Scenario

# what a method may not have in it (RFC 9110, 5.6.2)
_NOT_OF_A_TOKEN: Final = re.compile(r"[^-!#$%&'*+.^_`|~0-9A-Za-z]")


def encode(endpoint: Endpoint, scenario: Scenario, *, is_filled: bool = False, keep: int | None = None) -> Request:
    """Make the request an endpoint describes, ready to be sent.

    `is_filled` says that a row was put in, and that braces are text now; `keep` is how many bytes of a body are kept
    that no check looks at. Raises `UsageError` for what `requests` cannot prepare.
    """
    if endpoint.feed is None and not is_filled:
        endpoint = endpoint.replace(**plain(endpoint))
    url = _joined(scenario.base_url, endpoint.path)
    origin, address = origin_of(url)
    prepared = _prepare(endpoint, scenario, address)
    assert prepared.url
    parts = urlsplit(prepared.url)
    path = _path_as_is(url) if endpoint.path_as_is else parts.path or "/"
    target = path + (f"?{parts.query}" if parts.query else "")
    timeout = endpoint.timeout if endpoint.timeout is not None else scenario.timeout
    assert isinstance(timeout, float)
    return Request(
        origin=origin,
        method=endpoint.method,
        url=strip_url(url),
        payload=_message(endpoint.method, target, host_of(origin, parts.hostname or origin.host), prepared),
        timeout=nanoseconds(timeout),
        keep=_keep(endpoint, scenario, keep),
        follows=endpoint.follow,
    )


def _keep(endpoint: Endpoint, scenario: Scenario, least: int | None) -> int | None:
    if endpoint.check is not None:
        assert not isinstance(scenario.body_limit, str)
        return scenario.body_limit
    # where a redirect leads is in its head, which is kept with a body
    return KEPT if least is None and endpoint.follow else least


def _path_as_is(url: str) -> str:
    """The path of a URL in UTF-8, as it is written: with `..`, and with what `requests` would encode otherwise."""
    return (urlsplit(url).path or "/").encode().decode("latin-1")


def origin_of(url: str) -> tuple[Origin, str]:
    """Where a URL's connections go, and the URL as `requests` may see it (unix sockets are not its business).

    Raises `UsageError` for what cannot be a host name.
    """
    parts = urlsplit(url)
    if parts.scheme == "http+unix":
        path = unquote(parts.netloc)
        return Origin("http", "localhost", 80, unix=path), parts._replace(scheme="http", netloc="localhost").geturl()
    assert parts.hostname
    port = DEFAULT_PORTS[parts.scheme] if parts.port is None else parts.port
    return Origin(parts.scheme, _host(parts.hostname), port), url


def _host(name: str) -> str:
    try:
        return ascii_host(name)
    except ValueError as error:
        raise UsageError(f"cannot resolve the host {error}") from None


def _joined(base_url: str | None, path: str) -> str:
    if not path.startswith("/"):
        return path
    assert base_url, "a scenario with relative paths has a base_url"
    return base_url.rstrip("/") + path


def _prepare(endpoint: Endpoint, scenario: Scenario, url: str) -> PreparedRequest:
    import requests

    defaults = {
        "User-Agent": f"loadkit/{__version__}",
        "Accept": "*/*",
        "Accept-Encoding": "gzip, deflate",
    }
    try:
        return requests.Request(
            endpoint.method,
            url,
            headers=merge_headers(defaults, plain_headers(scenario.headers), dict(endpoint.headers)),
            params=endpoint.params,
            json=endpoint.json,
            data=endpoint.data,
            files=endpoint.files,
            auth=_signing(endpoint.auth) if callable(endpoint.auth) else endpoint.auth,
        ).prepare()
    except (requests.RequestException, ValueError, TypeError, AttributeError, _AuthError) as error:
        raise UsageError(f"cannot make a request of {endpoint.label}: {redact_message(str(error))}") from error


class _AuthError(Exception):
    """The `auth` of an endpoint raised; the message says what, and where."""


def _signing(auth: Callable[[PreparedRequest], PreparedRequest]) -> Callable[[PreparedRequest], PreparedRequest]:
    """An `auth` of the user's whose exceptions can be told from those of `requests`."""

    def sign(prepared: PreparedRequest) -> PreparedRequest:
        try:
            return auth(prepared)
        except (Exception, SystemExit) as error:
            raise _AuthError(f"auth raised {raised(error)}") from error

    return sign


def merge_headers(*layers: Mapping[str, str]) -> dict[str, str]:
    """Headers with later layers winning, whatever the case of their names."""
    found: dict[str, tuple[str, str]] = {}
    for layer in layers:
        found.update({name.lower(): (name, value) for name, value in layer.items()})
    return dict(found.values())


def _message(method: str, path: str, host: str, prepared: PreparedRequest) -> bytes:
    body = prepared.body or b""
    content = body.encode() if isinstance(body, str) else body
    if not isinstance(content, bytes):
        raise UsageError(f"a body is sent many times, so give text or bytes, not {type(body).__name__}")
    try:
        return message(method, path, host, prepared.headers, content)
    except ValueError as error:
        raise UsageError(redact_message(str(error))) from None


_WITHOUT_BODY: Final = frozenset({"GET", "HEAD", "DELETE", "TRACE", "OPTIONS", "CONNECT"})
"""Methods of requests that carry no body unless one is given (RFC 9110, section 8.6)."""


def message(method: str, path: str, host: str, headers: Mapping[str, str], content: bytes) -> bytes:
    """The bytes of a request; raises `ValueError` for what would break its head."""
    if _NOT_OF_A_TOKEN.search(method):
        raise ValueError(f"cannot use {method!r} as a method; it is one word, like 'GET'")
    lines = [f"{method} {path} HTTP/1.1"]
    named = {_text(name).lower() for name in headers}
    if "host" not in named:
        lines.append(f"Host: {host}")
    lines.extend(f"{_text(name)}: {_text(value)}" for name, value in headers.items())
    if method not in _WITHOUT_BODY and not content and named.isdisjoint({"content-length", "transfer-encoding"}):
        # what a redirect took the body from: without it a server would have to guess that none comes
        lines.append("Content-Length: 0")
    text = "\r\n".join([*lines, "", ""])
    # what an `auth` of the user's own puts in is seen by nobody before
    if any(set(line) & set("\r\n\0") for line in lines):
        raise ValueError(f"{method} {path!r} would carry a line break into its head")
    try:
        return text.encode("latin-1") + content
    except UnicodeEncodeError as error:
        raise ValueError(f"{method} {path!r} has a header that is not latin-1: {error.object[error.start]!r}") from None


def host_of(origin: Origin, name: str) -> str:
    """The Host header as `requests` sends it: the name as it prepared it, the port if it is not the scheme's own."""
    shown = f"[{name}]" if ":" in name else name
    return shown if origin.port == DEFAULT_PORTS[origin.scheme] else f"{shown}:{origin.port}"


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
