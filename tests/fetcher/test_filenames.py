"""Names of files: unique by position, readable, safe on every disk, never outside."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadkit import UsageError
from loadkit.fetcher.filenames import GENERATED, Filenames, component, extension, slug
from loadkit.fetcher.url import InvalidUrl, parse_url

KEY = 0x3F9A2C1B_00000000


def name(url: str, position: int = 17, content_type: str = "application/json", **options: Any) -> str:
    return Filenames(**options).path(position, parse_url(url), KEY, content_type)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://h/posts/1", "000017-posts-1-3f9a2c1b.json"),
        ("http://h/", "000017-3f9a2c1b.json"),
        ("http://h/../../etc/passwd", "000017-etc-passwd-3f9a2c1b.json"),
        ("http://h/%2e%2e%2f%2e%2e%2fetc", "000017-etc-3f9a2c1b.json"),
        ("http://h/A%00B/CON", "000017-a-b-con-3f9a2c1b.json"),
        ("http://h/日本語", "000017-3f9a2c1b.json"),
        ("http://h/x?token=hunter2", "000017-x-3f9a2c1b.json"),  # a query may hold secrets
    ],
)
def test_a_name_has_position_path_hash_and_extension(url: str, expected: str):
    assert name(url) == expected


@pytest.mark.parametrize(
    ("path", "content_type", "expected"),
    [
        ("/x", "application/json; charset=utf-8", "json"),
        ("/x.php", "text/html", "html"),  # what it is, not what made it
        ("/x.csv", "text/plain", "csv"),
        ("/x.tar.gz", "application/octet-stream", "gz"),
        ("/x", "application/vnd.api+json", "json"),
        ("/x", "", "bin"),
        ("/x", "text/x-unheard-of", "txt"),
        ("/x", "../../evil", "bin"),
        ("/x.toolongtobeone", "", "bin"),
    ],
)
def test_extensions(path: str, content_type: str, expected: str):
    assert extension(path, content_type) == expected


def test_past_10_000_files_there_are_folders_unless_flat():
    assert name("http://h/x", 10_000) == "010000-x-3f9a2c1b.json"
    assert name("http://h/x", 10_001) == "0001/010001-x-3f9a2c1b.json"
    assert name("http://h/x", 1_234_567) == "0123/1234567-x-3f9a2c1b.json"
    assert name("http://h/x", 10_001, flat=True) == "010001-x-3f9a2c1b.json"


@given(st.text(), st.integers(1, 10**9))
def test_whatever_the_path_the_name_is_safe(path: str, position: int):
    try:
        there = parse_url("http://h/" + path)
    except InvalidUrl:
        return
    place = Filenames().path(position, there, KEY, "")

    assert re.fullmatch(rf"(?:\d{{4,}}/)?{GENERATED.pattern}", place), place
    assert len(place) < 200
    assert place == place.lower()


@given(st.text(), st.sampled_from(["{path}", "{host}/{last}", "{slug}.{ext}", "a/{path}/{hash}"]))
def test_whatever_the_path_a_template_stays_within_the_folder(path: str, template: str):
    try:
        there = parse_url("http://h/" + path)
    except InvalidUrl:
        return
    try:
        place = Filenames(template).path(1, there, KEY, "")
    except ValueError:
        return

    for part in place.split("/"):
        assert part not in ("", ".", "..")
        assert not set(part) & set('/\\:*?"<>|\0')
        assert len(part.encode()) <= 230
        assert part.strip(" .") == part


def test_a_template_names_files():
    url = parse_url("http://example.com:8000/v1/posts/1.json?page=2")

    assert Filenames("{host}/{position:04}-{last}").path(7, url, KEY, "") == "example.com_8000/0007-1.json"
    assert Filenames("{slug}-{hash}.{ext}").path(7, url, KEY, "") == "v1-posts-1-page-2-3f9a2c1b00000000.json"


@pytest.mark.parametrize(
    "template",
    [
        *("../{slug}", "/{slug}", "a/../{slug}", "manifest.jsonl/{slug}", "failed/{slug}", "{slug}/"),
        *("{nothing}", "{position.__class__}", "{position!x}", "{", "{slug:d}", "{0}", "same.json"),
    ],
)
def test_a_template_that_leads_elsewhere_or_cannot_be_filled_in_is_refused(template: str):
    with pytest.raises(UsageError, match=rf"the name {re.escape(repr(template))}"):
        Filenames(template)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("CON", "_CON"), ("nul.txt", "_nul.txt"), ("..", "_"), ("-rf", "_-rf"), (".hidden", "hidden"), ("a/b", "a_b")],
)
def test_a_part_of_a_name_is_made_safe(text: str, expected: str):
    assert component(text) == expected


def test_a_slug_is_cut_at_its_beginning_where_it_says_least():
    assert slug("/" + "very/" * 100 + "last") == ("very-" * 100 + "last")[-80:].strip("-")
