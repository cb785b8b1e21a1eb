"""URLs as a list has them: parsed and normalized, or refused with one sentence that shows no secret."""

from __future__ import annotations

import re
from base64 import b64encode
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import quote, unquote, urljoin

from loadkit.plan.redact import redact_url
from loadkit.wire.base import DEFAULT_PORTS, Origin
from loadkit.wire.resolver import ascii_host

MOST_SHOWN: Final = 20_000
"""Characters that are searched for secrets before a text is shown."""
LONGEST: Final = 1_000_000
LONGEST_HOST: Final = 1_000
"""Characters; more than any name has, and few enough for its encoding, which is slow."""

_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?:(?P<user>[^/?#\\]*)@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^/?#:@\\\s\[\]]*)(?::(?P<port>[0-9]*))?"
    r"(?P<path>/[^?#]*)?(?P<query>\?[^#]*)?(?:#.*)?",
    re.DOTALL,
)
# almost every URL: nothing but perhaps its host has to be quoted or refused; parsed in half the time
_PLAIN = re.compile(
    r"(https?)://([a-z0-9_.-]+)(?::([0-9]+))?(/[!$&'()*+,\-./0-9:;=@A-Z_a-z~]*(?:\?[!$&'()*+,\-./0-9:;=?@A-Z_a-z~]*)?)"
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_HOST = re.compile(r"(?=.{1,253}\.?$)[a-z0-9_](?:[a-z0-9_-]{0,62})(?:\.[a-z0-9_-]{1,63})*\.?")
_SURROGATE = re.compile("[\ud800-\udfff]")
_UNSAFE = re.compile(r"[^!#$%&'()*+,\-./0-9:;=?@A-Z\[\]_a-z~]|%(?![0-9A-Fa-f]{2})")


class InvalidUrl(ValueError):
    """A text is no URL that can be fetched; the message has no secrets."""


class Url(NamedTuple):
    """A normalized URL."""

    origin: Origin
    text: str
    """The URL without fragment and credentials, its odd characters percent-encoded."""
    target: str
    """Path and query, as they go into the request line."""
    host: str
    """The Host header."""
    user: str
    """The name in the URL's credentials, which tells URLs apart."""
    credentials: str
    """The value of an Authorization header, empty if the URL had none."""
    site: str
    """Scheme, host and port as text: a key for the origin, which itself takes 1.5 us to hash."""


def parse_url(text: str) -> Url:
    """Parse and normalize a URL.

    >>> parse_url("HTTP://127.0.0.1:80/a b?q=1#top").text
    'http://127.0.0.1/a%20b?q=1'

    Raises `InvalidUrl`.
    """
    if len(text) > LONGEST:
        raise InvalidUrl(f"a URL of {len(text):,} characters; up to {LONGEST:,} are read")
    try:
        return _parse(text)
    except UnicodeEncodeError as error:
        raise InvalidUrl(f"a URL with {quoted(error.object[error.start])} in it, which is no character") from None


def _parse(text: str) -> Url:
    if plain := _PLAIN.fullmatch(text):
        scheme, name, port, target = plain.groups()
        origin, host, site = _origin(scheme, name, port)
        return Url(origin, site + target, target, host, "", "", site)
    if _CONTROL.search(text):
        raise InvalidUrl("a URL with a control character in it; percent-encode it")
    found = _URL.fullmatch(text)
    if not found:
        raise InvalidUrl(f"{quoted(text)} is no URL; write it like 'http://127.0.0.1:8000/posts/1'")
    origin, host, site = _origin(found["scheme"], found["host"], found["port"])
    target = _UNSAFE.sub(_percent_encoded, (found["path"] or "/") + (found["query"] or ""))
    user, credentials = _credentials(found["user"])
    return Url(origin, site + target, target, host, user, credentials, site)


def redirect_target(base: Url, location: bytes) -> Url:
    """The URL a Location header names, without credentials of its own.

    Raises `InvalidUrl` for what is neither http nor https.
    """
    text = location.decode("utf-8", "surrogateescape").strip()
    if _CONTROL.search(text):  # urljoin would remove them
        raise InvalidUrl("a Location with a control character in it")
    return parse_url(urljoin(base.text, text))._replace(user="", credentials="")


def printable(text: str) -> str:
    """A URL, or what should have been one, as it may be printed anywhere: short, without secrets, in UTF-8."""
    text = text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"
    # masked before it is cut: what names a secret may be in another part
    hidden = redact_url(text) if "@" in text or "?" in text else text
    cut = hidden if len(hidden) <= 300 else f"{hidden[:200]}…{hidden[-60:]}"
    return cut if cut.isascii() else _SURROGATE.sub(_as_escape, cut)


def quoted(text: str) -> str:
    """The same in quotes, for a message of an error."""
    return _SURROGATE.sub(_as_escape, f"{printable(text)!r}").replace("\\\\", "\\")


def _as_escape(found: re.Match[str]) -> str:
    """A byte that is not UTF-8 as `\\xff`, half of a surrogate pair as `\\ud800`."""
    number = ord(found[0])
    return f"\\x{number - 0xDC00:02x}" if 0xDC80 <= number <= 0xDCFF else f"\\u{number:04x}"


@lru_cache(maxsize=4096)
def _origin(scheme: str, name: str, port: str | None) -> tuple[Origin, str, str]:
    scheme = scheme.lower()
    if scheme not in DEFAULT_PORTS:
        raise InvalidUrl(f"the scheme {quoted(scheme)} is not fetched; http and https are")
    host = _host(name)
    number = _port(port) if port else DEFAULT_PORTS[scheme]
    bare = f"[{host}]" if ":" in host else host
    shown_host = bare if number == DEFAULT_PORTS[scheme] else f"{bare}:{number}"
    return Origin(scheme, host, number), shown_host, f"{scheme}://{shown_host}"


def _port(text: str) -> int:
    digits = text.lstrip("0") or "0"
    number = int(digits[:6])
    if not 0 < number < 65536:
        raise InvalidUrl(f"port {digits[:20]}{'…' * (len(digits) > 20)} is not between 1 and 65535")
    return number


def _host(name: str) -> str:
    if len(name) > LONGEST_HOST:
        raise InvalidUrl(f"{quoted(name)} is no host name")
    if name.startswith("["):
        import ipaddress

        try:
            return str(ipaddress.IPv6Address(name[1:-1]))
        except ValueError:
            raise InvalidUrl(f"{quoted(name)} is no IPv6 address") from None
    try:
        host = ascii_host(name.lower())
    except ValueError:
        raise InvalidUrl(f"{quoted(name)} is no host name") from None
    if not _HOST.fullmatch(host):
        raise InvalidUrl(f"{quoted(name)} is no host name" if name else "a URL without a host")
    return host


def _percent_encoded(found: re.Match[str]) -> str:
    return quote(found[0].encode("utf-8", "surrogateescape"), safe="")


def _credentials(user: str | None) -> tuple[str, str]:
    if not user:
        return "", ""
    name, _, password = user.partition(":")
    plain = f"{unquote(name)}:{unquote(password)}".encode("utf-8", "surrogateescape")
    return name, f"Basic {b64encode(plain).decode()}"
