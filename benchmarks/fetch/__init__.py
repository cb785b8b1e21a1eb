"""Files a second, CPU per file and memory of programs that fetch a list of URLs, side by side; and what each loses.

The server is a real nginx on one core, the clients have the next one. It waits with its echo module (`echo_sleep`,
Debian's libnginx-mod-http-echo), so a delay costs nobody CPU. Bodies have 20 kB, the mean of the article whose
programs are the first two peers. Each runs with 20 threads, connections or processes where it can.

A program's start is in its figures, for whoever fetches a list waits for it, too. CPU is user + system time of the
client and its children as the kernel gives it, files are those found on the disk afterwards with the right content:
none of it is left to the client's word. The unhappy list has duplicate last path parts, odd characters, query strings,
and a server that now and then says 429 with Retry-After, drops the connection, or cuts the body.
"""
