"""The reference pages name everything there is."""

from __future__ import annotations

import re
from pathlib import Path

import loadkit
from loadkit.cli import COMMANDS

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_everything_that_loadkit_exports_is_in_the_reference():
    named = re.findall(r"auto\w+:: loadkit\.(\w+)", (DOCS / "reference.md").read_text(encoding="utf-8"))

    assert sorted(named) == sorted(set(loadkit.__all__) - {"__version__"})


def test_every_command_is_in_the_reference():
    shown = re.findall(r"program-output\} loadkit (\w+) --help-all", (DOCS / "command-line.md").read_text("utf-8"))

    assert sorted(shown) == sorted(COMMANDS)


def test_every_page_is_in_the_table_of_contents():
    index = (DOCS / "index.md").read_text(encoding="utf-8")

    assert {page.stem for page in DOCS.glob("*.md")} - {"index"} == set(re.findall(r"^([\w-]+)$", index, re.MULTILINE))
