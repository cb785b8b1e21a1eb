"""An nginx with bodies of 20 kB, delays without CPU, and a part that breaks now and then."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.nginx import binary
from benchmarks.process import Failed, kill, start

BODY = b'{"filler": "' + (hashlib.sha256(b"loadkit").hexdigest() * 400).encode()[: 20_000 - 14] + b'"}'
PROBES = 50
MODULES = (
    Path("/usr/lib/nginx/modules/ngx_http_echo_module.so"),
    Path("/usr/lib64/nginx/modules/ngx_http_echo_module.so"),
)

CONFIG = """
load_module {module};
daemon off;
master_process off;
pid nginx.pid;
error_log error.log crit;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    default_type application/json;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    open_file_cache max=100;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    split_clients $request_id $mood {{ 3% busy; 3% dropped; 3% cut; * sound; }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        root html;
        location /0/ {{ try_files /body.json =404; }}
        location /1/ {{ echo_sleep 0.001; echo_exec /0/x; }}
        location /20/ {{ echo_sleep 0.020; echo_exec /0/x; }}
        location /100/ {{ echo_sleep 0.100; echo_exec /0/x; }}
        location /unhappy/ {{
            if ($mood = busy) {{ rewrite ^ /busy last; }}
            if ($mood = dropped) {{ return 444; }}
            if ($mood = cut) {{ rewrite ^ /cut last; }}
            try_files /body.json =404;
        }}
        location = /busy {{ add_header Retry-After 0 always; return 429; }}
        location = /cut {{ proxy_pass http://127.0.0.1:{cut}; proxy_http_version 1.0; }}
    }}
}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A running nginx."""

    port: int

    def urls(self, delay: str, count: int) -> list[str]:
        """Pages with a delay of so many milliseconds."""
        return [f"http://127.0.0.1:{self.port}/{delay}/posts/{number}.json" for number in range(1, count + 1)]

    def delay(self, name: str) -> float:
        """Seconds that a reply with this delay takes when there is nothing else to do: nginx waits a little longer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        spans = []
        for number in range(PROBES):
            began = time.perf_counter()
            connection.request("GET", f"/{name}/posts/{number}.json")
            connection.getresponse().read()
            spans.append(time.perf_counter() - began)
        connection.close()
        return statistics.median(spans)

    def unhappy(self, count: int) -> list[str]:
        """Pages that are all different and look alike: the same last parts, queries, odd characters, in a bad mood."""
        root = f"http://127.0.0.1:{self.port}/unhappy"
        forms = (
            "{n}/data.json",
            "{n}/DATA.json",
            "search?q={n}&page=1",
            "a%20b/{n}/%C3%BC",
            "{n}/",
            "x%2F..%2F{n}",
            "{n}/con",
        )
        return [f"{root}/{forms[number % len(forms)].format(n=number)}" for number in range(count)]


@contextlib.contextmanager
def running(folder: Path, *, core: int) -> Iterator[Site]:
    """An nginx on one core, gone at the end of the block."""
    module = next((path for path in MODULES if path.exists()), None)
    if not module:
        raise Failed("nginx cannot wait without its echo module; on Debian: apt-get install libnginx-mod-http-echo")
    (folder / "html").mkdir(parents=True)
    (folder / "html" / "body.json").write_bytes(BODY)
    with socket.create_server(("127.0.0.1", 0)) as cutter, socket.create_server(("127.0.0.1", 0)) as held:
        threading.Thread(target=_cut_bodies, args=(cutter,), daemon=True).start()
        port = int(held.getsockname()[1])
        held.close()
        config = folder / "nginx.conf"
        config.write_text(CONFIG.format(module=module, port=port, cut=cutter.getsockname()[1]))
        with (folder / "nginx.out").open("wb") as output:
            child = start([binary(), "-p", folder, "-c", config, "-e", "error.log"], core=core, output=output)
        try:
            _wait(port)
            yield Site(port=port)
        finally:
            kill(child)


def _cut_bodies(listener: socket.socket) -> None:
    """Announce a whole body and send half of it."""
    head = f"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n".encode()
    with contextlib.suppress(OSError):
        while True:
            line, _ = listener.accept()
            with line:
                line.recv(65536)
                line.sendall(head + BODY[: len(BODY) // 2])


def _wait(port: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/0/x")
            body = connection.getresponse().read()
            connection.close()
            if body != BODY:
                raise Failed(f"nginx sends {len(body)} bytes instead of {len(BODY)}")
            return
        time.sleep(0.05)
    raise Failed("nginx did not start")
