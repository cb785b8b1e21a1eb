"""The files that options name for what was found, a format each; one of them may be `-`, which is stdout."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Final

from loadkit.cli.console import check_file, print_document, print_finding, summarize, without_secrets, write
from loadkit.plan.errors import UsageError
from loadkit.report.formats import OF_RESULTS, documents, intervals_file

if TYPE_CHECKING:
    from loadkit.judge.result import Result
    from loadkit.report.json import Finding

STDOUT: Final = Path("-")

EXAMPLES: Final = {
    "--html": "report.html",
    "--markdown": "report.md",
    "--csv": "report.csv",
    "--junit": "report.xml",
    "--hgrm": "report.hgrm",
    "--hlog": "report.hlog",
    "--prometheus": "report.prom",
}
"""A name for the file of each option."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """Files by the options that name them."""

    given: Mapping[str, Path]

    @classmethod
    def of(cls, **files: Path | None) -> Outputs:
        """By the names of the options without their dashes; None for one that was not given."""
        return cls({f"--{name}": path for name, path in files.items() if path is not None})

    @property
    def files(self) -> dict[str, Path]:
        """Those that are files on the disk."""
        return {option: path for option, path in self.given.items() if path != STDOUT}

    @property
    def stored(self) -> Path | None:
        """The file for the result itself."""
        return self.files.get("--output")

    @property
    def on_stdout(self) -> str:
        """The option whose format goes to stdout; empty if none does."""
        return next((option for option, path in self.given.items() if path == STDOUT), "")

    def check(self, read: Sequence[Path] = (), *, count: int = 1) -> None:
        """See that all can be written of `count` results, and in no place of a file `read`; `UsageError` if not."""
        if len(on_stdout := self.given.keys() - self.files.keys()) > 1:
            raise UsageError(f"{' and '.join(sorted(on_stdout))} cannot share stdout; give a file to all but one")
        paths = self.files
        if "--csv" in paths and (file := intervals_file(paths["--csv"])):
            paths["the intervals of --csv"] = file
        for option, path in paths.items():
            check_file(option, path)
        for (option, path), (other, another) in combinations(paths.items(), 2):
            if path.resolve() == another.resolve():
                raise UsageError(f"{option} and {other} both name {another}; give each a file of its own")
        for option, example in EXAMPLES.items():
            if option in paths and paths[option].resolve() in [file.resolve() for file in read]:
                raise UsageError(
                    f"{option} would overwrite the result {paths[option]}; write it like {option} {example}"
                )
        self.check_count(count)

    def check_count(self, count: int) -> None:
        """Refuse a format that holds the times of one result where there are several; `UsageError`."""
        if "--hgrm" in self.given and count > 1:
            raise UsageError(f"--hgrm holds the times of one result, and there are {count}; name one, or write --hlog")

    def check_found(self, findings: Mapping[Path, Finding]) -> None:
        """Refuse formats that only results have where a comparison or a limit was read; `UsageError`."""
        name = next((name for name in ("output", *OF_RESULTS) if f"--{name}" in self.given), None)
        why = "stored already" if name == "output" else "no result"
        for file, one in findings.items() if name else ():
            raise UsageError(f"{file} is a {type(one).__name__.lower()}, and {why}; leave --{name} out")

    def text_on_stderr(self) -> AbstractContextManager[object]:
        """Meanwhile reports for people are printed on stderr, where stdout has one of the formats."""
        return redirect_stdout(sys.stderr) if self.on_stdout else nullcontext()

    def write(self, found: Sequence[Result | Finding], errors: Mapping[str, str] | None = None) -> Iterator[int]:
        """Write what was found into the files, but for the result itself, and give the exit code of each attempt.

        `errors` say why the rest was not run, by name.
        """
        for option, path in self.files.items():
            if option != "--output":
                for file, text in _documents(option, path, found, without_secrets(errors)):
                    yield write(file, text)

    def print(self, found: Sequence[Result | Finding], errors: Mapping[str, str] | None = None) -> int:
        """Print the format that goes to stdout, if one does; 3 if it does not take it."""
        option = self.on_stdout
        printed = _documents(option, STDOUT, found, without_secrets(errors)) if option else ()
        return max((print_document(text) for _, text in printed), default=0)

    def deliver(self, found: Finding, *, quiet: bool) -> int:
        """Store, print and write a comparison or a limit as far as asked for; the exit code is 0 or that of a fault."""
        from loadkit.report.json import document

        with self.text_on_stderr():
            faults = [
                write(self.stored, document(found)) if self.stored else 0,
                0 if quiet else print_finding(found),
                *self.write([found]),
            ]
        if not quiet:
            summarize([found])
        return max(*faults, self.print([found]))


def _documents(
    option: str, path: Path, found: Sequence[Result | Finding], errors: Mapping[str, str]
) -> Iterator[tuple[Path, str]]:
    """What is to be written where; nothing where a format has nothing to say."""
    from loadkit.judge.result import Result

    results = [one for one in found if isinstance(one, Result)]
    if option == "--html" and (found or errors):
        from loadkit.report.html import html_report

        yield path, html_report(found, errors=errors)
    elif option == "--junit" and (found or errors):
        from loadkit.report.formats.junit import junit

        yield path, junit(found, errors=errors)
    elif option == "--markdown" and found:
        from loadkit.report.markdown import markdown

        yield path, markdown(found)
    elif option == "--output" and found:
        from loadkit.report.json import document, dump

        yield path, dump(results) if results else document(found[0])
    elif results:
        yield from documents(option.removeprefix("--"), path, results)
