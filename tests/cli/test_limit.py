"""A stored limit, shown again by `loadkit report`."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadkit.judge.limit.limit import Limit
from loadkit.report.json import document
from tests.conftest import Call
from tests.report.limits import FOUND, searched_by_threads
from tests.results import replace

STORED: list[tuple[str, Limit, int, str]] = [
    ("less than was asked for", FOUND, 1, "FOUND: 1,800/s holds; 1,880/s does not"),
    ("found", replace(FOUND, at_least=None), 0, "FOUND: 1,800/s holds; 1,880/s does not"),
    ("threads", searched_by_threads(), 0, "threads are enough: "),
    ("interrupted", Limit(ending="interrupted", reason="it was interrupted"), 2, "INTERRUPTED: "),
]


@pytest.mark.parametrize(("found", "code", "words"), [row[1:] for row in STORED], ids=[row[0] for row in STORED])
def test_a_stored_limit_is_shown_again_and_exits_as_it_did(
    call: Call, tmp_path: Path, found: Limit, code: int, words: str
):
    file = tmp_path / "limit.json"
    file.write_text(document(found), encoding="utf-8")

    done = call("report", str(file))

    assert (done.returncode, done.stderr) == (code, "")
    assert words in done.stdout
