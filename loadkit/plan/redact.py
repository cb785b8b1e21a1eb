"""Values as they may be shown: a repr or a message goes to logs, and what is secret stays out of it.

What the user wrote is masked by its name (`token=…`). In the message of an exception it is the place that counts: a
header, and each value of a query but the few that have a harmless name.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

HIDDEN = "***"

MAX_REMEMBERED = 500
"""Characters of a message that is worth remembering."""

_SECRET_WORD = re.compile(
    "passphrase|passcode|pw|credentials?|auth|oauth2?|authorization|authentication|"
    "bearer|jwt|t?otp|hmac|signature|cookies|session|assertion|"
    r"\w*(?:token|secret|password|passwd|pwd|cookie|sessionid|sessid|(?:api|access|auth|private|secret)key)"
)
"""A name is that of a secret if one of its words is one of these, `csrftoken` among them."""
_SECRET_END = re.compile("key|pass|sid|sig")
"""Or if its last word is one of these."""
_SECRET_NAME = re.compile("code|sas|pin|private|ticket|nonce|refresh|samlresponse|samlrequest")
"""Or if it is one of these."""
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")

_HARMLESS = re.compile(
    "q|query|search|page|per_page|page_size|size|limit|offset|count|sort|order|fields|format|lang|locale|id|n"
)
"""Names of values of a query that are shown."""

# a password may hold what ends a host, unless what it begins with can be a port
_USERINFO = re.compile(r"(?<=://)(?:[^/?#]{0,2000}@|(?!\[)[^/?#:@]{0,2000}:(?![0-9]*(?:[/?#]|$)).{0,2000}@)", re.DOTALL)
_PAIR = re.compile(r"(?P<name>(?:^|(?<=[?&;#]))[^=?&;#\s]+)=(?P<value>[^&;#\s]+)")

_SUSPECT = re.compile(r"[=@?]|earer|asic|port|header|parse|://", re.IGNORECASE)
_URL_USER = re.compile(r"(?<=://)(?:[^\s/?#]{0,2000}@|(?!\[)[^\s/?#:@]{0,2000}:(?![0-9]*(?:[/?#\s]|$))\S{0,2000}@)")
_BARE_USER = re.compile(r"(?<![^\s'\"(])[\w.+%-]{1,200}:(?!//|[0-9]*[/?#])[^\s'\"]{1,2000}@")
# a host with a port that is none may be a user with a password
_NO_PORT = re.compile(
    r"(?:(?<=://)|(?<=parse: )|(?<=parse: '))"
    r"[^\s/?#:@'\"\[]{1,200}:(?![0-9]*(?:[\s/?#'\",]|$))[^\s/?#'\"]{1,2000}"
)
_QUERY = re.compile(r"(?<=[?&;#])(?P<name>[^\s=?&;#'\"]{1,200})(?:=(?P<value>[^\s&;#]*))?")
_NAMED = re.compile(r"(?<![\w%.?&;#-])(?P<name>[\w%.-]{1,200})=(?P<value>[^\s&;#,]+)")
_SCHEME = re.compile(r"\b(Bearer|Basic)\s+[\w+/=.~-]+", re.IGNORECASE)
_QUOTED = re.compile(
    r"(?i:(?<=header )(?:value|part|name)|(?<=port)\b)[^'\"]{0,60}(?P<quote>['\"]).*(?P=quote)", re.DOTALL
)


def redact(value: Any) -> Any:
    """The same without passwords in URLs, and without the values of what is named like a secret.

    >>> redact("http://me:pw@host/?q=tea&token=abc"), redact({"user": "me", "password": "pw"})
    ('http://***@host/?q=tea&token=***', {'user': 'me', 'password': '***'})
    """
    if isinstance(value, str):
        return _PAIR.sub(_by_name, _USERINFO.sub(f"{HIDDEN}@", value))
    if isinstance(value, Mapping):
        return {name: HIDDEN if is_secret(name) else redact(one) for name, one in value.items()}
    if isinstance(value, tuple) and len(value) == 2 and is_secret(value[0]):
        return value[0], HIDDEN
    if isinstance(value, list | tuple):
        return type(value)(map(redact, value)) if type(value) in (list, tuple) else value
    return value


def redact_url(text: str) -> str:
    """A URL, perhaps without a scheme, without its secrets.

    >>> redact_url("me:pw@host/x")
    '***@host/x'
    """
    return str(redact(text)) if "://" in text else str(redact(f"x://{text}"))[4:]


def redact_message(text: str, *, is_own: bool = False) -> str:
    """The message of an exception without what may be a secret in it.

    >>> redact_message("401 Client Error for url: http://me:pw@host/?page=2&state=abc")
    '401 Client Error for url: http://***@host/?page=2&state=***'

    Args:
        text: the message.
        is_own: it is what the user's own assert says, of which only what is named like a secret is masked.
    """
    if not _SUSPECT.search(text):
        return text
    return _remembered(text, is_own) if len(text) < MAX_REMEMBERED else _masked_message(text, is_own)


def _masked_message(text: str, is_own: bool) -> str:
    text = _BARE_USER.sub(f"{HIDDEN}@", _URL_USER.sub(f"{HIDDEN}@", text))
    text = _NO_PORT.sub(HIDDEN, text)
    text = _QUERY.sub(_by_name if is_own else _by_place, text)
    text = _SCHEME.sub(rf"\1 {HIDDEN}", _NAMED.sub(_by_name, text))
    return text if is_own else _QUOTED.sub(_unquoted, text)


# 1 us for what a thousand requests fail with, in place of 50
_remembered = lru_cache(maxsize=256)(_masked_message)


def redacted_repr(value: Any) -> str:
    """The repr of a dataclass: the fields that were said, without secrets."""
    said = [
        f"{field.name}={redact(getattr(value, field.name))!r}"
        for field in dataclasses.fields(value)
        if field.repr and not _is_default(field, getattr(value, field.name))
    ]
    return f"{type(value).__name__}({', '.join(said)})"


def is_secret(name: object) -> bool:
    """True for a name that secrets have: `api_key`, `clientSecret`, `X-Auth-Token`; not `author` or `monkey`."""
    return isinstance(name, str) and _is_secret(name)


@lru_cache(maxsize=1024)
def _is_secret(name: str) -> bool:
    plain = unquote(name).lower()
    words = [word.lower() for word in _WORDS.findall(unquote(name))]
    letters = [word for word in words if word.isalpha()]
    return bool(
        _SECRET_NAME.fullmatch(plain)
        or any(map(_SECRET_WORD.fullmatch, words))
        or (letters and _SECRET_END.fullmatch(letters[-1]))
    )


def is_harmless(name: str) -> bool:
    """True if the value of this name in a query may be shown where it is the place that counts."""
    return bool(_HARMLESS.fullmatch(name.lower()))


def _by_name(found: re.Match[str]) -> str:
    return _hidden(found) if is_secret(found["name"]) else found[0]


def _by_place(found: re.Match[str]) -> str:
    if found["value"] is None:
        return HIDDEN if len(found["name"]) >= 6 else found[0]
    return found[0] if is_harmless(found["name"]) else _hidden(found)


def _hidden(found: re.Match[str]) -> str:
    """The name, and behind its value the quotes and brackets that end what it stands in."""
    value = found["value"] or ""
    end = value[len(value.rstrip("'\")]}>,.:")) :]
    return f"{found['name']}={HIDDEN}{end}" if value else found[0]


def _unquoted(found: re.Match[str]) -> str:
    return f"{found[0].partition(found['quote'])[0]}{found['quote']}{HIDDEN}{found['quote']}"


def _is_default(field: dataclasses.Field[Any], value: object) -> bool:
    # not every value can be compared: an array in `data` has no truth
    return value is field.default or (isinstance(value, int | float | str | tuple) and value == field.default)
