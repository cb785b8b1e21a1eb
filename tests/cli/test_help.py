"""Help fits a screen, and tells of all options where that is asked for."""

from __future__ import annotations

import pytest

from loadkit.cli import COMMANDS
from loadkit.cli.help import COMMON
from loadkit.report.layout import display_width
from tests.conftest import Call


@pytest.fixture(autouse=True)
def _a_terminal_of_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize("words", [["--help"], ["-h"], [], *([name, "--help"] for name in COMMANDS)], ids=" ".join)
def test_the_help_of_each_command_fits_80_columns_and_40_lines(words: list[str], call: Call):
    done = call(*words)

    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) <= 40
    assert max(map(display_width, lines)) <= 80
    assert lines[0].startswith("Usage: loadkit ")


def test_the_commonest_options_of_a_run_have_a_line_each_in_groups(call: Call):
    lines = call("run", "-h").stdout.splitlines()

    assert [line for line in lines if line in ("Load", "Requests", "Judgement", "Output")] == [
        *("Load", "Requests", "Judgement", "Output")
    ]
    assert sum(line.lstrip().startswith("-") for line in lines[3:]) == len(COMMON["run"]) >= 20
    assert "  -c, --threads N           Virtual users." in lines
    assert "      --once                Each endpoint and journey once: are they sound?" in lines


@pytest.mark.parametrize("name", COMMON)
def test_help_all_has_every_option_and_the_exit_codes(name: str, call: Call):
    few, everything = call(name, "--help").stdout, call(name, "--help-all").stdout

    more = int(few.splitlines()[-1].split()[0])
    assert few.splitlines()[-1] == f"{more} more options, and the exit codes: --help-all"
    assert everything.count("\n  -") + everything.count("\n      --") - more == (
        few.count("\n  -") + few.count("\n      --")
    )
    assert "Exit code: 0 " in everything
    assert max(map(display_width, everything.splitlines())) <= 80


def test_the_version_is_told(call: Call):
    assert call("--version").stdout.startswith("loadkit 0.")
