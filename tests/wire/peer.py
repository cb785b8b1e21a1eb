"""A server at the other end of a real socket that does exactly what a test says, however wrong, and ends with it."""

from __future__ import annotations

import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

_RESET = struct.pack("ii", 1, 0)


class Gone(Exception):
    """The client has closed, or the test is over: the script ends here."""


class Line:
    """One connection, as its script sees it."""

    def __init__(self, sock: socket.socket, over: threading.Event, context: ssl.SSLContext | None) -> None:
        self.sock = sock
        self.over = over
        self.heard: list[bytes] = []
        self._buffer = bytearray()
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True) if context else None
        if self._tls:
            self._until_done(self._tls.do_handshake)

    def request(self) -> bytes:
        """The next request in full; ends the script when the client closes instead."""
        while b"\r\n\r\n" not in self._buffer:
            self._buffer += self.receive() or _gone()
        whole = _whole(self._buffer)
        while len(self._buffer) < whole:
            self._buffer += self.receive() or _gone()
        request = bytes(self._buffer[:whole])
        del self._buffer[:whole]
        self.heard.append(request)
        return request

    def receive(self) -> bytes:
        """Some bytes, empty at the end."""
        if not self._tls:
            return self.sock.recv(65536)
        with suppress(ssl.SSLZeroReturnError):
            return self._until_done(lambda: self._tls.read(65536))
        return b""

    def _until_done(self, step: Callable[[], object]) -> bytes:
        while True:
            try:
                found = step()
            except ssl.SSLWantReadError:
                self._flush()
                self._incoming.write(self.sock.recv(65536) or _gone())
            except ssl.SSLError:
                self._flush()
                raise Gone from None
            else:
                self._flush()
                return found  # type: ignore[return-value]

    def _flush(self) -> None:
        self.sock.sendall(self._outgoing.read())

    def sealed(self, data: bytes) -> bytes:
        """The bytes as they go over the wire."""
        if not self._tls:
            return data
        self._tls.write(data)
        return self._outgoing.read()

    def send(self, *parts: bytes) -> None:
        """Each part in a segment (and TLS record) of its own, none before the client has read the one before."""
        self.send_raw(*(self.sealed(part) for part in parts))

    def send_raw(self, *parts: bytes) -> None:
        """The same without encrypting."""
        for k, part in enumerate(parts):
            if k:
                self.until_read()
            self.sock.sendall(part)

    def until_read(self) -> None:
        """Wait until the client's kernel has nothing left that the client did not read."""
        while _unread(self.sock) and not self.over.is_set():
            self.over.wait(0.0002)

    def drip(self, data: Iterable[int], every: float = 0.02) -> None:
        for byte in data:
            self.send(bytes([byte]))
            self.pause(every)

    def pause(self, span: float) -> None:
        """Do nothing for a while, or until the test is over."""
        if self.over.wait(span):
            raise Gone

    def stall(self) -> None:
        """Do nothing until the test is over."""
        self.over.wait()
        raise Gone

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.sock.close()

    def close(self) -> None:
        """Close in good order, in TLS with a word of goodbye."""
        if self._tls:
            with suppress(ssl.SSLError):
                self._tls.unwrap()
            self._flush()
        self.sock.close()

    def cut(self) -> None:
        """Close without a word, as whoever cuts a TLS connection short would."""
        self.sock.close()


Script = Callable[[Line], object]


class Peer:
    """Listens, and plays its scripts: the first for the first connection and so on, the last for all that follow."""

    def __init__(
        self, *scripts: Script, context: ssl.SSLContext | None = None, unix: Path | None = None, host: str = "127.0.0.1"
    ) -> None:
        self.scripts: Sequence[Script] = scripts
        self._context = context
        self._over = threading.Event()
        self._lines: list[Line] = []
        self._socks: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.mistakes: list[BaseException] = []
        self.connections = 0
        self._listener, self.url = _listen(unix, host, "https" if context else "http")
        self._start(self._accept)

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def heard(self) -> list[bytes]:
        """All requests, connection by connection."""
        return [request for line in self._lines for request in line.heard]

    def close(self) -> None:
        """End all that it does; raises what went wrong in a script."""
        self._over.set()
        for sock in [self._listener, *self._socks]:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive(), "a script does not end"
        for sock in [self._listener, *self._socks]:
            sock.close()
        if self.mistakes:
            raise self.mistakes[0]

    def _start(self, work: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while not self._over.is_set():
                sock, _ = self._listener.accept()
                self._socks.append(sock)
                self.connections += 1
                self._start(self._play, sock, self.scripts[min(self.connections, len(self.scripts)) - 1])

    def _play(self, sock: socket.socket, script: Script) -> None:
        try:
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            line = Line(sock, self._over, self._context)
            self._lines.append(line)
            script(line)
        except (Gone, OSError):
            pass
        except BaseException as error:
            self.mistakes.append(error)
        finally:
            sock.close()


def replies(*answers: bytes | Sequence[bytes] | Script) -> Script:
    """A script that answers request by request, the last answer again and again.

    An answer is bytes, several pieces, or a function of the line.
    """

    def script(line: Line) -> None:
        turn = 0
        while True:
            line.request()
            answer = answers[min(turn, len(answers) - 1)]
            turn += 1
            if callable(answer):
                answer(line)
            else:
                line.send(*([answer] if isinstance(answer, bytes) else answer))

    return script


def then_close(*parts: bytes) -> Script:
    def answer(line: Line) -> None:
        line.send(*parts)
        line.close()
        raise Gone

    return answer


def then_reset(*parts: bytes) -> Script:
    """Say this, and reset the connection once the client has read it."""

    def answer(line: Line) -> None:
        line.send(*parts)
        line.until_read()
        line.reset()
        raise Gone

    return answer


def reply(body: bytes = b"", *headers: str, status: str = "200 OK", version: str = "HTTP/1.1") -> bytes:
    """A whole reply with a Content-Length."""
    lines = [f"{version} {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def chunked(*chunks: bytes, extension: bytes = b"", trailers: bytes = b"") -> bytes:
    parts = [b"%x%s\r\n%s\r\n" % (len(chunk), extension, chunk) for chunk in chunks]
    return b"".join([*parts, b"0", extension, b"\r\n", trailers, b"\r\n"])


@contextmanager
def full(unix: Path | None = None) -> Iterator[Any]:
    """The address of a listener whose queue is full, so that connections are neither taken nor refused."""
    with ExitStack() as held:
        listener = held.enter_context(socket.socket(socket.AF_UNIX if unix else socket.AF_INET))
        listener.bind(str(unix) if unix else ("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            filler = held.enter_context(socket.socket(listener.family))
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()


def _gone() -> bytes:
    raise Gone


def _whole(buffer: bytearray) -> int:
    """How long the request is that the buffer begins with; its head is all there."""
    head = bytes(buffer[: buffer.index(b"\r\n\r\n") + 4])
    found = re.search(rb"(?im)^content-length: *(\d+)", head)
    return len(head) + (int(found[1]) if found else 0)


def _listen(unix: Path | None, host: str, scheme: str) -> tuple[socket.socket, str]:
    if unix:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(unix))
        listener.listen()
        return listener, "http+unix://" + str(unix).replace("/", "%2F")
    listener = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    shown = f"[{host}]" if ":" in host else host
    return listener, f"{scheme}://{shown}:{listener.getsockname()[1]}"


def _unread(sock: socket.socket) -> int:
    """Bytes that wait in the kernel for the client at the other end (IPv4, Linux)."""
    ours, theirs = (_hexed(*name[:2]) for name in (sock.getsockname(), sock.getpeername()))
    for row in Path("/proc/net/tcp").read_text().splitlines():
        fields = row.split()
        if fields[1:3] == [theirs, ours]:
            return int(fields[4].partition(":")[2], 16)
    return 0


def _hexed(host: str, port: int) -> str:
    return f"{struct.unpack('=I', socket.inet_aton(host))[0]:08X}:{port:04X}"
