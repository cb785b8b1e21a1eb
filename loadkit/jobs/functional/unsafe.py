"""Fixtures that threads cannot use, and why: of pytest, of well-known plugins, and those that settings name."""

from __future__ import annotations

from typing import Final

import pytest

from loadkit.jobs.functional.options import runs_one_at_a_time

SETTING: Final = "load_not_on_threads"

_OUTPUT: Final = "it captures the output of the whole process"
_PATCHES: Final = "it changes objects that all threads see; patch once, in a fixture of the session's scope"
_CLOCK: Final = "it changes the clock of all threads; change it once, in a fixture of the session's scope"
_REPLIES: Final = "it answers the requests of all threads; do that once, in a fixture of the session's scope"
EMPTIES_TABLES: Final = "it empties all tables after each test, those that other threads use, too"

_OF_PACKAGE: Final[dict[str, dict[str, str]]] = {
    "_pytest": {
        "capsys": _OUTPUT,
        "capsysbinary": _OUTPUT,
        "capfd": _OUTPUT,
        "capfdbinary": _OUTPUT,
        "capteesys": _OUTPUT,
        "caplog": "it collects the log of the whole process",
        "recwarn": "it collects the warnings of the whole process",
        "monkeypatch": _PATCHES,
        "pytester": "it runs another pytest in the folder of this process",
        "testdir": "it runs another pytest in the folder of this process",
    },
    "loadkit": {"load": "it is a load test already"},
    "pyfakefs": {"fs": "it takes the files away from all threads"},
    "pytest_benchmark": {"benchmark": "it times a test by itself"},
    "pytest_django": {
        "live_server": f"{EMPTIES_TABLES}; aim at an application of load_server",
        "mailoutbox": "it empties the outbox of all threads",
        "settings": _PATCHES,
        "transactional_db": EMPTIES_TABLES,
        "django_db_reset_sequences": EMPTIES_TABLES,
        "django_db_serialized_rollback": EMPTIES_TABLES,
    },
    "pytest_freezer": {"freezer": _CLOCK},
    "pytest_httpserver": {"httpserver": "each test removes what the others expect of its server"},
    "pytest_httpx": {"httpx_mock": _REPLIES},
    "pytest_mock": {"mocker": _PATCHES},
    "pytest_playwright": {"new_context": "only the thread that started a browser can use it"},
    "pytest_socket": {"socket_disabled": _PATCHES, "socket_enabled": _PATCHES},
    "requests_mock": {"requests_mock": _REPLIES},
    "respx": {"respx_mock": _REPLIES},
    "time_machine": {"time_machine": _CLOCK},
}
"""By the package that has the fixture: an own fixture of such a name is another one."""

_ANYWHERE: Final = ("benchmark", "caplog", "load", "new_context", "pytester", "testdir")
"""Those that cannot be used under load on one thread, either."""


def reason_against(item: pytest.Item, name: str, module: str) -> str | None:
    """Why threads cannot use a fixture that this module has; None if they can, as far as is known."""
    known = _OF_PACKAGE.get(module.partition(".")[0], {}).get(name)
    if runs_one_at_a_time(item.config):
        return known if name in _ANYWHERE else None
    return _read(item.config.getini(SETTING)).get(name) or known


def _read(lines: list[str]) -> dict[str, str]:
    """Names with reasons from lines such as `frozen: it stops the clock` and `frozen browser`."""
    found: dict[str, str] = {}
    for line in lines:
        names, _, reason = line.partition(":")
        found |= dict.fromkeys(names.split(), reason.strip() or f"{SETTING} names it")
    return found
