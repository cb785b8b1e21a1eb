"""Foreign text is shown and does nothing."""

from __future__ import annotations

import pytest

from loadkit.report.escape import visible, visible_text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("GET /search?q=tea", "GET /search?q=tea"),
        ("été 日本 🎉", "été 日本 🎉"),
        ("C:\\temp", "C:\\temp"),  # for reading, not for reading back
        ("\x1b[2J\x1b[1;1H", r"\x1b[2J\x1b[1;1H"),
        ("\x9b31m", r"\x9b31m"),  # C1: the control sequence introducer in one character
        ("a\r\nb\tc\x00\x7f", r"a\r\nb\tc\x00\x7f"),
        ("invoice\u202etxt.exe", r"invoice\u202etxt.exe"),
        ("a\u2066b\u2069c\u200fd", r"a\u2066b\u2069c\u200fd"),
        ("a\u2028b\u2029c\x85d", r"a\u2028b\u2029c\x85d"),
        ("a\u200bb\ufeffc\xadd\xa0e", r"a\u200bb\ufeffc\xadd\xa0e"),  # nobody sees that these are there
        ("\ud800", r"\ud800"),  # a lone surrogate cannot be encoded at all
        ("\U000e0041", r"\U000e0041"),
        ("👩\u200d🚀", "👩\u200d🚀"),  # a joiner holds an emoji together
    ],
)
def test_what_is_no_plain_character_is_written_as_an_escape(text: str, shown: str) -> None:
    assert visible(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("::error file=a.py::broken", r"\x3a:error file=a.py::broken"),
        ("  ::stop-commands::x", r"  \x3a:stop-commands::x"),  # GitHub's runner skips leading blanks
        ("said ::error::x", r"said \x3a:error::x"),  # a line may be wrapped here
        ("##[error]broken", r"\x23#[error]broken"),  # found anywhere in a line
        ("x ##vso[task.setvariable variable=a]b", r"x \x23#vso[task.setvariable variable=a]b"),
        ("###vso[x]", r"#\x23#vso[x]"),
        ("##teamcity[buildStop]", r"\x23#teamcity[buildStop]"),
        ("tests/test_a.py::test_b", "tests/test_a.py::test_b"),
        ("http://[::1]:8000/##top", "http://[::1]:8000/##top"),
        ("::1 refused", "::1 refused"),
    ],
)
def test_what_a_ci_takes_for_a_command_is_none_any_more(text: str, shown: str) -> None:
    assert visible(text) == shown


@pytest.mark.parametrize("text", ["\x1b[31m", "::error::x", "##vso[x]", "###[a]", " ::a ::b", "a\nb"])
def test_making_visible_twice_changes_nothing(text: str) -> None:
    assert visible(visible(text)) == visible(text)


def test_a_text_of_several_lines_keeps_them() -> None:
    text = "assert 1 == 2\r\n\n\t+ where\x1b[0m\n::error::forged\u2028line"
    assert visible_text(text) == "assert 1 == 2\n\n    + where\\x1b[0m\n\\x3a:error::forged\\u2028line"
