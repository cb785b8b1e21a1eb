"""Words that people know from other tools: what can only mean one thing is understood, the rest is explained."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

ALIASES: Final = {"--users": "--threads", "--vus": "--threads", "--host": "--base-url", "-m": "--method"}
"""Options of other tools that are understood: of Locust, k6 and hey."""

EXPLAINED: Final = {
    "--concurrency": "loadkit's word for --concurrency is --threads",
    "--connections": "loadkit's word for --connections is --threads",
    "--stage": "a stage is a phase: --phase ramp:10s:5",
    "--stages": "a stage is a phase: --phase ramp:10s:5",
    "--spawn-rate": "users are added by a phase: --phase ramp:30s:50",
    "--run-time": "loadkit's word for --run-time is --duration",
    "--requests": "loadkit's word for --requests is --iterations",
    "--qps": "loadkit's word for --qps is --rate",
    "-R": "a rate is --rate 100/s",
    "--headless": "there is nothing to leave out: the report is printed, --html FILE writes a page",
    "--request": "a method is -X",
    "-f": "a scenario file needs no option: loadkit run shop.py",
    "--locustfile": "a scenario file needs no option: loadkit run shop.py",
}

_ON_LOAD: Final = frozenset(
    (*("-c", "--threads", "-z", "--duration", "-n", "--iterations", "-r", "--rate"), "--phase", "--warmup")
)
_ON_REQUESTS: Final = frozenset(
    (*("-X", "--method", "-d", "--data", "--json", "-F", "--form", "-H", "--header", "-u", "--user"), "-L", "-k")
)
_OF_RUNS: Final = frozenset({"--otlp", "--samples", "--history", "--debug"})
"""Options of `loadkit run` that other commands do not have."""
_OF_RESULTS: Final = frozenset({"--csv", "--hgrm", "--hlog", "--prometheus"})
"""Formats of `loadkit run` and `loadkit report`, for which a comparison or a limit has no figures."""

_URL: Final = re.compile(r"(\[[0-9a-f:.]+\]|[\w-]+(\.[\w-]+)+|localhost|[\w.-]+(?=:\d))(:\d+)?([/?].*)?", re.IGNORECASE)


def understood(words: Sequence[str], commands: Container[str]) -> list[str]:
    """A command line with the command that was left out, and with loadkit's names of options.

    `loadkit shop.py` and `loadkit -c 10 URL` mean `loadkit run`.
    """
    first = words[0]
    if (
        first not in commands
        and first not in ("--help", "-h", "--help-all", "--version", "--show-completion", "--install-completion")
        and (first.startswith("-") or is_target(first))
    ):
        words = ["run", *words]
    return [words[0], *map(_renamed, words[1:])] if words[0] == "run" else list(words)


def is_target(word: str) -> bool:
    """True for what names a scenario file, a folder of them, or a URL, be it without its scheme."""
    return "://" in word or ".py" in word or bool(_URL.fullmatch(word)) or Path(word).is_dir()


def explanation(words: Sequence[str], unknown: str) -> str:
    """What to write in place of an option that there is not; empty where that is not known."""
    if words[0] != "run":
        return _of_other(words[0], unknown)
    for word in words:
        option = word.partition("=")[0]
        # `-R100`
        found = EXPLAINED.get(option) or (None if word.startswith("--") else EXPLAINED.get(word[:2]))
        if found:
            return found
    return ""


def _of_other(command: str, option: str) -> str:
    """Where an option of `loadkit run` has no place in another command."""
    if option in _ON_LOAD and command == "limit":
        return "limit finds the load by itself; leave it out"
    if option in _ON_LOAD | _ON_REQUESTS and command in ("compare", "limit"):
        return "write it in a scenario file, and name that"
    if option in _OF_RESULTS and command in ("compare", "limit"):
        return f"it is for results; what {command} finds is written by --output, --html, --markdown and --junit"
    return "it is one of loadkit run" if option in _ON_LOAD | _ON_REQUESTS | _OF_RUNS else ""


def _renamed(word: str) -> str:
    option, equals, value = word.partition("=")
    return ALIASES.get(option, option) + equals + value
