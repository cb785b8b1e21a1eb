"""A run called from a coroutine whose event loop serves the target: neither could go on, so nothing is sent."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Awaitable
from contextlib import closing
from pathlib import Path

import pytest

from loadkit import Endpoint, Scenario, run
from loadkit.judge.result import Result
from loadkit.plan.errors import UsageError
from loadkit.server.demo import Demo

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with closing(writer):
        while await reader.readline():
            while (await reader.readline()).strip():
                pass
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


def plan(url: str) -> Scenario:
    return Scenario(base_url=url, endpoints=[Endpoint("GET", "/")], threads=1, iterations=3, timeout="1s")


@pytest.mark.parametrize(
    ("host", "absolute"),
    [("127.0.0.1", False), ("127.0.0.1", True), ("::1", True), ("unix", False)],
    ids=lambda value: {False: "base_url", True: "the URL of an endpoint"}.get(value, value),
)
def test_a_target_served_by_the_loop_that_run_would_block_is_refused_before_anything_is_sent(
    host: str, absolute: bool, tmp_path: Path
):
    connections: list[asyncio.StreamWriter] = []

    async def main() -> tuple[str, Result]:
        def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Awaitable[None]:
            connections.append(writer)
            return answer(reader, writer)

        if host == "unix":
            path = f"{tmp_path}/s"
            server = await asyncio.start_unix_server(count, path)
            url = "http+unix://" + path.replace("/", "%2F")
        else:
            server = await asyncio.start_server(count, host, 0)
            url = f"http://{'[::1]' if ':' in host else host}:{server.sockets[0].getsockname()[1]}"
        scenario = plan(url)
        if absolute:
            scenario = Scenario(endpoints=[Endpoint("GET", f"{url}/")], threads=1, iterations=3, timeout="1s")
        async with server:
            with pytest.raises(UsageError) as refused:
                run(scenario)
            await asyncio.sleep(0)
            assert connections == []
            return str(refused.value), await asyncio.to_thread(run, scenario)

    message, result = asyncio.run(main())

    assert re.fullmatch(
        r"the server at \S+ is in the event loop that this call would block; write await asyncio\.to_thread\(run, …\)",
        message,
    )
    assert result.statuses == {200: 3}


def test_a_server_in_another_process_may_be_loaded_from_a_coroutine(demo: Demo):
    async def main() -> Result:
        return run(plan(demo.url))

    assert asyncio.run(main()).statuses == {200: 3}
