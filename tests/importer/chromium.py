"""A browser that records: Chromium, told over a pipe (the DevTools protocol), and what it sent and got as a HAR file.

The panel of the developer tools writes a HAR from these same events.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import Any

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    # nothing but loopback, whatever the browser itself would like to have
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


class Browser:
    """A page of a browser, and what it was asked to load."""

    def __init__(self, writer: RawIOBase, reader: BufferedReader) -> None:
        self._writer = writer
        self._reader = reader
        self._number = 0
        self._rest = b""
        self._events: list[dict[str, Any]] = []
        self._waiting: list[dict[str, Any]] = []
        """Told while an answer was waited for."""
        self._bodies: dict[str, str] = {}
        self._posted: dict[str, str] = {}
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Network", "Page", "Runtime"):
            self._ask(f"{domain}.enable")

    def goto(self, url: str) -> None:
        """Load a page, and wait until it has loaded."""
        self.doing(lambda: self._ask("Page.navigate", url=url))

    def submit(self, script: str) -> None:
        """Run a script that leads to another page, and wait until that has loaded."""
        self.doing(lambda: self._ask("Runtime.evaluate", expression=script))

    def doing(self, act: Any) -> None:
        before = len(self._events)
        act()
        while not any(one["method"] == "Page.loadEventFired" for one in self._events[before:]):
            self._note(self._waiting.pop(0) if self._waiting else self._receive())

    def run(self, script: str) -> Any:
        """What a script says, once its promise is kept."""
        found = self._ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found
        self._catch_up()
        return found["result"].get("value")

    def _catch_up(self) -> None:
        while self._waiting:
            self._note(self._waiting.pop(0))

    def har(self) -> dict[str, Any]:
        """All that was sent and came, as HAR 1.2."""
        sent: dict[str, list[dict[str, Any]]] = {}
        for event in self._events:
            told, key = event["params"], event["params"].get("requestId")
            if event["method"] == "Network.requestWillBeSent":
                if "redirectResponse" in told:
                    sent[key][-1]["response"] = told["redirectResponse"]
                sent.setdefault(key, []).append(told)
            elif event["method"] == "Network.responseReceived":
                sent[key][-1]["response"] = told["response"]
        entries = [
            self._entry(key, number, one)
            for key, hops in sent.items()
            for number, one in enumerate(hops)
            if "response" in one
        ]
        return {"log": {"version": "1.2", "creator": {"name": "Chromium", "version": ""}, "entries": entries}}

    def _extra(self, name: str, key: str, number: int) -> dict[str, str]:
        """Headers that are told apart from the others, of one of the requests that a redirect led to."""
        found = [
            one["params"]["headers"]
            for one in self._events
            if one["method"] == name and one["params"]["requestId"] == key
        ]
        return dict(found[number]) if number < len(found) else {}

    def _entry(self, key: str, number: int, one: dict[str, Any]) -> dict[str, Any]:
        request, response = one["request"], one["response"]
        sent = request["headers"] | self._extra("Network.requestWillBeSentExtraInfo", key, number)
        got = response["headers"] | self._extra("Network.responseReceivedExtraInfo", key, number)
        kind = next((value for name, value in sent.items() if name.lower() == "content-type"), "")
        is_redirect = 300 <= response["status"] < 400
        post = request.get("postData") or self._posted.get(key, "")
        return {
            "startedDateTime": datetime.fromtimestamp(one["wallTime"], UTC).isoformat(),
            "time": 5,
            "_resourceType": one["type"].lower(),
            "request": {
                "method": request["method"],
                "url": request["url"],
                "httpVersion": "HTTP/1.1",
                "headers": _pairs(sent),
                **({"postData": {"mimeType": kind, "text": post}} if post else {}),
            },
            "response": {
                "status": response["status"],
                "headers": _pairs(got),
                "content": {"mimeType": response["mimeType"], "text": "" if is_redirect else self._bodies.get(key, "")},
                "redirectURL": response["headers"].get("Location", "") if is_redirect else "",
            },
        }

    def _note(self, event: dict[str, Any]) -> None:
        """Keep what was told; bodies are asked for at once, for the browser forgets those of a page that it leaves."""
        self._events.append(event)
        key = event["params"].get("requestId", "")
        if event["method"] == "Network.loadingFinished":
            found = self._ask("Network.getResponseBody", requestId=key, is_wanted=False)
            self._bodies[key] = "" if found.get("base64Encoded") else str(found.get("body", ""))
        elif event["method"] == "Network.requestWillBeSent" and event["params"]["request"].get("hasPostData"):
            found = self._ask("Network.getRequestPostData", requestId=key, is_wanted=False)
            self._posted[key] = str(found.get("postData", ""))

    def _ask(self, method: str, *, is_wanted: bool = True, **params: Any) -> Any:
        self._number += 1
        session = {"sessionId": self._session} if hasattr(self, "_session") else {}
        message = {"id": self._number, "method": method, "params": params, **session}
        self._writer.write(json.dumps(message).encode() + b"\0")
        number = self._number
        while (found := self._receive()).get("id") != number:
            self._waiting.append(found)
        assert "result" in found or not is_wanted, found
        return found.get("result", {})

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            piece = self._reader.read1(65536)
            assert piece, "the browser has ended"
            self._rest += piece
        message, _, self._rest = self._rest.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found


def _pairs(headers: dict[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in headers.items()]


@contextmanager
def browsing(folder: Path) -> Iterator[Browser]:
    """A browser with a profile of its own."""
    read_end, to_browser = os.pipe()
    from_browser, write_end = os.pipe()
    # the browser reads from its descriptor 3 and writes to 4; sh may know one digit alone
    command = ["bash", "-c", f'exec "$0" "$@" 3<&{read_end} 4>&{write_end}', str(BROWSER)]
    process = subprocess.Popen(
        [*command, *QUIET, "--remote-debugging-pipe", f"--user-data-dir={folder}/user", "about:blank"],
        pass_fds=(read_end, write_end),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(read_end)
    os.close(write_end)
    try:
        with os.fdopen(to_browser, "wb", buffering=0) as writer, os.fdopen(from_browser, "rb") as reader:
            yield Browser(writer, reader)
    finally:
        process.terminate()
        process.wait(timeout=30)
