"""Lines of access logs: of nginx and Apache, by their formats, in any zone, and broken ones."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path

import pytest

from loadkit import UsageError
from loadkit.importer.access_log import LONGEST, LogLine, log_lines, log_parser

AT = int(datetime(2026, 11, 28, 12, 0, 1, tzinfo=UTC).timestamp()) * 10**9
TAIL = '"https://shop.example/" "Mozilla/5.0 (X11)"'


def local(request: str, status: str = "200", time: str = "28/Nov/2026:13:00:01 +0100") -> str:
    return f'203.0.113.7 - ann [{time}] "{request}" {status} 512 {TAIL}'


LINES = [
    ("combined", local("GET /users/17?page=2 HTTP/1.1"), ("GET", "/users/17?page=2", 200)),
    ("common", '::1 - - [28/Nov/2026:13:00:01 +0100] "GET / HTTP/1.0" 404 -', ("GET", "/", 404)),
    ("another zone", local("GET / HTTP/2.0", time="28/Nov/2026:04:00:01 -0800"), ("GET", "/", 200)),
    ("with the host in front", "shop.example:443 " + local("HEAD /a HTTP/1.1"), ("HEAD", "/a", 200)),
    ("what was not answered", local("GET /a HTTP/1.1", "-"), ("GET", "/a", 0)),
    ("HTTP/0.9", local("GET /a"), ("GET", "/a", 200)),
    ("of a proxy", local("GET http://shop.example/a?b=1 HTTP/1.1"), ("GET", "/a?b=1", 200)),
    ("quotes, as Apache has them", local(r"GET /a\"b HTTP/1.1"), ("GET", '/a"b', 200)),
    ("bytes, as nginx has them", local(r"GET /caf\xC3\xA9 HTTP/1.1"), ("GET", "/caf%C3%A9", 200)),
    ("letters as they are", local("GET /café HTTP/1.1"), ("GET", "/caf%C3%A9", 200)),
    ("a line break that was smuggled in", local(r"GET /a\x0d\x0aX: y HTTP/1.1"), ("GET", "/a%0D%0AX:%20y", 200)),
    ("a fragment", local("GET /a#b HTTP/1.1"), ("GET", "/a%23b", 200)),
]
BROKEN = [
    ("empty", ""),
    ("not HTTP", local(r"\x16\x03\x01\x00")),
    ("no request", local("-", "408")),
    ("a tunnel", local("CONNECT shop.example:443 HTTP/1.1")),
    ("all of a server", local("OPTIONS * HTTP/1.1")),
    ("cut off", local("GET / HTTP/1.1")[:50]),
    ("no such month", local("GET / HTTP/1.1", time="28/Nix/2026:13:00:01 +0100")),
    ("no such day", local("GET / HTTP/1.1", time="31/Nov/2026:13:00:01 +0100")),
    ("JSON", '{"time": "2026-11-28T13:00:01+01:00", "request": "GET / HTTP/1.1"}'),
]


@pytest.mark.parametrize(("line", "found"), [row[1:] for row in LINES], ids=[row[0] for row in LINES])
def test_a_line_of_the_usual_formats_says_when_what_was_requested(line: str, found: tuple[str, str, int]):
    assert log_parser()(line.encode()) == LogLine(AT, *found)


@pytest.mark.parametrize("line", [row[1] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_a_broken_line_is_none(line: str):
    assert log_parser()(line.encode()) is None


FORMATS = [
    (
        '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" $request_time',
        '1.2.3.4 - - [28/Nov/2026:13:00:02 +0100] "GET /a HTTP/1.1" 200 5 "x" 0.750',
        # nginx writes when the reply is out
        LogLine(AT + 250_000_000, "GET", "/a", 200),
    ),
    (
        "$time_iso8601|$request_method|$request_uri|$status",
        "2026-11-28T12:00:01+00:00|GET|/a?b=1|301",
        LogLine(AT, "GET", "/a?b=1", 301),
    ),
    (
        '${msec} $host "$request_method $uri?$args" $status',
        f'{AT // 10**9}.125 shop.example "GET /a?b=1" 200',
        LogLine(AT + 125_000_000, "GET", "/a?b=1", 200),
    ),
    (
        '%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i"',
        local("GET /a HTTP/1.1"),
        LogLine(AT, "GET", "/a", 200),
    ),
    (
        '%a %{msec}t "%m %U%q %H" %s %D',
        f'::1 {AT // 10**6} "GET /a?b=1 HTTP/1.1" 200 31',
        LogLine(AT, "GET", "/a?b=1", 200),
    ),
    ("%{begin:usec}t %v %m %U%q 100%%", f"{AT // 10**3} shop GET /a 100%", LogLine(AT, "GET", "/a", 0)),
]


@pytest.mark.parametrize(("log_format", "line", "found"), FORMATS, ids=[row[0] for row in FORMATS])
def test_a_format_is_told_as_nginx_and_apache_are_told(log_format: str, line: str, found: LogLine):
    assert log_parser(log_format)(line.encode()) == found


@pytest.mark.parametrize(
    ("log_format", "message"),
    [
        ("$request", "does not say when; there is no $time_local or %t in it"),
        ("%t %b", "does not say what was requested; there is no $request or %r in it"),
        ("((", "does not say when"),
    ],
)
def test_a_format_without_what_is_needed_is_refused(log_format: str, message: str):
    with pytest.raises(UsageError) as refused:
        log_parser(log_format)
    assert str(refused.value).startswith(f"the log format {log_format!r} {message}")


def test_lines_come_from_gzipped_files_too_and_endless_ones_are_empty(tmp_path: Path):
    content = b"a\n" + b"x" * (3 * LONGEST) + b"\nb\nwithout an end"
    (tmp_path / "plain.log").write_bytes(content)
    (tmp_path / "packed").write_bytes(gzip.compress(content[:100]) + gzip.compress(content[100:]))

    for name in ("plain.log", "packed"):
        assert list(log_lines(tmp_path / name)) == [b"a\n", b"\n", b"b\n", b"without an end"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "no such file or directory"),
        (gzip.compress(b"a\n" * 9999)[:-20], "its gzip is cut short or broken"),
        (gzip.compress(b"a\n" * 9999)[:10] + b"\xff" * 99, "its gzip is cut short or broken"),
    ],
    ids=["no file", "a gzipped one that is cut short", "one that is broken"],
)
def test_a_log_that_cannot_be_read_is_named(content: bytes | None, reason: str, tmp_path: Path):
    if content is not None:
        (tmp_path / "a.log").write_bytes(content)

    with pytest.raises(UsageError, match=f"^cannot read '.*a.log': {reason}$"):
        list(log_lines(tmp_path / "a.log"))
