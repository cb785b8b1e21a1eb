"""Help that fits a screen: the commonest options of a command in groups, and all of them with `--help-all`."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from loadkit.cli.parser import Command, Parameter, about, is_argument, is_flag, is_many

_RUN: Final = (
    *("threads", "duration", "iterations", "rate", "phase", "warmup"),
    *("method", "data", "json", "header", "user", "base_url", "insecure", "timeout", "demo_server"),
    *("threshold", "once", "output", "html", "full", "quiet"),
)
_FETCH: Final = (
    *("threads", "rate", "per_host", "into", "append", "name", "resume", "column"),
    *("method", "header", "timeout", "retries", "output", "quiet"),
)
_COMPARE: Final = (
    *("against", "calibrate", "tolerance", "control", "budget", "base_url", "prepare"),
    *("output", "html", "markdown", "quiet"),
)
COMMON: Final[Mapping[str, Sequence[str]]] = {"run": _RUN, "compare": _COMPARE, "fetch": _FETCH}
"""What `--help` shows of commands with many options."""

EXAMPLES: Final = """\
  loadkit http://127.0.0.1:8000/ -c 50 -z 10s        a URL, by 50 users for 10 s
  loadkit http://127.0.0.1:8000/orders --json '{}'   a POST
  loadkit shop.py -t 'p99 < 250ms' --html out.html   the scenarios of a file
  loadkit scenarios/ --once                          is each of them sound?"""

_WIDEST: Final = 80
_HEAD: Final = 26
"""Columns for how an option is written."""


def overview(commands: Mapping[str, str]) -> str:
    """The help of loadkit: examples, and a line for each command."""
    lines = [f"  {name:10}{text}" for name, text in commands.items()]
    return "\n".join(
        [
            "Usage: loadkit [COMMAND] TARGET... [OPTION]...",
            "",
            "pytest for load and latency: run scenarios, believe the figures.",
            "",
            EXAMPLES,
            "",
            "Commands (run, if none is named)",
            *lines,
            "",
            "loadkit COMMAND --help shows its options; --version the version;",
            "--install-completion makes bash, zsh or fish complete commands and options.",
        ]
    )


def help_of(command: Command, *, everything: bool) -> str:
    """The help of a command."""
    return "\n".join(_lines(command, everything=everything))


def _lines(command: Command, *, everything: bool) -> Iterator[str]:
    width, common = min(_WIDEST, shutil.get_terminal_size((_WIDEST, 24)).columns), COMMON.get(command.name)
    is_all = everything or common is None
    arguments = [one for one in command.parameters if is_argument(one)]
    options = [one for one in command.parameters if one not in arguments]
    shown = [one for one in options if is_all or one.name in (common or ())]
    first, *more = about(command.function)
    yield f"Usage: {' '.join(['loadkit', command.name, *map(_placeholder, arguments), '[OPTION]...'])}"
    for paragraph in (first, *(more if is_all else ())):
        yield ""
        # a list stays as it is
        yield from paragraph.splitlines() if paragraph.startswith(" ") else textwrap.wrap(paragraph, width)
    groups: dict[str, list[Parameter]] = {"": arguments} if arguments else {}
    for one in shown:
        groups.setdefault(one.rich_help_panel, []).append(one)
    for title, members in groups.items():
        yield ""
        yield from [title] * bool(title)
        for one in members:
            yield from _parameter_lines(one, width)
    if len(shown) < len(options):
        yield ""
        yield f"{len(options) - len(shown)} more options, and the exit codes: --help-all"


def _placeholder(argument: Parameter) -> str:
    name: str = argument.name.upper().removesuffix("S" * is_many(argument)) + "..." * is_many(argument)
    return name if argument.required else f"[{name}]"


def _parameter_lines(one: Parameter, width: int) -> Iterator[str]:
    text = one.help
    if is_argument(one):
        head = _placeholder(one)
    else:
        short = next((f"{name}," for name in one.opts if not name.startswith("--")), "")
        long = next(name for name in one.opts if name.startswith("--"))
        head = f"{short:4}{long}{'' if is_flag(one) else f' {one.metavar}'}"
        if one.default and not is_flag(one) and not one.required:
            text = f"{text.rstrip('.')}; {one.default} if not said."
    lines = textwrap.wrap(text, width - _HEAD - 2)
    if len(head) > _HEAD - 2:
        yield f"  {head}"
    else:
        yield f"  {head:{_HEAD}}{lines.pop(0)}"
    for line in lines:
        yield f"  {'':{_HEAD}}{line}"
