"""Shells complete commands and options of the command line, and files by themselves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Call

COMMAND = Path(sys.executable).with_name("loadkit")


def offered(line: str) -> list[str]:
    """What bash has to offer behind this command line."""
    words = line.split(" ")
    script = f"""
        source <({COMMAND} --show-completion bash)
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        _loadkit_completion {COMMAND}
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "--norc", "-c", script, "bash", *words], capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("loadkit h", ["history"]),
        ("loadkit run --thr", ["--threads", "--threshold"]),
        ("loadkit shop.py -c 5 --du", ["--duration"]),
        ("loadkit http : //127.0.0.1 : 80/ --js", ["--json"]),
        ("loadkit compare a.json --bu", ["--budget"]),
        ("loadkit run sho", []),
        ("loadkit run shop.py -o out", []),
    ],
    ids=[
        "a command",
        "options",
        "options where run is left out",
        "a URL as bash splits it",
        "another command's options",
        "files are for the shell to complete",
        "the file of an option, too",
    ],
)
def test_bash_completes(line: str, expected: list[str]):
    assert offered(line) == expected


def test_zsh_is_told_what_each_option_is_for():
    variables = {"_LOADKIT_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "loadkit shop.py --du"}
    done = subprocess.run([COMMAND], env=os.environ | variables, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == """_arguments '*: :(("--duration":"How long to measure\\\\: 30s, 1m30s."))'"""


def test_the_shell_of_the_user_is_meant_where_none_is_named(call: Call, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SHELL", "/usr/bin/zsh")

    assert call("--show-completion").stdout.startswith("#compdef loadkit\n")


def test_the_script_is_installed_for_bash(call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".bashrc").write_text("alias ll='ls -l'\n")

    done = call("--install-completion", "bash")

    script = tmp_path / ".bash_completions" / "loadkit.sh"
    assert (done.returncode, done.stdout) == (0, f"installed {script}; a new bash completes loadkit\n")
    assert (tmp_path / ".bashrc").read_text() == f"alias ll='ls -l'\n\nsource '{script}'\n"
    assert "complete -o default -F _loadkit_completion loadkit" in script.read_text()


@pytest.mark.parametrize("words", [["tcsh"], ["bash", "zsh"]])
def test_another_shell_is_refused(words: list[str], call: Call):
    done = call("--show-completion", *words)

    assert (done.returncode, done.stderr) == (
        4,
        "loadkit: --show-completion takes the name of a shell: --show-completion bash, or zsh or fish\n",
    )
