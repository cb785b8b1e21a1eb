"""The command line: it turns words into values, calls a job, and turns what comes of it into text and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Final

from loadkit._version import __version__
from loadkit.cli.console import complain, print_text, print_traceback
from loadkit.cli.defaults import project_defaults
from loadkit.cli.habits import explanation, understood
from loadkit.cli.parser import Command, UnknownOption, close_to
from loadkit.plan.errors import LoadkitError, UsageError

COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "run": ("run", "Run scenarios and report what was found."),
    "compare": ("compare", "Is the new of two versions worse? Both are measured in turns."),
    "limit": ("limit", "The highest rate that a server holds, or how many threads it takes."),
    "history": ("history", "The last runs, and from which on a figure had another level."),
    "list": ("list_targets", "The scenarios that files and folders hold."),
    "report": ("report", "The report of stored results anew, merging those of one load."),
    "demo": ("demo", "A small server to try things on."),
    "fetch": ("fetch", "Fetch URLs into a folder, none lost, every one accounted for."),
    "import": ("importing.import_file", "A scenario file from HAR, OpenAPI, curl or an access log."),
    "init": ("init", "A scenario, a test and a CI job to begin with."),
    "curl": ("run_pasted", "A pasted curl command under load: loadkit curl URL -d a=1 -c 10."),
}
"""The function of each in the module of its name, or of another one (`module.function`), which is imported when it is
called, and what it is for."""


def main() -> None:
    """Run the command line and end the process with its exit code."""
    if "_LOADKIT_COMPLETE" in os.environ:
        from loadkit.cli.completion import complete

        complete({name: _function(name) for name in COMMANDS})
    sys.exit(_exit_code(understood(sys.argv[1:] or ["--help"], COMMANDS)))


def _exit_code(words: list[str]) -> int:
    try:
        return _call(words)
    except UnknownOption as error:
        meant = explanation(words, error.name)
        # what is spelt alike is not what was meant where that is known
        message = f"{str(error).partition(' (Possible')[0]}; {meant}" if meant else str(error)
        complain(UsageError(f"{message} (loadkit {words[0]} --help tells more)"))
        return error.exit_code
    except LoadkitError as error:
        complain(error)
        if type(error) is LoadkitError and error.__cause__:
            print_traceback(error.__cause__)
        return error.exit_code
    except KeyboardInterrupt:
        return 2
    except (Exception, SystemExit) as error:  # noqa: BLE001 - Python's own exit code for it is 1, that of a missed threshold
        print_traceback(error)
        return LoadkitError.exit_code


def _call(words: list[str]) -> int:
    from loadkit.cli.help import help_of, overview

    name, *others = words
    if name in ("--help", "-h", "--help-all"):
        return print_text(overview({name: about for name, (_, about) in COMMANDS.items()}))
    if name == "--version":
        from loadkit.wire.extension import EXTENSION

        return print_text(f"loadkit {__version__} ({'with the extension in C' if EXTENSION else 'pure Python'})")
    if name in ("--show-completion", "--install-completion"):
        from loadkit.cli.completion import set_up_completion

        return set_up_completion(words)
    if name not in COMMANDS:
        close = close_to(name, COMMANDS)
        alike = f". Did you mean {close[0]!r}?" if close else ""
        raise UsageError(f"No such command {name!r}{alike} (loadkit --help tells more)")
    function = _function(name)
    command = Command(name, function)
    if asked := {"--help", "-h", "--help-all"} & set(others):
        return print_text(help_of(command, everything="--help-all" in asked))
    # what a curl command is of is for curl to say
    if name == "curl":
        return function(others)
    return command.run(others, project_defaults(command.parameters, Path.cwd()) if name == "run" else None)


def _function(name: str) -> Callable[..., int]:
    module, _, function = COMMANDS[name][0].rpartition(".")
    found: Callable[..., int] = getattr(import_module(f"loadkit.cli.{module or name}"), function)
    return found
