"""What is a URL that can be fetched, and what is said of the rest."""

from __future__ import annotations

import pytest

from loadkit.fetcher.task import FetchRequest, label_of
from loadkit.fetcher.url import LONGEST, InvalidUrl, parse_url, printable, redirect_target


@pytest.mark.parametrize(
    ("text", "url", "target", "host"),
    [
        ("http://127.0.0.1:8000/posts/1", "http://127.0.0.1:8000/posts/1", "/posts/1", "127.0.0.1:8000"),
        ("HTTP://Example.COM:80", "http://example.com/", "/", "example.com"),  # the scheme's own port is not said
        ("https://example.com:443/a?b=c#d", "https://example.com/a?b=c", "/a?b=c", "example.com"),
        ("http://h/a b/ü?q=ä ö", "http://h/a%20b/%C3%BC?q=%C3%A4%20%C3%B6", "/a%20b/%C3%BC?q=%C3%A4%20%C3%B6", "h"),
        ("http://h/%41%zz%", "http://h/%41%25zz%25", "/%41%25zz%25", "h"),  # a sound escape stays, a broken one is one
        ("http://h?x=1", "http://h/?x=1", "/?x=1", "h"),
        ("http://[::1]:8080/x", "http://[::1]:8080/x", "/x", "[::1]:8080"),
        ("http://bücher.example/", "http://xn--bcher-kva.example/", "/", "xn--bcher-kva.example"),
        ("http://me:pa%40ss@h/x", "http://h/x", "/x", "h"),
        ("http://h/\udcff", "http://h/%FF", "/%FF", "h"),  # a byte that was no UTF-8
    ],
)
def test_a_url_is_read(text: str, url: str, target: str, host: str):
    found = parse_url(text)

    assert (found.text, found.target, found.host) == (url, target, host)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("file:///etc/passwd", "'file' is not fetched"),
        ("ftp://h/x", "'ftp' is not fetched"),
        ("javascript:alert(1)", "is no URL"),
        ("/posts/1", "is no URL"),
        ("127.0.0.1:8000/x", "is no URL"),
        ("http://", "without a host"),
        ("http:///x", "without a host"),
        ("http://h:99999/", "port 99999"),
        ("http://h:0/", "port 0"),
        ("http://a b/", "is no URL"),
        ("http://h\\@evil/", "is no URL"),
        ("http://[::zz]/", "is no URL"),
        ("http://[1::2::3]/", "no IPv6 address"),
        ("http://-h-/", "no host name"),
        ("http://h..h/", "no host name"),
        ("http://h/a\r\nX: y", "control character"),
        ("http://h/" + "x" * LONGEST, "1,000,009 characters"),
    ],
)
def test_what_is_none_is_refused_with_its_reason(text: str, reason: str):
    with pytest.raises(InvalidUrl, match=reason):
        parse_url(text)


def test_a_redirect_is_joined_and_brings_no_credentials():
    here = parse_url("http://me:pa%40ss@h/a/b?c")

    assert (here.user, here.credentials) == ("me", "Basic bWU6cGFAc3M=")
    assert redirect_target(here, b"../d").text == "http://h/d"
    assert redirect_target(here, b"//other/x").site == "http://other"
    assert redirect_target(here, b"http://you:pw@h/x").credentials == ""
    assert redirect_target(here, "/ü".encode()).text == "http://h/%C3%BC"


@pytest.mark.parametrize("location", [b"file:///etc/passwd", b"gopher://h/", b"http://:80/", b"http://h/\r\nX: y"])
def test_a_redirect_leads_to_nothing_but_http(location: bytes):
    with pytest.raises(InvalidUrl):
        redirect_target(parse_url("http://h/"), location)


def test_what_is_shown_is_short_and_without_secrets():
    assert printable("http://h/?token=abc&q=1") == "http://h/?token=***&q=1"
    assert len(printable("http://h/" + "x" * 10_000)) < 300


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/posts/17.json", "/posts/{id}.json"),
        ("/data/part-0017.csv", "/data/part-{n}.csv"),
        ("/delay/0.01?n=3", "/delay/{n}"),  # a decimal is one number
        ("/delay/12.5", "/delay/{n}"),
        ("/pkg-1.25.0.tar.gz", "/pkg-{n}.tar.gz"),
        ("/v1/about", "/v1/about"),
    ],
)
def test_a_label_has_no_half_of_a_number(path: str, template: str):
    request = FetchRequest(1, parse_url(f"http://h{path}"), "GET", None, None, 1)

    assert label_of(request) == f"GET http://h{template}"
