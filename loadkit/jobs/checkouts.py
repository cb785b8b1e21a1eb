"""Revisions that are compared with: checked out and prepared once, for one comparison or for several."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from loadkit.jobs.prepare import in_environment, prepare
from loadkit.jobs.revisions import commit_of, worktree
from loadkit.plan.errors import UsageError
from loadkit.server.serving import Served


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """A revision in a folder of its own."""

    name: str
    """As it was asked for, with its short hash: `main (1a2b3c4)`."""
    top: Path
    """The folder of the project."""
    folder: Path


class Checkouts:
    """Keeps a checkout for each revision, folder that a server runs in, and command that prepares it, until closed."""

    def __init__(self) -> None:
        self._folders: dict[tuple[str, Path, str | None], Path] = {}
        self._prepared: dict[Path, bool | UsageError] = {}
        """Whether a command has installed something, or why it failed, by the folder of its checkout."""
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove all of them."""
        self._stack.close()

    def checkout(self, revision: str, within: Path, command: str | None) -> Checkout:
        """A revision of the project that a folder is in, for a server that runs in that folder.

        Raises `UsageError` where there is no repository or no such revision.
        """
        top, commit = commit_of(revision, within)
        key = commit, within, command
        if key not in self._folders:
            self._folders[key] = self._stack.enter_context(worktree(commit, top))
        return Checkout(name=f"{revision} ({commit[:7]})", top=top, folder=self._folders[key])

    def prepared(self, command: str, server: Served, folder: Path, stops: Callable[[], int]) -> Served:
        """A server of a checkout once its command has run there, in the environment that this has set up.

        Raises what `prepare` does.
        """
        if folder not in self._prepared:
            try:
                self._prepared[folder] = prepare(command, server, folder, stops)
            except UsageError as error:
                self._prepared[folder] = error
        found = self._prepared[folder]
        if isinstance(found, UsageError):
            raise found
        return in_environment(server, folder) if found else server
