"""Revisions of the project: which there are, and one of them checked out beside it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from loadkit.host.processes import alive
from loadkit.jobs.kept import kept_folder
from loadkit.judge.history.kept_run import Revision
from loadkit.plan.errors import UsageError

_BRANCHES: Final = ("GITHUB_HEAD_REF", "GITHUB_REF_NAME", "CI_COMMIT_REF_NAME", "BRANCH_NAME")
"""Where GitHub, GitLab and Jenkins say which branch a job is of."""


def commit_of(revision: str, within: Path) -> tuple[Path, str]:
    """The folder of the project that a folder is in, and the commit that a revision is there.

    Raises `UsageError` where there is no repository or no such revision.
    """
    top = Path(_git(["rev-parse", "--show-toplevel"], within, "compare against a revision in a git repository"))
    return top, _commit(revision, top)


@contextlib.contextmanager
def worktree(commit: str, top: Path) -> Iterator[Path]:
    """Check a commit of a project out into a folder of its own, until the block is left.

    What was left behind earlier, by those who were killed, is removed first.
    """
    kept = kept_folder(top, "worktrees")
    _remove_abandoned(kept, top)
    folder = Path(tempfile.mkdtemp(prefix=f"{commit[:12]}-", suffix=f"-{os.getpid()}", dir=kept))
    try:
        _git(["worktree", "add", "--quiet", "--detach", str(folder), commit], top, f"cannot check out {commit[:7]}")
        yield folder
    finally:
        _remove(folder, top)


def changed_files(top: Path) -> list[str]:
    """Files that differ from the last commit, as git names them."""
    return _git(["status", "--porcelain", "--untracked-files=no"], top, "cannot ask git").splitlines()


def current_revision(folder: Path) -> Revision:
    """What is checked out there, as far as git tells; on a detached head the branch that a CI says it is of."""
    try:
        commit = _git(["rev-parse", "HEAD"], folder, "")
        dirty = bool(changed_files(folder))
    except UsageError:
        return Revision()
    with contextlib.suppress(UsageError):
        return Revision(commit=commit, is_dirty=dirty, branch=_git(["symbolic-ref", "--short", "HEAD"], folder, ""))
    branch = next(filter(None, map(os.environ.get, _BRANCHES)), "")
    return Revision(commit=commit, is_dirty=dirty, branch=branch)


def editable_below(top: Path) -> list[str]:
    """Distributions that are installed from a folder of the project, without being copied."""
    from importlib.metadata import distributions

    found = []
    for one in distributions():
        text = one.read_text("direct_url.json")
        where = json.loads(text) if text else {}
        folder = unquote(urlsplit(where.get("url", "")).path)
        if where.get("dir_info", {}).get("editable") and Path(folder).is_relative_to(top):
            found.append(str(one.metadata["Name"]))
    return found


def _commit(revision: str, top: Path) -> str:
    if revision.startswith("-"):
        raise UsageError(f"{revision!r} is no revision; write it like main or HEAD~1")
    if ":" in revision:
        start = revision.partition(":")[0]
        raise UsageError(f"{revision!r} is a file of a revision; versions are compared whole: {start or 'HEAD'!r}")
    try:
        return _git(["rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}"], top, "")
    except UsageError:
        is_shallow = _git(["rev-parse", "--is-shallow-repository"], top, "cannot ask git") == "true"
        fetch = "; this clone is shallow: git fetch --unshallow, or fetch-depth: 0 in CI" if is_shallow else ""
        raise UsageError(f"there is no revision {revision!r} in {top}{fetch}") from None


def _remove_abandoned(kept: Path, top: Path) -> None:
    running = set(alive())
    for folder in kept.iterdir():
        _, _, pid = folder.name.rpartition("-")
        if pid.isdecimal() and int(pid) not in running:
            _remove(folder, top)


def _remove(folder: Path, top: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(UsageError):
        _git(["worktree", "prune"], top, "")


def _git(words: Sequence[str], folder: Path, what: str) -> str:
    try:
        # a session of its own: a Ctrl-C is for us, and git would leave a worktree that is half made
        done = subprocess.run(
            ["git", *words],  # noqa: S607 - whose PATH leads to it
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,
        )
    except FileNotFoundError:
        raise UsageError("git is not installed; compare against a URL or a scenario") from None
    if done.returncode:
        raise UsageError(f"{what}: {(done.stderr.strip().splitlines() or ['git failed'])[-1]}")
    return done.stdout.strip()
