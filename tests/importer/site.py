"""A site that believes nobody: sessions, forms with tokens against forgery, redirects, ids that nobody can guess."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.policy import HTTP
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, unquote

PASSWORD = "correct horse"

LOGIN = """<!doctype html><title>Log in</title>
<form method="post" action="/login"><input type='hidden' value="{csrf}" name="csrf">
<input name="user"><input name="password" type="password"><button>Go</button></form>"""
ACCOUNT = '<!doctype html><title>Notes &amp; more</title><meta name="csrf-token" content="{csrf}"><h1>Hello {user}</h1>'


class Session:
    """What the site knows of one visitor."""

    def __init__(self) -> None:
        self.csrf = uuid.uuid4().hex + "&<"
        self.xsrf = uuid.uuid4().hex + "=/"
        self.user = ""


class Site(ThreadingHTTPServer):
    """The server, with what it remembers and what it refused."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.sessions: dict[str, Session] = {}
        self.notes: dict[str, str] = {}
        self.refused: list[str] = []
        self.logins = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Site

    def do_GET(self) -> None:
        visitor = self._visitor()
        if self.path == "/login":
            known = uuid.uuid4().hex
            self.server.sessions[known] = fresh = Session()
            self._page(
                LOGIN.format(csrf=_attribute(fresh.csrf)), cookies=[f"session={known}; HttpOnly", f"lang={'de'}"]
            )
        elif visitor is None or not visitor.user:
            self._refuse(401)
        elif self.path == "/account":
            page = ACCOUNT.format(csrf=_attribute(visitor.csrf), user=visitor.user)
            self._page(page, cookies=[f"XSRF-TOKEN={quote(visitor.xsrf, safe='')}"])
        elif self.path.startswith("/notes/") and (text := self.server.notes.get(unquote(self.path[7:]))):
            self._send(200, {"note": {"text": text}})
        else:
            self._refuse(404)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        visitor = self._visitor()
        if visitor is None:
            self._refuse(401)
        elif self.path == "/login":
            self._log_in(visitor, {name: values[0] for name, values in parse_qs(body.decode()).items()})
        elif self.path == "/notes" and self.headers.get("X-CSRF-Token") == visitor.csrf:
            name = str(uuid.uuid4())
            self.server.notes[name] = json.loads(body)["text"]
            self._send(201, {"ok": True}, headers={"Location": f"{self.server.url}/notes/{name}"})
        elif self.path == "/upload" and self.headers.get("X-XSRF-TOKEN") == visitor.xsrf:
            whole = message_from_bytes(
                f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode() + body, policy=HTTP
            )
            parts = {part.get_filename() or "": part.get_content() for part in whole.iter_parts()}
            self._send(200 if parts.get("a.txt") == "hello" else 400, {"parts": len(parts)})
        else:
            self._refuse(403)

    def _log_in(self, visitor: Session, form: dict[str, str]) -> None:
        if (form.get("csrf"), form.get("password")) != (visitor.csrf, PASSWORD):
            self._refuse(403)
            return
        visitor.user = form["user"]
        self.server.logins += 1
        self._send(303, {}, headers={"Location": "/account"})

    def _visitor(self) -> Session | None:
        cookies = SimpleCookie(self.headers.get("Cookie", ""))
        return self.server.sessions.get(cookies["session"].value) if "session" in cookies else None

    def _refuse(self, status: int) -> None:
        self.server.refused.append(f"{self.command} {self.path} {status}")
        self._send(status, {"error": status})

    def _page(self, page: str, cookies: list[str]) -> None:
        self._write(200, page.encode(), "text/html; charset=utf-8", [("Set-Cookie", one) for one in cookies])

    def _send(self, status: int, value: object, headers: dict[str, str] | None = None) -> None:
        self._write(status, json.dumps(value).encode(), "application/json", list((headers or {}).items()))

    def _write(self, status: int, body: bytes, kind: str, headers: list[tuple[str, str]]) -> None:
        self.send_response(status)
        for name, value in [("Content-Type", kind), ("Content-Length", str(len(body))), *headers]:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _attribute(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


@contextmanager
def serving_site() -> Iterator[Site]:
    """The site, on a port of its own."""
    with Site() as site:
        thread = threading.Thread(target=site.serve_forever)
        thread.start()
        try:
            yield site
        finally:
            site.shutdown()
            thread.join()
