"""A server as a file, for tests in which loadkit starts one: `python app.py PORT`."""

from __future__ import annotations

APP = """
import os, socket, sys, threading, time

is_first = not os.path.exists("started")
open("started", "w").close()

def answer(line):
    while data := line.recv(4096):
        path = data.split()[1].decode()
        time.sleep({delay})
        line.sendall(b"HTTP/1.1 %d Said\\r\\nContent-Length: 2\\r\\n\\r\\nok" % ({status}))

listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=100)
while True:
    threading.Thread(target=answer, args=listener.accept()[:1], daemon=True).start()
"""


def app(*, delay: float = 0.005, status: int | str = 200) -> str:
    """Its code. The status may look at `path`, and at `is_first`: nobody started it in this folder before.

    On bare sockets, because dozens are started and http.server takes 40 ms of CPU to import.
    """
    return APP.format(delay=delay, status=status)
