"""A server as it is started from another copy of its project."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from loadkit.plan.errors import UsageError
from loadkit.server.serving import Served


@dataclass(frozen=True, slots=True)
class Relocation:
    """A copy of a folder, such as another revision of a project: what is read from the one is to be from the other."""

    folder: Path
    copy: Path

    def served(self, server: Served) -> Served:
        """The server as it is started from the copy; `UsageError` if the copy lacks its folder."""
        app = server.app
        return replace(
            server,
            app=self._reference(app) if isinstance(app, str) else tuple(map(self._word, app)),
            cwd=self.cwd(server.cwd),
            import_path=tuple(map(self.path, server.import_path)),
            environment=self.environment(server.environment or os.environ),
        )

    def path(self, text: str) -> str:
        """A path below the folder as that below its copy; others, and what the copy has not, as they are."""
        path = Path(text)
        if not path.is_absolute() or not path.is_relative_to(self.folder):
            return text
        copied = self.copy / path.relative_to(self.folder)
        # an environment below the project's folder is in no revision
        return str(copied) if copied.exists() else text

    def cwd(self, folder: Path) -> Path:
        """Where a server runs; `UsageError` if the copy has no such folder."""
        if not folder.is_relative_to(self.folder):
            return folder
        within = folder.relative_to(self.folder)
        if not (self.copy / within).is_dir():
            raise UsageError(f"the revision has no folder {str(within)!r} to start the server in")
        return self.copy / within

    def _reference(self, app: str) -> str:
        place, _, name = app.rpartition(":")
        return f"{self.path(place)}:{name}"

    def _word(self, text: str) -> str:
        """A word of a command, in which a path may follow a `=`."""
        option, equals, value = text.rpartition("=")
        return option + equals + self.path(value)

    def environment(self, given: Mapping[str, str]) -> dict[str, str]:
        """An environment in which modules are imported from the copy, too."""
        found = dict(given)
        if folders := found.get("PYTHONPATH"):
            found["PYTHONPATH"] = os.pathsep.join(map(self.path, folders.split(os.pathsep)))
        return found
