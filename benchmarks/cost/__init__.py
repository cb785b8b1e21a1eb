"""Client CPU per request and requests per second, side by side with other clients.

The server is a real nginx on one core, the client has the next core, 16 connections stay open. Three things
are not left to the client's word: the requests are those nginx counted, the CPU is user + system time of the
client and its children as the kernel gives it when they end, the time is that of our clock.

A client's start must not count as the cost of its requests (importing Python modules takes 0.3 s and more).
So in each round each client runs twice, for SHORT seconds and for the asked seconds, and what counts is the
difference:

    CPU a request = (CPU of the long run - CPU of the short) / (requests of the long - requests of the short)

and likewise for requests per second. The start and the end of the two runs are the same work and cancel. The
plain quotient of the long run, start included, is shown beside it.

Clients alternate, round by round, so that a slow minute of the machine meets all of them; a ratio is taken
within a round, and the median of the rounds' ratios is reported.
"""
