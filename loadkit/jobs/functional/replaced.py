"""Fixtures in the place of some of pytest's own, which would keep something of each run."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

_FOLDERS = itertools.count()


def tmp_path(request: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:  # noqa: ARG001 - as pytest calls it
    """A folder for each iteration, which is removed after it."""
    folder = tmp_path_factory.getbasetemp() / "load" / f"{next(_FOLDERS)}"
    folder.mkdir(parents=True, mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Subtests:
    """The parts of a test, each of which may fail: the test goes on, and its run fails with the first of them."""

    def __init__(self) -> None:
        self.first: BaseException | None = None

    @contextmanager
    def test(self, msg: str | None = None, **about: object) -> Iterator[None]:
        """One part."""
        try:
            yield
        except (pytest.skip.Exception, pytest.xfail.Exception):
            pass  # of this part, and not of the test
        except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - raised when the test is over
            if self.first is None:
                words = [f"[{msg}]"] * bool(msg) + [f"({name}={value!r})" for name, value in about.items()]
                error.add_note(f"in the subtest {' '.join(words)}".rstrip())
                self.first = error


def subtests(request: object) -> Iterator[Subtests]:  # noqa: ARG001 - the same
    """Raises the first failure when the test is over."""
    made = Subtests()
    yield made
    if made.first is not None:
        raise made.first


IN_PLACE: Final[dict[tuple[str, str], Callable[..., Any]]] = {
    ("_pytest.tmpdir", "tmp_path"): tmp_path,
    ("_pytest.subtests", "subtests"): subtests,
    ("pytest_subtests.plugin", "subtests"): subtests,
}
"""By the module and the name of what is replaced."""
