"""What one call of a session costs: `http.get(url)` and its kin, with loadkit.Session and with what people use now.

The method is that of `benchmarks.cost`: one nginx on one core, 16 connections on another, each client for a short and
for a long time in each round, and the difference counts. Here a client is a program that people write: 16 threads,
each with a session, that call it in a loop and look at what comes back. The sessions are as they come, environment
trusted and all.
"""
