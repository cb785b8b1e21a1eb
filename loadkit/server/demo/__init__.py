"""A small HTTP/1.1 server that behaves like an API: something harmless to aim at.

```
GET  /  and  /health      at once: {"status": "ok", ...}
GET  /items               ten items; /items/{id} knows 1 to 1000, the rest is 404
GET  /search?q=tea        {"query": "tea", "items": [{"sku", "name", "price"}, ...]}, after a known delay
POST /orders              {"sku": "..."} -> 201 {"order": 1, "sku": "..."}, 2 ms later; 400 if it makes no sense
GET  /orders/{n}          one of the last 10,000 orders
POST /login               {"user": "ann", ...} -> {"token": ...}, whatever the password; /logout takes all
GET  /me                  {"user": "ann"} with "Authorization: Bearer TOKEN", else 401
GET  /delay/{seconds}     waits so long, 60 at most
GET  /exponential/{seconds}  waits for a random time, exponentially distributed with this mean
GET  /bytes/{n}           n bytes, 10 MB at most; /chunked/{n} sends the same in chunks
GET  /status/{code}       that status, 200 to 599
GET  /flaky               each 50th request is a 503
GET  /stats               what the server itself counted
```

The n-th `/search` since the start takes 100 ms if 100 divides n, else 20 ms if 10 divides it, else 5 ms. So of each
1,000 in a row 900 take 5 ms, 90 take 20 ms and 10 take 100 ms: p50 is 5 ms, p95 and p98 are 20 ms, p99.5 is 100 ms
(p90 and p99 sit on the steps: avoid them). HEAD counts like GET. Requests pipelined on one connection are served one
after the other, each delay beginning when the reply before it is out. A connection on which nothing moves for 75 to
150 seconds is closed.

In `/stats`, `requests` are those begun, the asking one among them, and always
`requests == sum(statuses) + abandoned + those in progress`; `errors` are the statuses from 400 up, and a request that
could not be understood counts under `(refused)`.
"""

from __future__ import annotations

from loadkit.server.demo.process import Demo, running_demo
from loadkit.server.demo.serving import serve_announced

__all__ = ["Demo", "running_demo", "serve_announced"]
