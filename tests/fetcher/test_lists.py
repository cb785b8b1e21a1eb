"""Lists with any line whatever: each is fetched or refused with its number, and none ends the fetch."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from loadkit import UsageError, fetch
from tests.conftest import Call as Run
from tests.fetcher.conftest import Site, contents, limited, manifest

FIRST, LAST = b"{url}/first", b"{url}/last"

# what stands on the second line of a list of three, and what is said of it; None where it is fetched
ODD_LINES = [
    ("not UTF-8 and no URL", b"caf\xe9 \xff\xfe", "is no URL"),
    ("not UTF-8 in a host", b"http://\xff\xfe/", "is no host name"),
    ("not UTF-8 in the credentials", b"http://\xff:\xfe@{host}/x", None),
    ("not UTF-8 in a path", b"{url}/\xff\xfe", None),
    ("a port of 5,000 digits", b"http://h:" + b"9" * 5000 + b"/", "is not between 1 and 65535"),
    ("a port in other digits", "http://127.0.0.1:٣٤/".encode(), "is no"),
    ("NUL", b"http://h/\0", "control character"),
    ("a host of 800 kB", b"http://" + "é".encode() * 400_000 + b"/", "is no host name"),
    ("a scheme of 200 kB", b"a" * 200_000 + b"://h/", "is not fetched"),
    ("a URL of 1.1 MB", b"http://h/" + b"a" * 1_100_000, "a URL of 1,100,009 characters"),
    ("a line of 5 MB", b"http://h/" + b"a" * 5_000_000, "a line of more than"),
]
DEEP = b"[" * 100_000
ODD_ROWS = [
    ("a lone surrogate and no URL", rb'{"url": "\ud800"}', "is no URL"),
    ("a lone surrogate in a host", rb'{"url": "http://\ud800/"}', "is no host name"),
    (
        "a lone surrogate in the credentials",
        rb'{"url": "http://\ud800@127.0.0.1:1/"}',
        r"'\ud800' in it, which is no character",
    ),
    ("a lone surrogate in a path", rb'{"url": "{url}/\ud800"}', r"'\ud800' in it, which is no character"),
    ("a lone surrogate in a header", rb'{"url": "{url}/h", "headers": {"X": "\ud800"}}', "not latin-1"),
    ("a lone surrogate in a body", rb'{"url": "{url}/h", "method": "POST", "body": "\ud800"}', "surrogates"),
    ("a lone surrogate as a method", rb'{"url": "{url}/h", "method": "\ud800"}', "is not an HTTP method"),
    ("JSON of 100,000 levels", DEEP, "not a line of JSON"),
    ("a body of 985 levels", b'{"url": "{url}/h", "json": ' + b"[" * 985 + b"]" * 985 + b"}", ""),
    ("a number of 5,000 digits", b'{"url": "{url}/h", "json": ' + b"1" * 5000 + b"}", "not a line of JSON"),
    ("no object", b"17", "neither a URL nor an object"),
    ("UTF-16", '{"url": "x"}'.encode("utf-16"), "not a line of JSON"),
]
ODD_CSV = [
    ("not UTF-8", b"caf\xe9,", "is no URL"),
    ("NUL", b"http://h/\0,", ""),
    ("a field of 5 MB", b'"' + b"a" * 5_000_000 + b'",', "a line of more than"),
    ("a line of 9 MB", b"a" * 9_000_000, "a line of more than"),
    ("headers of 100,000 levels", b"{url}/h," + DEEP, "headers are an object"),
]
ODD: dict[str, Sequence[tuple[str, bytes, str | None]]] = {
    "list.txt": ODD_LINES,
    "list.jsonl": ODD_ROWS,
    "list.csv": ODD_CSV,
}


def listed(folder: Path, site: Site, lines: list[bytes], name: str = "list.txt") -> Path:
    path = folder / name
    host = site.url.encode().removeprefix(b"http://")
    path.write_bytes(b"\n".join(lines).replace(b"{url}", site.url.encode()).replace(b"{host}", host) + b"\n")
    return path


def check(source: Path, into: Path, number: int, says: str | None) -> None:
    """The first and the last line are fetched; the one between is refused for this reason, or fetched too."""
    fetched = fetch(source, into=into, retries=0, timeout=5).wait()

    lines = manifest(into)
    paths = {line["url"].rpartition("/")[2] for line in lines if "error" not in line}
    assert {"first", "last"} <= paths
    assert len(lines) == 3
    if refused := [line for line in lines if line.get("kind") == "refused"]:
        assert says is not None
        assert refused[0]["error"].startswith(f"{source.name}:{number}: ")
        assert says in refused[0]["error"]
        # short enough to be read
        assert len(refused[0]["error"]) + len(refused[0]["url"]) < 1000
    else:
        assert not says
    assert fetched.exit_code == (1 if refused else 0)


@pytest.mark.parametrize(
    ("name", "line", "says"),
    [pytest.param(name, *row[1:], id=f"{name}: {row[0]}") for name, rows in ODD.items() for row in rows],
)
def test_an_odd_line_is_refused_and_the_rest_is_fetched(
    site: Site, tmp_path: Path, name: str, line: bytes, says: str | None
):
    first, last = (b'"%s"' % FIRST, b'"%s"' % LAST) if name == "list.jsonl" else (FIRST, LAST)
    before = [b"url,headers", first] if name == "list.csv" else [first]
    check(listed(tmp_path, site, [*before, line, last], name), tmp_path / "b", len(before) + 1, says)


@pytest.mark.parametrize("more", [b"a" * 5_000_000, b"a," * 2_500_000])
def test_a_first_line_of_csv_that_is_too_long_is_refused_and_the_rest_is_fetched(
    site: Site, tmp_path: Path, more: bytes
):
    check(listed(tmp_path, site, [b"url," + more, FIRST, LAST], "list.csv"), tmp_path / "b", 1, "a line of more than")


@pytest.mark.parametrize("name", ["list.txt", "list.csv", "list.jsonl"])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(ends=[b',"'])
@given(st.lists(st.one_of(st.binary(max_size=60), st.text(max_size=30).map(str.encode)), max_size=30))
def test_every_line_of_any_bytes_is_fetched_or_refused(site: Site, name: str, ends: list[bytes]):
    # all in one place, for nobody is to be looked up
    lines = [b"{url}/" + end.replace(b"\n", b" ") for end in ends]
    if name == "list.jsonl":
        lines = [json.dumps({"url": line.decode("utf-8", "surrogateescape")}).encode() for line in lines]
    if name == "list.csv":
        lines.insert(0, b"url")
    with tempfile.TemporaryDirectory() as folder:
        source = listed(Path(folder), site, [*lines, LAST if name != "list.jsonl" else b'"%s"' % LAST], name)
        into = Path(folder) / "b"
        fetched = fetch(source, threads=2, into=into, retries=0, timeout=5).wait()
        assert len(manifest(into)) == fetched.files + fetched.failed
        assert len(contents(into)) == fetched.files
        if name != "list.csv":  # where a quote makes one row of several lines
            assert len(manifest(into)) + fetched.duplicates == len(lines) + 1
        if name != "list.csv" or b'"' not in b"".join(ends):  # a quote that is left open takes the rest into its field
            assert "last" in [line["url"].rpartition("/")[2] for line in manifest(into) if "error" not in line]


@pytest.mark.parametrize("name", ["list.txt", "list.csv", "list.jsonl"])
@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([b"", b"http://", b'{"url": "', b'{"url": "http://', b"url\n", b'"']))
def test_of_a_list_of_any_bytes_strict_says_what_is_wrong(name: str, content: bytes, begin: bytes):
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / name
        # the last line is none in any format, so that nothing is sent
        source.write_bytes(begin + content + b"\nurl\nnonsense\n")
        with pytest.raises(UsageError):
            fetch(source, into=Path(folder) / "b", strict=True)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("l.txt", b"\xff\xfe no url\n", r"l.txt:1: '\xff\xfe no url' is no URL"),
        ("l.csv", b'"a",url,' + b"a" * 5_000_000 + b"\n", "cannot read the columns of l.csv: a line of more"),
        ("l.csv", b"url," + b"a" * 5_000_000 + b"\n", "l.csv:1: a line of more than"),
        ("l.csv", b"x\n", "l.csv has no column 'url'; it has 'x': name one with --column"),
        ("l.jsonl", DEEP + b"\n", "l.jsonl:1: not a line of JSON"),
    ],
)
def test_strict_says_what_is_wrong_on_the_command_line(tmp_path: Path, call: Run, name: str, content: bytes, says: str):
    (tmp_path / name).write_bytes(content)
    done = call("fetch", str(tmp_path / name), "--strict", "--into", str(tmp_path / "bodies"))
    assert done.returncode == 4
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "bodies").exists()


def test_a_line_without_end_takes_no_memory(site: Site, tmp_path: Path):
    source = tmp_path / "l.csv"
    with source.open("wb") as file:
        file.write(f"url\n{site.url}/first\n".encode())
        file.truncate(80_000_000)
    words = [*limited(170_000_000), "fetch", str(source), "--into", str(tmp_path / "b"), "-q", "-c", "2"]

    done = subprocess.run(words, capture_output=True, text=True, timeout=100, check=False)

    assert done.returncode == 1, done.stderr
    assert [line.get("status") for line in manifest(tmp_path / "b")].count(200) == 1
