"""The server under test: a real nginx on loopback with its own folder, certificate and request counter."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import resource
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.certificate import make_certificates
from benchmarks.process import Failed, kill, start

BODY = '{"items": [{"id": 12345, "sku": "tea", "price": 45}]}'
CONNECTIONS = 16384

# One process without a master: nothing stays behind when it is killed, and the hot path is the same.
# Keep-alive without end, so that no client pays for a reconnect the others do not.
CONFIG = """
daemon off;
master_process off;
pid nginx.pid;
error_log error.log error;
events {{ worker_connections {connections}; }}
http {{
    access_log off;
    default_type application/json;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    {http}
    server {{
        listen 127.0.0.1:{plain} backlog=8192;
        listen 127.0.0.1:{tls} ssl backlog=8192;
        ssl_certificate server.pem;
        ssl_certificate_key server.key;
        ssl_protocols TLSv1.3;
        location / {{ return 200 '{body}'; }}
        location = /requests {{ stub_status; }}
        {locations}
    }}
}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A running nginx."""

    plain_port: int
    tls_port: int
    ca: Path

    def url(self, scheme: str) -> str:
        port = self.tls_port if scheme == "https" else self.plain_port
        return f"{scheme}://127.0.0.1:{port}/"

    def requests(self) -> int:
        """Requests nginx has counted since its start, those to here included: each call adds one."""
        connection = http.client.HTTPConnection("127.0.0.1", self.plain_port, timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", "/requests")
            text = connection.getresponse().read().decode()
        found = re.search(r"^ \d+ \d+ (\d+)", text, re.MULTILINE)
        if not found:
            raise Failed(f"nginx answers {text[:80]!r} where its counters should be")
        return int(found[1])


def binary() -> str:
    """Where nginx is; Debian's sbin is not on the path of everybody."""
    found = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if not found:
        raise Failed("nginx is not here; on Debian: apt-get install nginx")
    return found


def version() -> str:
    said = subprocess.run([binary(), "-v"], check=True, capture_output=True, text=True, timeout=10)
    return said.stderr.strip().rpartition("/")[2]


@contextlib.contextmanager
def running(folder: Path, *, core: int, http: str = "", locations: str = "") -> Iterator[Server]:
    """An nginx on one core, its files in the folder, gone at the end of the block; with more directives, if given."""
    raise_file_limit()
    make_certificates(folder)
    server = Server(plain_port=free_port(), tls_port=free_port(), ca=folder / "ca.pem")
    config = folder / "nginx.conf"
    config.write_text(_config(server, http, locations))
    with (folder / "nginx.out").open("wb") as output:
        child = start([binary(), "-p", folder, "-c", config, "-e", "error.log"], core=core, output=output)
    try:
        _wait_until_it_answers(server, child, folder)
        yield server
    finally:
        kill(child)


def file_limit() -> int:
    """Open files one process may have."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def _config(server: Server, http: str, locations: str) -> str:
    return CONFIG.format(
        connections=min(CONNECTIONS, file_limit()),
        plain=server.plain_port,
        tls=server.tls_port,
        body=BODY,
        http=http,
        locations=locations,
    )


def raise_file_limit() -> None:
    """Ours, before the children inherit it."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (file_limit(), file_limit()))


def free_port() -> int:
    """A TCP port nobody listens on at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        port: int = held.getsockname()[1]
        return port


def _wait_until_it_answers(server: Server, child: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + 10
    while child.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            server.requests()
            return
        time.sleep(0.05)
    logs = [folder / "nginx.out", folder / "error.log"]
    said = "".join(log.read_text() for log in logs if log.exists())
    raise Failed(f"nginx did not start: {said.strip() or 'it says nothing'}")
