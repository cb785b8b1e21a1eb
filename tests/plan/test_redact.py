"""What may be shown of a value and of a message: secrets stay out, the rest stays readable."""

from __future__ import annotations

import time

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from loadkit.plan.redact import is_secret, redact, redact_message, redact_url

SECRET_NAMES = [
    "token",
    "access_token",
    "id_token",
    "csrftoken",
    "X-Amz-Security-Token",
    "tok%65n",
    "secret",
    "clientSecret",
    "client_secret",
    "pass",
    "user_pass",
    "passphrase",
    "password",
    "Password1",
    "passwd",
    "pwd",
    "Pw",
    "pw",
    "jwt",
    "code",
    "sid",
    "PHPSESSID",
    "jsessionid",
    "session",
    "session_id",
    "bearer",
    "sas",
    "otp",
    "totp",
    "pin",
    "SAMLResponse",
    "client_assertion",
    "hmac",
    "private",
    "private_key",
    "ticket",
    "nonce",
    "refresh",
    "refresh_token",
    "key",
    "api_key",
    "apikey",
    "X-Api-Key",
    "apiKey",
    "sig",
    "X-Amz-Signature",
    "Authorization",
    "Proxy-Authorization",
    "auth",
    "auth_code",
    "credential",
    "credentials",
    "Cookie",
    "Set-Cookie",
]

HARMLESS_NAMES = [
    "author",
    "authority",
    "authors",
    "monkey",
    "monkeys",
    "turkey",
    "keyboard",
    "tokenizer",
    "tokenize",
    "secretary",
    "passenger",
    "compass",
    "bypass",
    "codec",
    "postcode",
    "country_code",
    "status_code",
    "pinned",
    "spin",
    "side",
    "sidebar",
    "signal",
    "design",
    "login",
    "login_count",
    "privateer",
    "user",
    "id",
    "q",
    "page",
    "sort",
    "name",
]


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_the_value_of_a_secret_name_is_masked(name: str):
    assert is_secret(name)
    assert redact({name: "s3cret"}) == {name: "***"}
    assert redact(f"/a?x=1&{name}=s3cret") == f"/a?x=1&{name}=***"


@pytest.mark.parametrize("name", HARMLESS_NAMES)
def test_a_name_that_only_looks_like_a_secret_is_shown(name: str):
    assert redact({name: "Ada"}) == {name: "Ada"}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://me:s3cret@h/", "http://***@h/"),
        ("http://s3cret@h/", "http://***@h/"),
        ("http://me:a/s3cret@h/x", "http://***@h/x"),
        ("http://me:a?s3cret@h/x", "http://***@h/x"),
        ("http://me:a#s3cret@h/x", "http://***@h/x"),
        ("http://me:p@s3cret@h/", "http://***@h/"),
        ("me:s3cret@h:80/x", "***@h:80/x"),
        ("me:a/s3cret@h", "***@h"),
        # these are no user and password
        ("http://h:8000/@scope/name", "http://h:8000/@scope/name"),
        ("http://h/@scope/name", "http://h/@scope/name"),
        ("http://[::1]:80/a@b", "http://[::1]:80/a@b"),
        ("localhost:8000/a@b", "localhost:8000/a@b"),
    ],
)
def test_the_user_of_a_url_is_masked_and_its_path_is_not(url: str, shown: str):
    assert redact_url(url) == shown
    assert redact_message(f"cannot use {url!r}: no") == f"cannot use {shown!r}: no"


MESSAGES = [
    (
        "401 Client Error: no for url: http://h/x?page=2&t=s3cret",
        "401 Client Error: no for url: http://h/x?page=2&t=***",
    ),
    (
        "Max retries exceeded with url: /x?t=s3cret (Caused by X)",
        "Max retries exceeded with url: /x?t=*** (Caused by X)",
    ),
    ("Invalid URL 'me:s3cret@h/x': No scheme", "Invalid URL '***@h/x': No scheme"),
    ("No adapters were found for 'ftp://me:s3cret@h/?t=s3cret'", "No adapters were found for 'ftp://***@h/?t=***'"),
    ("redirected to /login#access=s3cret", "redirected to /login#access=***"),
    ("sent /hook?s3cret-s3cret", "sent /hook?***"),
    ("Invalid character(s) in header value: ' Bearer s3cret'", "Invalid character(s) in header value: '***'"),
    ("Header part ('s3cret') from ('X-A', 1) must be str", "Header part ('***', 1) must be str"),
    ("Port could not be cast to integer value as 's3cret'", "Port could not be cast to integer value as '***'"),
    ("Failed to parse: 'me:s3cret', no port", "Failed to parse: '***', no port"),
    ("Failed to parse: http://me:s3cret/x", "Failed to parse: http://***/x"),
    ("got Authorization: Bearer s3cret", "got Authorization: Bearer ***"),
    ("Cookie: session=s3cret, token=s3cret", "Cookie: session=***, token=***"),
    # and what is no secret
    ("what? no: x=1, a@b.example", "what? no: x=1, a@b.example"),
    ("assert 3 == 4", "assert 3 == 4"),
    ("connection refused http://127.0.0.1:8000", "connection refused http://127.0.0.1:8000"),
    ("'nothere'", "'nothere'"),
]


@pytest.mark.parametrize(("text", "shown"), MESSAGES)
def test_a_message_is_masked_by_place(text: str, shown: str):
    assert redact_message(text) == shown


def test_what_an_assert_says_keeps_the_values_that_no_name_makes_secret():
    assert redact_message("assert '/x?state=a' == '/x?state=b'", is_own=True) == "assert '/x?state=a' == '/x?state=b'"
    assert redact_message("assert '/x?token=s3cret' == 1", is_own=True) == "assert '/x?token=***' == 1"


@given(
    name=st.sampled_from(["t", "state", "x", "token"]),
    secret=st.text("abcXYZ0189-_.~!*(),+/:@%", min_size=1, max_size=20).map(lambda text: f"S3CR{text}3T"),
)
def test_no_value_of_a_query_is_in_what_requests_says_of_a_reply(name: str, secret: str):
    reply = requests.Response()
    reply.status_code = 401
    reply.url = str(requests.Request("GET", "http://h/x", params={name: secret}).prepare().url)

    with pytest.raises(requests.HTTPError) as caught:
        reply.raise_for_status()

    assert redact_message(str(caught.value)).endswith(f"/x?{name}=***")


@given(st.text("abc:/@?&;#='\" \n.=%", max_size=200))
def test_masking_twice_is_masking_once(text: str):
    once = redact_message(text)

    assert redact_message(once) == once


@pytest.mark.parametrize(
    "piece", ["a", ":", "?", "://a:", "'a:", "&a=", "=", "Basic ", "header value ", "port ", "@", "%"]
)
def test_a_long_message_takes_time_in_proportion(piece: str):
    began = time.process_time()

    redact_message("@=" + piece * (60_000 // len(piece)))

    # a quadratic expression takes several
    assert time.process_time() - began < 1
