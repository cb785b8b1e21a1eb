"""Where a redirect may lead, and what goes along: nothing that may be a credential to another host, port or scheme."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from http.cookiejar import Cookie
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from requests.auth import AuthBase
from requests.cookies import RequestsCookieJar
from requests.exceptions import InvalidSchema, InvalidURL

from loadkit.plan.redact import redact_url
from loadkit.wire.base import DEFAULT_PORTS, HARMLESS, OF_BODY
from loadkit.wire.resolver import ascii_host
from loadkit.wire.session.call import Call, Chain

if TYPE_CHECKING:
    from requests import PreparedRequest

_LONGEST: Final = 200
_MASKED: Final = 20_000
"""Characters of a Location header that are masked for a message."""
# what requests has made for this very request: for the proxy, from the jar, for a body
_REBUILT: Final = frozenset({"proxy-authorization", "cookie", "transfer-encoding"})


class Site(NamedTuple):
    """Scheme, host and port, or the path of a unix socket as the host."""

    scheme: str
    host: str
    port: int


def site_of(url: str) -> Site:
    """The site of a URL; raises `ValueError` for what is no URL."""
    parts = urlsplit(url)
    if parts.scheme == "http+unix":
        return Site(parts.scheme, unquote(parts.netloc), 0)
    port = parts.port
    return Site(parts.scheme, parts.hostname or "", DEFAULT_PORTS.get(parts.scheme, 0) if port is None else port)


def redirect_target(here: str, location: str, request: Any) -> str:
    """Where a Location header leads from a URL: http or https, or what is at the same unix socket.

    Raises `InvalidURL` or `InvalidSchema`.
    """
    try:
        text = _readable(location)
        there = urlsplit(text)
        _ = there.port
        if (there.netloc or text.partition(":")[2 if there.scheme else 0].startswith("//")) and not there.hostname:
            raise ValueError("it names no host")  # noqa: TRY301 - one sentence for all
        text = _with_ascii_host(text, there)
    except ValueError as error:
        raise _no_url(location, error, request) from None
    if (there.scheme or urlsplit(here).scheme) != "http+unix":
        return text
    if there.scheme and not there.netloc:
        raise _unfollowed(location, request)
    return _joined_as_http(here, text)


def check_scheme(url: str, here: str, request: Any) -> None:
    """Raise `InvalidSchema` for what is neither http nor https nor at the place that leads there.

    It is the URL as it will be asked that is looked at: `requests` decodes and joins what a server says.
    """
    try:
        is_followed = urlsplit(url).scheme in DEFAULT_PORTS or site_of(url) == site_of(here)
    except ValueError as error:
        raise _no_url(url, error, request) from None
    if not is_followed:
        raise _unfollowed(url, request)


def _no_url(location: str, why: ValueError, request: Any) -> InvalidURL:
    return InvalidURL(f"a redirect leads to {_shown(location)}, which is no URL: {why}", request=request)


def _unfollowed(location: str, request: Any) -> InvalidSchema:
    return InvalidSchema(f"a redirect leads to {_shown(location)}; http and https are followed", request=request)


def _readable(location: str) -> str:
    """A Location header as browsers read it: as UTF-8, other bytes percent-encoded."""
    raw = location.encode("latin-1")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return re.sub(rb"[\x80-\xff]", lambda found: b"%%%02X" % found[0][0], raw).decode()


def _with_ascii_host(text: str, parts: SplitResult) -> str:
    name = parts.hostname or ""
    if name.isascii():
        return text
    user, at, place = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user}{at}{ascii_host(name)}{place[len(name) :]}").geturl()


def _joined_as_http(here: str, text: str) -> str:
    """Join as `urljoin` does, which does not know the scheme of unix sockets."""
    base = here[here.index(":") :]
    return "http+unix" + urljoin(f"http{base}", re.sub(r"(?i)^http\+unix:", "http:", text))[4:]


def _shown(location: str) -> str:
    # masked before it is cut, for the end of a URL may show which part of it is secret
    return repr(redact_url(location[:_MASKED])[:_LONGEST])


def followed(hops: Iterator[Any], call: Call, first: PreparedRequest, *, is_lenient: bool) -> Iterator[Any]:
    """The same `hops`, their chain known to the call; `is_lenient` ends them at a place that is not followed."""
    before, call.chain = call.chain, call.chain or Chain(first)
    try:
        with suppress(*((InvalidURL, InvalidSchema) if is_lenient else ())):
            yield from hops
    finally:
        call.chain = before


def strip_credentials(request: PreparedRequest, chain: Chain, kept: RequestsCookieJar) -> None:
    """Take from the next request of a chain what may not go along, and what no jar has kept.

    `kept` are the cookies of the session.
    """
    home, there = _site(chain.first), _site(request)
    chain.was_away = chain.was_away or there is None or there != home
    if chain.was_away:
        _take_headers(request)
    _take_cookies(request, chain.first, kept, home if chain.was_away else None, there)


def _site(request: PreparedRequest) -> Site | None:
    try:
        return site_of(request.url or "")
    except ValueError:
        return None


def _take_headers(request: PreparedRequest) -> None:
    along = HARMLESS | _REBUILT | (OF_BODY if request.body is not None else frozenset())
    for name in [name for name in request.headers if _lower(name) not in along]:
        del request.headers[name]
    # a digest of the password would be sent to any host that asks for one
    hooks: Any = request.hooks.get("response", [])
    left = [hook for hook in hooks if not isinstance(getattr(hook, "__self__", None), AuthBase)]
    request.hooks = {**request.hooks, "response": left}


def _lower(name: str | bytes) -> str:
    return (name.decode("latin-1") if isinstance(name, bytes) else name).lower()


def _take_cookies(request: Any, first: Any, kept: RequestsCookieJar, home: Site | None, there: Site | None) -> None:
    jar: Any = request._cookies
    known = {key_of(cookie) for those in (first._cookies, kept) for cookie in those or ()}
    left = RequestsCookieJar()
    for cookie in jar:
        if key_of(cookie) in known and (home is None or (there is not None and _goes_along(cookie, home, there))):
            left.set_cookie(cookie)
    if len(left) < len(jar):
        request._cookies = left
        request.headers.pop("Cookie", None)
        request.prepare_cookies(left)


def key_of(cookie: Cookie) -> tuple[str, str, str]:
    """The key of a cookie in a jar: domain, path and name."""
    return cookie.domain, cookie.path, cookie.name


def _goes_along(cookie: Cookie, home: Site, there: Site) -> bool:
    """True if a cookie may be sent to `there`: that site set it, or another host did for the domain of both."""
    setter = setter_of(cookie)
    if setter is None:
        return there == home or (bool(cookie.domain) and there.host != home.host)
    return setter == there or (setter.host != there.host and (setter.scheme, there.scheme) != ("https", "http"))


def set_by(cookie: Cookie, site: Site) -> None:
    """Store the site whose reply set a cookie, which has neither port nor scheme itself."""
    vars(cookie)["_setter"] = site


def setter_of(cookie: Cookie) -> Site | None:
    """The site whose reply set a cookie, None if the user did."""
    setter: Site | None = vars(cookie).get("_setter")
    return setter
