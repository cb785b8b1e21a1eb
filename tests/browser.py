"""Chromium, driven as a user would: by chromedriver, which speaks JSON over HTTP."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import requests

from tests.waiting import is_refused, wait_for

CHROMEDRIVER: Final = shutil.which("chromedriver")


class Browser:
    """Chromium by its driver, which speaks JSON over HTTP."""

    def __init__(self, driver: str, folder: Path) -> None:
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        options += ["--disable-sync", "--disable-component-update", "--no-first-run", f"--user-data-dir={folder}"]
        options += ["--host-resolver-rules=MAP * ~NOTfound, EXCLUDE 127.0.0.1", "--disable-dev-shm-usage"]
        wanted = {"alwaysMatch": {"goog:chromeOptions": {"args": options}, "goog:loggingPrefs": {"browser": "ALL"}}}
        made = requests.post(f"{driver}/session", json={"capabilities": wanted}, timeout=60).json()
        self._session = f"{driver}/session/{made['value']['sessionId']}"

    def post(self, path: str, **body: Any) -> Any:
        answer = requests.post(f"{self._session}/{path}", json=body, timeout=60).json()["value"]
        assert not (isinstance(answer, dict) and "error" in answer), answer
        return answer

    def evaluate(self, script: str) -> Any:
        return self.post("execute/sync", script=f"return {script}", args=[])

    def close(self) -> None:
        requests.delete(self._session, timeout=60)


@pytest.fixture
def browser(tmp_path: Path, free_port: int) -> Iterator[Browser]:
    if not CHROMEDRIVER:
        pytest.skip("needs chromedriver")
    driver = f"http://127.0.0.1:{free_port}"
    with subprocess.Popen([CHROMEDRIVER, f"--port={free_port}", "--silent"], stdout=subprocess.DEVNULL) as process:
        wait_for(lambda: not is_refused(driver))
        one = Browser(driver, tmp_path / "user")
        try:
            yield one
        finally:
            one.close()
            process.terminate()
