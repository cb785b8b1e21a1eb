"""The server that the setting `load_server` names, for the fixture of that name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from loadkit.plan.errors import UsageError
from loadkit.report.escape import visible_text
from loadkit.server.serving import serving


@contextmanager
def configured_server(config: pytest.Config) -> Iterator[str]:
    """Start the server and give its base URL; fail the test that asks for it where that is not possible."""
    words = config.getini("load_server")
    if not words:
        # pytest 8 does not read the other one, and says nothing of it
        table = "tool.pytest" if pytest.version_tuple >= (9,) else "tool.pytest.ini_options"
        pytest.fail(
            'nothing says what to serve: set load_server = ["shop.app:app"] or ["python", "app.py", "{port}"] under '
            f"[{table}], or write a fixture load_server with loadkit.serving(...)",
            pytrace=False,
        )
    target = words[0] if len(words) == 1 and ":" in words[0] else words
    with ExitStack() as stack:
        try:
            with pytest.MonkeyPatch.context() as patch:
                # an application is found from the root of the project, whatever the import mode has put on the path
                patch.syspath_prepend(config.rootpath)
                up = serving(
                    target,
                    ready=config.getini("load_server_ready"),
                    within=config.getini("load_server_within"),
                    cwd=config.rootpath / config.getini("load_server_cwd"),
                    env=dict(variable.split("=", 1) for variable in config.getini("load_server_env")),
                )
                url = stack.enter_context(up)
        except UsageError as error:
            hint = "; an application is named like 'shop.app:app'" if target == words and len(words) == 1 else ""
            raise pytest.fail.Exception(f"{visible_text(str(error))}{hint}", pytrace=False) from None
        yield url
