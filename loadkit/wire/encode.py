"""An endpoint as bytes: `requests` prepares it (query, bodies, authentication), and it is written out once."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import loadkit
from loadkit.plan.endpoint import bare
from loadkit.plan.errors import UsageError
from loadkit.plan.units import nanoseconds
from loadkit.wire.base import Origin, Request

if TYPE_CHECKING:
    from requests import PreparedRequest

    from loadkit.plan.endpoint import Endpoint
    from loadkit.plan.scenario import Scenario

DEFAULT_PORTS = {"http": 80, "https": 443}


def encode(endpoint: Endpoint, scenario: Scenario) -> Request:
    """Make the request an endpoint describes, ready to be sent.

    Raises `UsageError` for what `requests` cannot prepare.
    """
    url = _joined(scenario.base_url, endpoint.path)
    origin, address = origin_of(url)
    prepared = _prepare(endpoint, scenario, address)
    assert prepared.url
    parts = urlsplit(prepared.url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    timeout = endpoint.timeout if endpoint.timeout is not None else scenario.timeout
    keep = scenario.body_limit if endpoint.check is not None else 0
    assert isinstance(timeout, float)
    assert isinstance(keep, int)
    return Request(
        origin=origin,
        method=endpoint.method,
        url=bare(url),
        payload=_message(endpoint.method, path, parts.netloc.rpartition("@")[2], prepared),
        prepared=prepared,
        timeout=nanoseconds(timeout),
        keep=keep,
    )


def origin_of(url: str) -> tuple[Origin, str]:
    """Where a URL's connections go, and the URL as `requests` may see it (unix sockets are not its business).

    Raises `UsageError` when it has a scheme that cannot be spoken.
    """
    parts = urlsplit(url)
    if parts.scheme == "http+unix":
        path = unquote(parts.netloc)
        return Origin("http", "localhost", 80, unix=path), parts._replace(scheme="http", netloc="localhost").geturl()
    assert parts.hostname
    return Origin(parts.scheme, parts.hostname, parts.port or DEFAULT_PORTS[parts.scheme]), url


def _joined(base_url: str | None, path: str) -> str:
    if not path.startswith("/"):
        return path
    assert base_url, "a scenario with relative paths has a base_url"
    return base_url.rstrip("/") + path


def _prepare(endpoint: Endpoint, scenario: Scenario, url: str) -> PreparedRequest:
    import requests

    defaults = {
        "User-Agent": f"loadkit/{loadkit.__version__}",
        "Accept": "*/*",
        "Accept-Encoding": "gzip, deflate",
    }
    try:
        return requests.Request(
            endpoint.method,
            url,
            headers=_merged(defaults, scenario.headers, dict(endpoint.headers)),
            params=endpoint.params,
            json=endpoint.json,
            data=endpoint.data,
            files=endpoint.files,
            auth=endpoint.auth,
        ).prepare()
    except (requests.RequestException, ValueError, TypeError, AttributeError) as error:
        raise UsageError(f"cannot make a request of {endpoint.label}: {error}") from error


def _merged(*layers: dict[str, str]) -> dict[str, str]:
    """Headers with later layers winning, whatever the case of their names."""
    found: dict[str, tuple[str, str]] = {}
    for layer in layers:
        found.update({name.lower(): (name, value) for name, value in layer.items()})
    return dict(found.values())


def _message(method: str, path: str, host: str, prepared: PreparedRequest) -> bytes:
    lines = [f"{method} {path} HTTP/1.1"]
    if "Host" not in prepared.headers:
        lines.append(f"Host: {host}")
    body = prepared.body or b""
    content = body.encode() if isinstance(body, str) else body
    if not isinstance(content, bytes):
        raise UsageError(f"a body is sent many times, so give text or bytes, not {type(body).__name__}")
    lines.extend(f"{_text(name)}: {_text(value)}" for name, value in prepared.headers.items())
    head = "\r\n".join([*lines, "", ""]).encode("latin-1")
    if head.count(b"\n") != len(lines) + 1 or b"\x00" in head:
        raise UsageError(f"{method} {path!r} would carry a line break into its head")
    return head + content


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
